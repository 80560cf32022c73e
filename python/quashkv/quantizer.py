# SPDX-License-Identifier: Apache-2.0
"""The paper's two quantizers (arXiv 2504.19874, Algorithms 1 and 2) on vectors (..., d)."""
from __future__ import annotations

import functools
import math
from typing import Callable

import numpy as np

from . import _array, _check, _lib
from ._array import Array
from .codebook import LloydMaxCodebook
from .constants import DEFAULT_SEED, DEFAULT_TOTAL_BITS, QJL_COEFF

PRODUCT_DIM_MAX = 8192  # QUASH_PRODUCT_DIM_MAX


class MSEQuantizer:
    """Random rotation, then the nearest of 2^bits levels for each coordinate (Algorithm 1).

    d: coordinates of a vector, 1..16384. bits: 1..4. seed: of the rotation. device: "cpu".
    Attributes: d, bits, seed, device, codebook (its levels, LloydMaxCodebook.frozen).

    Immutable: any number of threads may use one. Errors: ValueError (d, bits, seed),
    NotImplementedError (device).
    """

    def __init__(self, d: int, bits: int, seed: int = DEFAULT_SEED,
                 device: object = "cpu") -> None:
        self.d = _check.integer("d", d, 1, _check.DIM_MAX)
        self.bits = _check.bits(bits)
        self.seed = _check.seed(seed)
        self.device = _check.device(device)
        self.codebook = LloydMaxCodebook.frozen(self.d, self.bits)
        self._codec = _lib.Handle("codec", _lib.CodecParams(
            dim=self.d, bits=self.bits, scale_policy=_lib.SCALE_RAW_NORM, scale_dtype=_lib.F32,
            search_level=0, rotation_rounds=2, seed=self.seed))

    @functools.cached_property
    def Pi(self) -> np.ndarray:
        """The rotation as an orthogonal (d, d) float32 matrix: rotate(x) = x @ Pi.T. Computed on
        first use; nothing else needs it."""
        return _array.constant(self._rotate(np.eye(self.d, dtype=np.float32), "Pi", 0).T)

    def rotate(self, x: Array) -> Array:
        """x (..., d) in the rotated domain: float32, the same shape.
        Errors: TypeError (dtype), ValueError (shape; NaN or infinity, named)."""
        return self._rotate(x, "x", 0)

    def unrotate(self, y: Array) -> Array:
        """The inverse of `rotate`."""
        return self._rotate(y, "y", 1)

    def _rotate(self, x: Array, name: str, inverse: int) -> Array:
        rows = _array.read_rows(x, name, self.d)
        out = _array.new(rows.shape)
        _array.call(_lib.lib.quash_rotate, self._codec, inverse, rows.view(-1, self.d),
                    _array.c_view(out.reshape(-1, self.d), _lib.F32), finite=[rows])
        return rows.wrap(out)

    def compress(self, x: Array) -> tuple[Array, Array]:
        """x (..., d) -> indices (..., d) uint8 and norms (...) float32, the Euclidean lengths.
        Errors: TypeError (dtype), ValueError (shape; NaN or infinity, named; a norm beyond
        float32)."""
        rows = _array.read_rows(x, "x", self.d)
        indices = np.empty(rows.shape, np.uint8)
        scales = _array.new(rows.shape[:-1])
        _array.call(_lib.lib.quash_encode_codes, self._codec, rows.view(-1, self.d),
                    _array.c_view(indices.reshape(-1, self.d), _lib.U8), scales.ctypes.data,
                    finite=[rows])
        return rows.wrap(indices), rows.wrap(norms_of_scales(scales, self.d))

    def decompress(self, indices: Array, norms: Array) -> Array:
        """The vectors (..., d) of indices (..., d) and norms (...), float32, in the kind of
        indices.
        Errors: TypeError (dtype), ValueError (shape; an index that is 2^bits or more; a norm that
        is negative or not finite)."""
        codes = _array.read_bytes(indices, "indices")
        _array.check_last(codes.shape, "indices", self.d)
        scales = _array.read_norms(norms, "norms", codes.shape[:-1])
        scales = scales / np.float32(math.sqrt(self.d))
        out = _array.new(codes.shape)
        _array.call(_lib.lib.quash_decode_codes, self._codec, codes.view(-1, self.d),
                    np.ascontiguousarray(scales).ctypes.data,
                    _array.c_view(out.reshape(-1, self.d), _lib.F32))
        return codes.wrap(out)

    def to(self, device: object) -> MSEQuantizer:
        """self. Errors: NotImplementedError (any device but the CPU)."""
        _check.device(device)
        return self

    def __repr__(self) -> str:
        return f"MSEQuantizer(d={self.d}, bits={self.bits}, seed={self.seed})"


def norms_of_scales(scales: np.ndarray, d: int | np.ndarray) -> np.ndarray:
    """Norms |x| from scales |x|/sqrt(d), float32. Errors: ValueError (beyond float32)."""
    with np.errstate(over="ignore"):
        norms = np.asarray(scales * np.sqrt(np.asarray(d, np.float32)), np.float32)
    if not np.isfinite(norms).all():
        raise ValueError("x: the norm of a vector is beyond the range of float32")
    return norms


class InnerProductQuantizer:
    """Unbiased inner products: total_bits - 1 bits for the direction, and the sign of a Gaussian
    projection of what they miss (Algorithm 2). Costs d^2 operations per vector.

    d: 1..8192. total_bits: 2..4. use_exact_pdf is accepted and has no effect: the levels are those
    of MSEQuantizer.codebook. Attributes: d, total_bits, mse_bits, seed, device, mse_quantizer,
    qjl_scale (sqrt(pi/2)/d).

    Immutable. Errors: ValueError (d, total_bits, seed), NotImplementedError (device).
    """

    def __init__(self, d: int, total_bits: int = DEFAULT_TOTAL_BITS, seed: int = DEFAULT_SEED,
                 device: object = "cpu", use_exact_pdf: bool = False) -> None:
        self.d = _check.integer("d", d, 1, PRODUCT_DIM_MAX)
        if total_bits < 2:
            raise ValueError("InnerProductQuantizer needs at least 2 total bits")
        self.total_bits = _check.integer("total_bits", total_bits, 2, 4)
        self.mse_bits = self.total_bits - 1
        self.seed = _check.seed(seed)
        self.device = _check.device(device)
        self.use_exact_pdf = bool(use_exact_pdf)
        self.mse_quantizer = MSEQuantizer(self.d, self.mse_bits, self.seed)
        self.qjl_scale = QJL_COEFF / self.d

    @functools.cached_property
    def _product(self) -> _lib.Handle:
        """Holds S, 4*d^2 bytes, hence made on first use."""
        return _lib.Handle("product", _lib.ProductParams(dim=self.d, bits=self.total_bits,
                                                         seed=self.seed))

    @functools.cached_property
    def S(self) -> np.ndarray:
        """The (d, d) float32 standard normal matrix that residuals are projected on, after the
        rotation: signs = S @ r >= 0."""
        matrix = _array.new((self.d, self.d))
        _lib.lib.quash_product_matrix(self._product, matrix.ctypes.data)
        return _array.constant(matrix)

    def compress(self, x: Array, return_residual: bool = False) -> tuple[Array, ...]:
        """x (..., d) -> mse_indices (..., d) uint8, qjl_signs (..., d) uint8 (1: not negative) and
        norms (...) float32; with return_residual also residual_norms (...) float32, the length of
        what the indices miss of x/|x|.
        Errors: TypeError (dtype), ValueError (shape; NaN or infinity, named; norm beyond
        float32)."""
        rows = _array.read_rows(x, "x", self.d)
        indices, signs = np.empty(rows.shape, np.uint8), np.empty(rows.shape, np.uint8)
        norms, residual_norms = _array.new(rows.shape[:-1]), _array.new(rows.shape[:-1])
        _array.call(_lib.lib.quash_product_encode, self._product, rows.view(-1, self.d),
                    _array.c_view(indices.reshape(-1, self.d), _lib.U8),
                    _array.c_view(signs.reshape(-1, self.d), _lib.U8), norms.ctypes.data,
                    residual_norms.ctypes.data, finite=[rows])
        results = (indices, signs, norms, residual_norms)
        return tuple(rows.wrap(result) for result in results[:4 if return_residual else 3])

    def decompress_for_dot(self, mse_indices: Array, qjl_signs: Array, norms: Array, q_rot: Array,
                           residual_norms: Array | None = None) -> Array:
        """Estimates of <q, x>, shape (...) float32, in the kind of q_rot.

        mse_indices, qjl_signs (..., d), norms (...): from `compress`. q_rot (..., d) or (d,):
        rotated queries, mse_quantizer.rotate(q), broadcast over the vectors; one query for all
        costs d^2 once. residual_norms (...): makes the estimate exactly unbiased over seeds (paper,
        Theorem 2); without it the root of its expected square stands in, which leaves a bias of a
        few per cent of the residual.
        Errors: TypeError (dtype), ValueError (shape; NaN or infinity; codes or norms that compress
        cannot have written)."""
        return product_dot(_lib.lib.quash_product_dot, self._product, self.d, (), mse_indices,
                           qjl_signs, norms, q_rot, residual_norms)

    def to(self, device: object) -> InnerProductQuantizer:
        """self. Errors: NotImplementedError (any device but the CPU)."""
        _check.device(device)
        return self

    def __repr__(self) -> str:
        return (f"InnerProductQuantizer(d={self.d}, total_bits={self.total_bits}, "
                f"seed={self.seed})")


def product_dot(function: Callable[..., int], handle: _lib.Handle, d: int,
                norm_shape: tuple[int, ...], mse_indices: Array, qjl_signs: Array, norms: Array,
                q_rot: Array, residual_norms: Array | None) -> Array:
    """quash_product_dot or quash_mixed_product_dot; norms have the shape (..., *norm_shape)."""
    codes = _array.read_bytes(mse_indices, "mse_indices")
    _array.check_last(codes.shape, "mse_indices", d)
    signs = _array.read_bytes(qjl_signs, "qjl_signs")
    if signs.shape != codes.shape:
        raise ValueError(f"qjl_signs: expected shape {codes.shape}, got {signs.shape}")
    scalar_shape = codes.shape[:-1] + norm_shape
    scales = _array.read_norms(norms, "norms", scalar_shape)
    residuals = None if residual_norms is None else \
        _array.read_norms(residual_norms, "residual_norms", scalar_shape)
    queries = _array.read(q_rot, "q_rot", floating=True)
    _array.check_last(queries.shape, "q_rot", d)
    dots = _array.new(codes.shape[:-1])
    _array.call(function, handle, codes.view(-1, d), signs.view(-1, d), scales.ctypes.data,
                None if residuals is None else residuals.ctypes.data,
                _broadcast(queries, codes.shape), dots.ctypes.data, finite=[queries])
    return queries.wrap(dots)


def _broadcast(queries: _array.Input, shape: tuple[int, ...]) -> _lib.Array:
    """queries as the (rows, d) that C expects: stride 0 where one query serves all rows."""
    rows, d = math.prod(shape[:-1]), shape[-1]
    try:
        array = np.broadcast_to(queries.array, shape)
    except ValueError:
        raise ValueError(f"q_rot: shape {queries.shape} does not broadcast to {shape}") from None
    if queries.array.size == d:
        one = _array.contiguous_rows(queries.array.reshape(1, d))
        return _array.c_view(np.broadcast_to(one, (rows, d)), queries.dtype)
    return _array.c_view(_array.contiguous_rows(array.reshape(rows, d)), queries.dtype)
