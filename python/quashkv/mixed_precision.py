# SPDX-License-Identifier: Apache-2.0
"""More bits for some channels, the outliers (arXiv 2504.19874, section 4.2).

Outliers are chosen before the rotation, after which all channels are alike; the outliers and the
other channels are two groups, each with a rotation, levels and a norm of its own. The second norm
of a vector adds to the bits per coordinate.
"""
from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from . import _array, _check, _lib
from ._array import Array
from ._coding import Coding
from .constants import DEFAULT_SEED
from .quantizer import PRODUCT_DIM_MAX

#: The paper's rates: outlier_bits, regular_bits, and one outlier in so many channels.
PRESETS = {"2.25": (3, 2, 4), "2.5": (3, 2, 2), "3.5": (4, 3, 2)}

_Self = TypeVar("_Self", bound="_MixedPrecision")


class _MixedPrecision:
    """Channels and the C object that both quantizers share."""

    _dim_max = _check.DIM_MAX
    _sign_bits = 0

    def __init__(self, d: int, outlier_bits: int = 3, regular_bits: int = 2, n_outliers: int = 32,
                 seed: int = DEFAULT_SEED, device: object = "cpu") -> None:
        self.d = _check.integer("d", d, 1, self._dim_max)
        self.outlier_bits = _check.bits(outlier_bits)
        self.regular_bits = _check.bits(regular_bits)
        if self.outlier_bits < self.regular_bits:
            raise ValueError("outlier_bits should be >= regular_bits")
        self.n_outliers = _check.index("n_outliers", n_outliers)
        if not 0 <= self.n_outliers <= self.d:
            raise ValueError(f"n_outliers must be in [0, d], got {n_outliers}")
        self.seed = _check.seed(seed)
        self.device = _check.device(device)
        self._use_channels(None)

    @classmethod
    def from_preset(cls: type[_Self], d: int, preset: str, seed: int = DEFAULT_SEED,
                    device: object = "cpu") -> _Self:
        """A quantizer at one of the paper's rates, still to be calibrated; effective_bits is the
        rate. preset: "2.25", a quarter of the channels at 3 bits and the others at 2 (d a multiple
        of 4); "2.5", half at 3, half at 2; or "3.5", half at 4, half at 3 (d even).
        Errors: ValueError (preset; a d that the split does not divide; seed), NotImplementedError
        (device)."""
        if str(preset) not in PRESETS:
            raise ValueError(f"preset is {preset!r}, expected one of {', '.join(PRESETS)}")
        outlier_bits, regular_bits, share = PRESETS[str(preset)]
        if _check.index("d", d) % share != 0:
            raise ValueError(f"d is {d}, expected a multiple of {share} for {preset} bits")
        return cls(d, outlier_bits, regular_bits, d // share, seed, device)

    def _use_channels(self, channels: np.ndarray | None) -> None:
        chosen = np.empty(0, np.int32) if channels is None else channels
        outlier_bits = self.outlier_bits - self._sign_bits
        regular_bits = self.regular_bits - self._sign_bits
        mixed = _lib.Handle("mixed", _lib.MixedParams(
            dim=self.d, outlier_bits=outlier_bits, regular_bits=regular_bits,
            outliers=chosen.ctypes.data, outlier_count=len(chosen),
            scale_policy=_lib.SCALE_RAW_NORM, search_level=0, product=self._sign_bits,
            seed=self.seed))
        group_sizes = np.maximum([len(chosen), self.d - len(chosen)], 1)
        limits = np.full(self.d, 1 << regular_bits)
        limits[chosen] = 1 << outlier_bits
        #: Ascending int32 channels that get outlier_bits; None before calibration.
        self.outlier_channels = channels
        self._coding = Coding(mixed, self.d, group_sizes, limits)

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
        if rows.shape[0] == 0:
            raise ValueError("data has no rows")
        channels = np.empty(self.n_outliers, np.int32)
        _array.call(_lib.lib.quash_outlier_channels, _lib.context(), rows.view(), self.n_outliers,
                    channels.ctypes.data, explain=[rows.check_finite])
        self._use_channels(channels)

    def set_outlier_channels(self, indices: Array | list[int]) -> None:
        """Makes these channels the outliers: a list or an array of different integers in [0, d), of
        any number; n_outliers becomes that number.
        Errors: TypeError (no integers), ValueError (a channel out of range or twice, named)."""
        if isinstance(indices, (list, tuple, range)):
            numbers = [_check.index(f"indices[{i}]", value) for i, value in enumerate(indices)]
        else:
            array, dtype = _array.to_numpy(indices, "indices")
            if array.dtype.kind not in "iu" or array.ndim != 1:
                raise TypeError(f"indices: expected one dimension of integers, got {dtype} of "
                                f"shape {array.shape}")
            numbers = array.tolist()
        for i, number in enumerate(numbers):
            _check.integer(f"indices[{i}]", number, 0, self.d - 1)
        channels = np.array(sorted(numbers), np.int32)
        twice = channels[1:][channels[1:] == channels[:-1]]
        if twice.size:
            raise ValueError(f"indices: channel {twice[0]} appears twice")
        self._use_channels(channels)
        self.n_outliers = len(numbers)

    def rotate(self, x: Array) -> Array:
        """x (..., d), each group of channels rotated in the place of its channels: float32.
        Errors: TypeError (dtype), ValueError (shape; NaN or infinity, named)."""
        return self._coding.rotate(_lib.lib.quash_mixed_rotate, x, "x", inverse=False)

    def unrotate(self, y: Array) -> Array:
        """The inverse of `rotate`."""
        return self._coding.rotate(_lib.lib.quash_mixed_rotate, y, "y", inverse=True)

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = (self.d, self.outlier_bits, self.regular_bits, self.n_outliers, self.seed)
        return type(self), arguments, self.outlier_channels

    def __setstate__(self, channels: np.ndarray) -> None:
        self._use_channels(channels)

    def __repr__(self) -> str:
        return (f"{type(self).__name__}(d={self.d}, outlier_bits={self.outlier_bits}, "
                f"regular_bits={self.regular_bits}, n_outliers={self.n_outliers}, "
                f"effective_bits={self.effective_bits:g})")


class MixedPrecisionMSEQuantizer(_MixedPrecision):
    """MSEQuantizer with outlier_bits for n_outliers channels and regular_bits for the others.

    d: 1..16384. outlier_bits >= regular_bits, 1..4 each; from_preset has the paper's rates. Works
    uncalibrated: all channels regular. One thread calibrates, then any number compress.
    Attributes: d, outlier_bits, regular_bits, n_outliers, outlier_channels, seed, device.
    Errors: ValueError (d, bits, n_outliers, seed), NotImplementedError (device).
    """

    def compress(self, x: Array) -> tuple[Array, Array]:
        """x (..., d) -> indices (..., d) uint8, where index i is of channel i, and norms (..., 2)
        float32: of the outliers, then of the other channels (0 for a group without channels).
        Errors: TypeError (dtype), ValueError (shape; NaN, infinity or a norm beyond float32,
        named)."""
        return self._coding.compress(_lib.lib.quash_mixed_encode, x)

    def decompress(self, indices: Array, norms: Array) -> Array:
        """The vectors (..., d) of indices (..., d) and norms (..., 2): float32, in the kind of
        indices. Errors: TypeError (dtype), ValueError (shape; an index too large for its channel; a
        norm that is negative or not finite)."""
        return self._coding.decompress(_lib.lib.quash_mixed_decode, indices, norms)

    def to(self, device: object) -> MixedPrecisionMSEQuantizer:
        """self. Errors: NotImplementedError (any device but the CPU)."""
        _check.device(device)
        return self


class MixedPrecisionIPQuantizer(_MixedPrecision):
    """InnerProductQuantizer with outlier_bits for n_outliers channels and regular_bits for the
    others; the bits count the sign bit that every channel has.

    The variance of a group's estimate falls with its number of channels, so a small group of
    outliers dominates where queries have the same outliers. With 16 of 128 channels ten times as
    large, the mean square error at 2.25 / 2.5 / 3.5 bits is .42 / .51 / .50 times that of
    InnerProductQuantizer at the same rate for queries of any direction, but 1.38 / .91 / .82 times
    for queries with the same outliers; and all bits as levels, MixedPrecisionMSEQuantizer, has
    .08-.10 and .16-.29 (`quashkv bench quality`). Take this class where an estimate has to be
    unbiased over seeds, and queries do not share the outliers; otherwise the levels.

    d: 1..8192. outlier_bits >= regular_bits, 2..4 each. mse_quantizer: the levels without the
    signs, a MixedPrecisionMSEQuantizer of one bit less with the same channels and rotations.
    Errors: ValueError (d, bits, n_outliers, seed), NotImplementedError (device).
    """

    _dim_max = PRODUCT_DIM_MAX
    _sign_bits = 1

    def __init__(self, d: int, outlier_bits: int = 3, regular_bits: int = 2, n_outliers: int = 32,
                 seed: int = DEFAULT_SEED, device: object = "cpu") -> None:
        outlier_bits = _check.total_bits("outlier_bits", outlier_bits, "IP quantizer")
        regular_bits = _check.total_bits("regular_bits", regular_bits, "IP quantizer")
        super().__init__(d, outlier_bits, regular_bits, n_outliers, seed, device)
        self.mse_quantizer = MixedPrecisionMSEQuantizer(d, outlier_bits - 1, regular_bits - 1,
                                                        n_outliers, seed, device)

    def _use_channels(self, channels: np.ndarray | None) -> None:
        super()._use_channels(channels)
        if channels is not None:
            self.mse_quantizer.set_outlier_channels(channels)

    def compress(self, x: Array, return_residual: bool = False) -> tuple[Array, ...]:
        """x (..., d) -> mse_indices, qjl_signs (..., d) uint8 and norms (..., 2); with
        return_residual also residual_norms (..., 2), as InnerProductQuantizer.compress for each
        group of channels. Errors: as there."""
        return self._coding.compress_with_signs(_lib.lib.quash_mixed_product_encode, x,
                                                return_residual)

    def decompress_for_dot(self, mse_indices: Array, qjl_signs: Array, norms: Array, q_rot: Array,
                           residual_norms: Array | None = None) -> Array:
        """Estimates of <q, x>, shape (...) float32, for q_rot = rotate(q): the sum over both groups
        of InnerProductQuantizer.decompress_for_dot. norms and residual_norms: (..., 2)."""
        return self._coding.dot(_lib.lib.quash_mixed_product_dot, mse_indices, qjl_signs, norms,
                                q_rot, residual_norms)

    def to(self, device: object) -> MixedPrecisionIPQuantizer:
        """self. Errors: NotImplementedError (any device but the CPU)."""
        _check.device(device)
        return self
