# SPDX-License-Identifier: Apache-2.0
"""The paper's two quantizers (arXiv 2504.19874, Algorithms 1 and 2) on vectors (..., d)."""
from __future__ import annotations

import functools
from typing import Any

import numpy as np

from . import _array, _check, _lib
from ._array import Array
from ._coding import Coding
from .codebook import LloydMaxCodebook
from .constants import DEFAULT_SEED, DEFAULT_TOTAL_BITS, QJL_COEFF

PRODUCT_DIM_MAX = 8192  # QUASH_PRODUCT_DIM_MAX


class MSEQuantizer:
    """Random rotation, then the nearest of 2^bits levels for each coordinate (Algorithm 1).

    d: coordinates of a vector, 1..16384. bits: 1..4. seed: of the rotation. device: "cpu".
    Attributes: d, bits, seed, device, codebook (its levels, LloydMaxCodebook.frozen).

    Immutable: any number of threads may use one. A copy, also an unpickled one, is made anew from
    d, bits and seed. Errors: ValueError (d, bits, seed), NotImplementedError (device).
    """

    def __init__(self, d: int, bits: int, seed: int = DEFAULT_SEED,
                 device: object = "cpu") -> None:
        self.d = _check.integer("d", d, 1, _check.DIM_MAX)
        self.bits = _check.bits(bits)
        self.seed = _check.seed(seed)
        self.device = _check.device(device)
        self.codebook = LloydMaxCodebook.frozen(self.d, self.bits)
        codec = _lib.Handle("codec", _lib.CodecParams(
            dim=self.d, bits=self.bits, scale_policy=_lib.SCALE_RAW_NORM, scale_dtype=_lib.F32,
            search_level=0, rotation_rounds=2, seed=self.seed))
        self._coding = Coding(codec, self.d, np.array(self.d), 1 << self.bits)

    @functools.cached_property
    def Pi(self) -> np.ndarray:
        """The rotation as an orthogonal (d, d) float32 matrix: rotate(x) = x @ Pi.T. Computed on
        first use; nothing else needs it."""
        return _array.constant(np.asarray(self.rotate(np.eye(self.d, dtype=np.float32))).T)

    def rotate(self, x: Array) -> Array:
        """x (..., d) in the rotated domain: float32, the same shape.
        Errors: TypeError (dtype), ValueError (shape; NaN or infinity, named)."""
        return self._coding.rotate(_lib.lib.quash_rotate, x, "x", inverse=False)

    def unrotate(self, y: Array) -> Array:
        """The inverse of `rotate`."""
        return self._coding.rotate(_lib.lib.quash_rotate, y, "y", inverse=True)

    def compress(self, x: Array) -> tuple[Array, Array]:
        """x (..., d) -> indices (..., d) uint8 and norms (...) float32, the Euclidean lengths.
        Errors: TypeError (dtype), ValueError (shape; NaN, infinity or a norm beyond float32,
        named)."""
        return self._coding.compress(_lib.lib.quash_encode_codes, x)

    def decompress(self, indices: Array, norms: Array) -> Array:
        """The vectors (..., d) of indices (..., d) and norms (...), float32, in the kind of
        indices.
        Errors: TypeError (dtype), ValueError (shape; an index that is 2^bits or more; a norm that
        is negative or not finite; each named)."""
        return self._coding.decompress(_lib.lib.quash_decode_codes, indices, norms)

    def to(self, device: object) -> MSEQuantizer:
        """self. Errors: NotImplementedError (any device but the CPU)."""
        _check.device(device)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.d, self.bits, self.seed)

    def __repr__(self) -> str:
        return f"MSEQuantizer(d={self.d}, bits={self.bits}, seed={self.seed})"


class InnerProductQuantizer:
    """Unbiased inner products: total_bits - 1 bits for the direction, and the sign of a Gaussian
    projection of what they miss (Algorithm 2). Costs d^2 operations per vector.

    d: 1..8192. total_bits: 2..4. use_exact_pdf is accepted and has no effect: the levels are those
    of MSEQuantizer.codebook. Attributes: d, total_bits, mse_bits, seed, device, mse_quantizer,
    qjl_scale (sqrt(pi/2)/d).

    Immutable; copies as MSEQuantizer. Errors: ValueError (d, total_bits, seed),
    NotImplementedError (device).
    """

    def __init__(self, d: int, total_bits: int = DEFAULT_TOTAL_BITS, seed: int = DEFAULT_SEED,
                 device: object = "cpu", use_exact_pdf: bool = False) -> None:
        self.d = _check.integer("d", d, 1, PRODUCT_DIM_MAX)
        self.total_bits = _check.total_bits("total_bits", total_bits, "InnerProductQuantizer")
        self.mse_bits = self.total_bits - 1
        self.seed = _check.seed(seed)
        self.device = _check.device(device)
        self.use_exact_pdf = bool(use_exact_pdf)
        self.mse_quantizer = MSEQuantizer(self.d, self.mse_bits, self.seed)
        self.qjl_scale = QJL_COEFF / self.d

    @functools.cached_property
    def _coding(self) -> Coding:
        """Holds S, 4*d^2 bytes, hence made on first use."""
        product = _lib.Handle("product", _lib.ProductParams(dim=self.d, bits=self.total_bits,
                                                            seed=self.seed))
        return Coding(product, self.d, np.array(self.d), 1 << self.mse_bits)

    @functools.cached_property
    def S(self) -> np.ndarray:
        """The (d, d) float32 standard normal matrix that residuals are projected on, after the
        rotation: signs = S @ r >= 0."""
        matrix = _array.new((self.d, self.d))
        _lib.lib.quash_product_matrix(self._coding.handle, matrix.ctypes.data)
        return _array.constant(matrix)

    def compress(self, x: Array, return_residual: bool = False) -> tuple[Array, ...]:
        """x (..., d) -> mse_indices (..., d) uint8, qjl_signs (..., d) uint8 (1: not negative) and
        norms (...) float32; with return_residual also residual_norms (...) float32, the length of
        what the indices miss of x/|x|.
        Errors: TypeError (dtype), ValueError (shape; NaN, infinity or a norm beyond float32,
        named)."""
        return self._coding.compress_with_signs(_lib.lib.quash_product_encode, x, return_residual)

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
        return self._coding.dot(_lib.lib.quash_product_dot, mse_indices, qjl_signs, norms, q_rot,
                                residual_norms)

    def to(self, device: object) -> InnerProductQuantizer:
        """self. Errors: NotImplementedError (any device but the CPU)."""
        _check.device(device)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.d, self.total_bits, self.seed, self.device, self.use_exact_pdf)

    def __repr__(self) -> str:
        return (f"InnerProductQuantizer(d={self.d}, total_bits={self.total_bits}, "
                f"seed={self.seed})")
