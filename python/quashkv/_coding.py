# SPDX-License-Identifier: Apache-2.0
"""What the quantizers share: their arguments are read, checked and handed to libquash here."""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable

import numpy as np

from . import _array, _lib
from ._array import Array


@dataclass(frozen=True, eq=False)
class Coding:
    """A C object that codes vectors (..., d), and the form of its codes.

    group_sizes: coordinates of each group that has a norm of its own: of shape () or (2,); norms
    have the shape (..., *group_sizes.shape). limits: codes are below it, in all coordinates or in
    each. The functions are those of libquash for the kind of the object.
    """
    handle: _lib.Handle
    d: int
    group_sizes: np.ndarray
    limits: int | np.ndarray

    def rotate(self, function: Callable[..., int], x: Array, name: str, inverse: bool) -> Array:
        rows = _array.read_rows(x, name, self.d)
        out = _array.new(rows.shape)
        _array.call(function, self.handle, inverse, rows.view(-1, self.d),
                    _array.c_view(out.reshape(-1, self.d), _lib.F32), explain=[rows.check_finite])
        return rows.wrap(out)

    def compress(self, function: Callable[..., int], x: Array) -> tuple[Array, Array]:
        """Indices and norms; libquash speaks of scales, norm / sqrt(coordinates of the group)."""
        rows = _array.read_rows(x, "x", self.d)
        indices = np.empty(rows.shape, np.uint8)
        scales = _array.new(self._norm_shape(rows.shape))
        _array.call(function, self.handle, rows.view(-1, self.d), self._bytes(indices),
                    scales.ctypes.data, explain=[rows.check_finite, rows.check_norms])
        with np.errstate(over="ignore"):
            norms = np.asarray(scales * np.sqrt(self.group_sizes, dtype=np.float32))
        if not np.isfinite(norms).all():
            rows.check_norms()
            raise ValueError("x: the norm of a vector is beyond the range of float32")
        return rows.wrap(indices), rows.wrap(norms)

    def decompress(self, function: Callable[..., int], indices: Array, norms: Array) -> Array:
        codes = self._read_codes(indices, "indices")
        lengths = _array.read_norms(norms, "norms", self._norm_shape(codes.shape))
        scales = np.asarray(lengths / np.sqrt(self.group_sizes, dtype=np.float32))
        out = _array.new(codes.shape)
        _array.call(function, self.handle, codes.view(-1, self.d), scales.ctypes.data,
                    _array.c_view(out.reshape(-1, self.d), _lib.F32),
                    explain=[lambda: codes.check_below(self.limits)])
        return codes.wrap(out)

    def compress_with_signs(self, function: Callable[..., int], x: Array,
                            return_residual: bool) -> tuple[Array, ...]:
        """Indices, signs and norms, and residual norms where they are asked for."""
        rows = _array.read_rows(x, "x", self.d)
        indices, signs = np.empty(rows.shape, np.uint8), np.empty(rows.shape, np.uint8)
        norms = _array.new(self._norm_shape(rows.shape))
        residual_norms = _array.new(norms.shape)
        _array.call(function, self.handle, rows.view(-1, self.d), self._bytes(indices),
                    self._bytes(signs), norms.ctypes.data, residual_norms.ctypes.data,
                    explain=[rows.check_finite, rows.check_norms])
        results = (indices, signs, norms, residual_norms)
        return tuple(rows.wrap(result) for result in results[:4 if return_residual else 3])

    def dot(self, function: Callable[..., int], mse_indices: Array, qjl_signs: Array, norms: Array,
            q_rot: Array, residual_norms: Array | None) -> Array:
        codes = self._read_codes(mse_indices, "mse_indices")
        signs = _array.read_bytes(qjl_signs, "qjl_signs")
        if signs.shape != codes.shape:
            raise ValueError(f"qjl_signs: expected shape {codes.shape}, got {signs.shape}")
        signs.check_below(2)
        norm_shape = self._norm_shape(codes.shape)
        lengths = _array.read_norms(norms, "norms", norm_shape)
        residuals = None if residual_norms is None else \
            _array.read_norms(residual_norms, "residual_norms", norm_shape)
        queries = _array.read(q_rot, "q_rot", floating=True)
        _array.check_last(queries.shape, "q_rot", self.d)
        dots = _array.new(codes.shape[:-1])
        _array.call(function, self.handle, codes.view(-1, self.d), signs.view(-1, self.d),
                    lengths.ctypes.data, None if residuals is None else residuals.ctypes.data,
                    _broadcast(queries, codes.shape), dots.ctypes.data,
                    explain=[queries.check_finite, lambda: codes.check_below(self.limits)])
        return queries.wrap(dots)

    def _read_codes(self, indices: Array, name: str) -> _array.Input:
        codes = _array.read_bytes(indices, name)
        _array.check_last(codes.shape, name, self.d)
        return codes

    def _norm_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return shape[:-1] + self.group_sizes.shape

    def _bytes(self, array: np.ndarray) -> _lib.Array:
        return _array.c_view(array.reshape(-1, self.d), _lib.U8)


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
