# SPDX-License-Identifier: Apache-2.0
"""Look up, rotate back, scale, on explicit matrices (arXiv 2504.19874, Algorithms 1 and 2)."""
from __future__ import annotations

import numpy as np

from .. import _array
from .._array import Array
from ._common import expected_residual, levels, matrix, vector


def fused_decompress_mse(indices: Array, norms: Array, Pi: Array, centroids: Array) -> Array:
    """indices (..., d), norms (...), Pi (d, d), centroids (2^b,) for coordinates of unit vectors ->
    vectors (..., d) float32.
    Errors: TypeError (dtype), ValueError (shape; an index without centroid; NaN or infinity)."""
    codes = _array.read_bytes(indices, "indices")
    unit = levels(codes, vector(centroids, "centroids"))
    return codes.wrap(_restore(unit, norms, Pi))


def fused_decompress_ip(mse_indices: Array, qjl_signs: Array, norms: Array, Pi: Array,
                        centroids: Array, S: Array, qjl_scale: float,
                        residual_norms: Array | None = None) -> Array:
    """As fused_decompress_mse, plus qjl_scale * |r| * S^T sign for what the centroids miss: an
    unbiased, noisy vector for inner products. qjl_signs (..., d): 0 or 1. qjl_scale:
    sqrt(pi/2)/d. residual_norms (...): |r|; None: the root of its expected square."""
    codes = _array.read_bytes(mse_indices, "mse_indices")
    unit = levels(codes, vector(centroids, "centroids"))
    missed = projected_signs(qjl_signs, codes.shape, centroids, S, residual_norms)
    return codes.wrap(_restore(unit + np.float32(qjl_scale) * missed, norms, Pi))


def projected_signs(qjl_signs: Array, shape: tuple[int, ...], centroids: Array, S: Array,
                    residual_norms: Array | None) -> np.ndarray:
    """|r| * S^T sign of shape (..., d)."""
    signs = _array.read_bytes(qjl_signs, "qjl_signs")
    if signs.shape != shape:
        raise ValueError(f"qjl_signs: expected shape {shape}, got {signs.shape}")
    signs.check_below(2)
    d = shape[-1]
    if residual_norms is None:
        lengths = np.array(expected_residual(d, vector(centroids, "centroids")), np.float32)
    else:
        lengths = _array.read_norms(residual_norms, "residual_norms", shape[:-1])[..., None]
    plus_minus = np.where(signs.array > 0, np.float32(1), np.float32(-1))
    return lengths * (plus_minus @ matrix(S, "S", d))


def _restore(unit: np.ndarray, norms: Array, Pi: Array) -> np.ndarray:
    if not unit.shape:
        raise ValueError("indices: expected shape (..., d), got ()")
    lengths = _array.read_norms(norms, "norms", unit.shape[:-1])
    return lengths[..., None] * (unit @ matrix(Pi, "Pi", unit.shape[-1]))
