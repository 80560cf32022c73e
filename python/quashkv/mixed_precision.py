# SPDX-License-Identifier: Apache-2.0
"""More bits for some channels, the outliers (arXiv 2504.19874, section 4.2).

Outliers are chosen before the rotation, after which all channels are alike; the outliers and the
other channels are two groups, each with a rotation, levels and a norm of its own. 32 of 128
channels at 3 bits and the rest at 2 are 2.25 bits per coordinate; half and half 2.5; 4 and 3 bits
half and half 3.5. The second norm of a vector adds to that.
"""
from __future__ import annotations

import operator

import numpy as np

from . import _array, _check, _lib
from ._array import Array
from .constants import DEFAULT_SEED
from .quantizer import PRODUCT_DIM_MAX, norms_of_scales, product_dot


class _MixedPrecision:
    """Channels and the C object that both quantizers share."""

    def __init__(self, d: int, outlier_bits: int, regular_bits: int, n_outliers: int, seed: int,
                 device: object, product: bool) -> None:
        self.d = _check.integer("d", d, 1, PRODUCT_DIM_MAX if product else _check.DIM_MAX)
        self.outlier_bits = _check.bits(outlier_bits)
        self.regular_bits = _check.bits(regular_bits)
        if self.outlier_bits < self.regular_bits:
            raise ValueError("outlier_bits should be >= regular_bits")
        self.n_outliers = operator.index(n_outliers)
        if not 0 <= self.n_outliers <= self.d:
            raise ValueError(f"n_outliers must be in [0, d], got {n_outliers}")
        self.seed = _check.seed(seed)
        self.device = _check.device(device)
        self._sign_bits = 1 if product else 0
        self._use_channels(None)

    def _use_channels(self, channels: np.ndarray | None) -> None:
        chosen = np.empty(0, np.int32) if channels is None else channels
        self._mixed = _lib.Handle("mixed", _lib.MixedParams(
            dim=self.d, outlier_bits=self.outlier_bits - self._sign_bits,
            regular_bits=self.regular_bits - self._sign_bits, outliers=chosen.ctypes.data,
            outlier_count=len(chosen), scale_policy=_lib.SCALE_RAW_NORM, search_level=0,
            product=self._sign_bits, seed=self.seed))
        #: Ascending int32 channels that get outlier_bits; None before calibration.
        self.outlier_channels = channels
        self._group_sizes = np.maximum([len(chosen), self.d - len(chosen)], 1)

    @property
    def calibrated(self) -> bool:
        """Whether the outliers are known; before that all channels are coded as regular ones."""
        return self.outlier_channels is not None

    @property
    def effective_bits(self) -> float:
        """Bits per coordinate once calibrated, sign bits included, norms not."""
        regular = self.d - self.n_outliers
        return (self.n_outliers * self.outlier_bits + regular * self.regular_bits) / self.d

    def calibrate(self, data: Array) -> None:
        """Makes the n_outliers channels of largest mean square over data (N, d) the outliers.
        Errors: ValueError (shape; no rows; NaN or infinity, named), TypeError (dtype)."""
        rows = _array.read(data, "data")
        if len(rows.shape) != 2 or rows.shape[1] != self.d:
            raise ValueError(f"Expected (N, d) calibration data, got shape {rows.shape} with d = "
                             f"{self.d}")
        channels = np.empty(self.n_outliers, np.int32)
        _array.call(_lib.lib.quash_outlier_channels, _lib.context(), rows.view(), self.n_outliers,
                    channels.ctypes.data, finite=[rows])
        self._use_channels(channels)

    def set_outlier_channels(self, indices: Array | list[int]) -> None:
        """Makes these channels the outliers: a list or an array of different integers in [0, d), of
        any number; n_outliers becomes that number.
        Errors: TypeError (no integers), ValueError (a channel out of range or twice, named)."""
        if isinstance(indices, (list, tuple, range)):
            numbers = [operator.index(i) for i in indices]
        else:
            array, dtype = _array.to_numpy(indices, "indices")
            if array.dtype.kind not in "iu" or array.ndim != 1:
                raise TypeError(f"indices: expected one dimension of integers, got {dtype} of "
                                f"shape {array.shape}")
            numbers = array.tolist()
        if any(not 0 <= number < self.d for number in numbers):
            raise ValueError(f"indices: expected channels in [0, {self.d}), got "
                             f"{min(numbers)}..{max(numbers)}")
        self._use_channels(np.array(sorted(numbers), np.int32))
        self.n_outliers = len(numbers)

    def rotate(self, x: Array) -> Array:
        """x (..., d), each group of channels rotated in the place of its channels: float32.
        Errors: TypeError (dtype), ValueError (shape; NaN or infinity, named)."""
        return self._rotate(x, "x", 0)

    def unrotate(self, y: Array) -> Array:
        """The inverse of `rotate`."""
        return self._rotate(y, "y", 1)

    def _rotate(self, x: Array, name: str, inverse: int) -> Array:
        rows = _array.read_rows(x, name, self.d)
        out = _array.new(rows.shape)
        _array.call(_lib.lib.quash_mixed_rotate, self._mixed, inverse, rows.view(-1, self.d),
                    _array.c_view(out.reshape(-1, self.d), _lib.F32), finite=[rows])
        return rows.wrap(out)

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(d={self.d}, outlier_bits={self.outlier_bits}, "
                f"regular_bits={self.regular_bits}, n_outliers={self.n_outliers}, "
                f"effective_bits={self.effective_bits:g})")


class MixedPrecisionMSEQuantizer(_MixedPrecision):
    """MSEQuantizer with outlier_bits for n_outliers channels and regular_bits for the others.

    d: 1..16384. outlier_bits >= regular_bits, 1..4 each. Works uncalibrated: all channels regular.
    One thread calibrates, then any number compress.
    Errors: ValueError (d, bits, n_outliers, seed), NotImplementedError (device).
    """

    def __init__(self, d: int, outlier_bits: int = 3, regular_bits: int = 2, n_outliers: int = 32,
                 seed: int = DEFAULT_SEED, device: object = "cpu") -> None:
        super().__init__(d, outlier_bits, regular_bits, n_outliers, seed, device, product=False)

    def compress(self, x: Array) -> tuple[Array, Array]:
        """x (..., d) -> indices (..., d) uint8, where index i is of channel i, and norms (..., 2)
        float32: of the outliers, then of the other channels (0 for a group without channels).
        Errors: TypeError (dtype), ValueError (shape; NaN or infinity, named; norm beyond
        float32)."""
        rows = _array.read_rows(x, "x", self.d)
        indices = np.empty(rows.shape, np.uint8)
        scales = _array.new(rows.shape[:-1] + (2,))
        _array.call(_lib.lib.quash_mixed_encode, self._mixed, rows.view(-1, self.d),
                    _array.c_view(indices.reshape(-1, self.d), _lib.U8), scales.ctypes.data,
                    finite=[rows])
        return rows.wrap(indices), rows.wrap(norms_of_scales(scales, self._group_sizes))

    def decompress(self, indices: Array, norms: Array) -> Array:
        """The vectors (..., d) of indices (..., d) and norms (..., 2): float32, in the kind of
        indices. Errors: TypeError (dtype), ValueError (shape; an index too large for its channel; a
        norm that is negative or not finite)."""
        codes = _array.read_bytes(indices, "indices")
        _array.check_last(codes.shape, "indices", self.d)
        scales = _array.read_norms(norms, "norms", codes.shape[:-1] + (2,))
        scales = np.ascontiguousarray(scales / np.sqrt(self._group_sizes), np.float32)
        out = _array.new(codes.shape)
        _array.call(_lib.lib.quash_mixed_decode, self._mixed, codes.view(-1, self.d),
                    scales.ctypes.data, _array.c_view(out.reshape(-1, self.d), _lib.F32))
        return codes.wrap(out)

    def to(self, device: object) -> MixedPrecisionMSEQuantizer:
        """self. Errors: NotImplementedError (any device but the CPU)."""
        _check.device(device)
        return self


class MixedPrecisionIPQuantizer(_MixedPrecision):
    """InnerProductQuantizer with outlier_bits for n_outliers channels and regular_bits for the
    others; the bits count the sign bit that every channel has.

    d: 1..8192. outlier_bits >= regular_bits, 2..4 each. mse_quantizer: the levels without the
    signs, a MixedPrecisionMSEQuantizer of one bit less with the same channels and rotations.
    Errors: ValueError (d, bits, n_outliers, seed), NotImplementedError (device).
    """

    def __init__(self, d: int, outlier_bits: int = 3, regular_bits: int = 2, n_outliers: int = 32,
                 seed: int = DEFAULT_SEED, device: object = "cpu") -> None:
        if min(outlier_bits, regular_bits) < 2:
            raise ValueError("IP quantizer needs at least 2 total bits")
        self.mse_quantizer = MixedPrecisionMSEQuantizer(d, outlier_bits - 1, regular_bits - 1,
                                                        n_outliers, seed, device)
        super().__init__(d, outlier_bits, regular_bits, n_outliers, seed, device, product=True)

    def _use_channels(self, channels: np.ndarray | None) -> None:
        super()._use_channels(channels)
        if channels is not None:
            self.mse_quantizer.set_outlier_channels(channels)

    def compress(self, x: Array, return_residual: bool = False) -> tuple[Array, ...]:
        """x (..., d) -> mse_indices, qjl_signs (..., d) uint8 and norms (..., 2); with
        return_residual also residual_norms (..., 2), as InnerProductQuantizer.compress for each
        group of channels. Errors: as there."""
        rows = _array.read_rows(x, "x", self.d)
        indices, signs = np.empty(rows.shape, np.uint8), np.empty(rows.shape, np.uint8)
        shape = rows.shape[:-1] + (2,)
        norms, residual_norms = _array.new(shape), _array.new(shape)
        _array.call(_lib.lib.quash_mixed_product_encode, self._mixed, rows.view(-1, self.d),
                    _array.c_view(indices.reshape(-1, self.d), _lib.U8),
                    _array.c_view(signs.reshape(-1, self.d), _lib.U8), norms.ctypes.data,
                    residual_norms.ctypes.data, finite=[rows])
        results = (indices, signs, norms, residual_norms)
        return tuple(rows.wrap(result) for result in results[:4 if return_residual else 3])

    def decompress_for_dot(self, mse_indices: Array, qjl_signs: Array, norms: Array, q_rot: Array,
                           residual_norms: Array | None = None) -> Array:
        """Estimates of <q, x>, shape (...) float32, for q_rot = rotate(q): the sum over both groups
        of InnerProductQuantizer.decompress_for_dot. norms and residual_norms: (..., 2)."""
        return product_dot(_lib.lib.quash_mixed_product_dot, self._mixed, self.d, (2,), mse_indices,
                           qjl_signs, norms, q_rot, residual_norms)

    def to(self, device: object) -> MixedPrecisionIPQuantizer:
        """self. Errors: NotImplementedError (any device but the CPU)."""
        _check.device(device)
        return self
