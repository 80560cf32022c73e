# SPDX-License-Identifier: Apache-2.0
"""Normalise, rotate, quantize, on explicit matrices (arXiv 2504.19874, Algorithms 1 and 2)."""
from __future__ import annotations

import numpy as np

from .. import _array
from .._array import Array
from ._common import matrix, vector

#: No Triton is needed: code that asks takes its own other path.
HAS_TRITON = False


def fused_compress_mse(x: Array, Pi: Array, boundaries: Array) -> tuple[Array, Array]:
    """x (..., d), Pi (d, d), boundaries (2^b - 1,) for coordinates of unit vectors -> indices
    (..., d) uint8 and norms (...) float32. A zero vector has norm 0.
    Errors: TypeError (dtype), ValueError (shape; NaN or infinity, named)."""
    given = _array.read(x, "x")
    indices, norms, _ = _compress(given, Pi, boundaries)
    return given.wrap(indices), given.wrap(norms)


def fused_compress_ip(x: Array, Pi: Array, boundaries: Array, S: Array,
                      centroids: Array) -> tuple[Array, Array, Array]:
    """As fused_compress_mse, then the signs of S r, where r is what centroids (2^b,) miss of the
    rotated unit vector -> mse_indices, qjl_signs (..., d) uint8 (1: not negative), norms (...)."""
    given = _array.read(x, "x")
    indices, norms, rotated = _compress(given, Pi, boundaries)
    centroid_values = vector(centroids, "centroids")
    expected = len(vector(boundaries, "boundaries")) + 1
    if len(centroid_values) != expected:
        raise ValueError(f"centroids: expected {expected}, one more than boundaries, got "
                         f"{len(centroid_values)}")
    residual = rotated - centroid_values[indices]
    signs = (residual @ matrix(S, "S", rotated.shape[-1]).T >= 0).astype(np.uint8)
    return given.wrap(indices), given.wrap(signs), given.wrap(norms)


def _compress(given: _array.Input, Pi: Array,
              boundaries: Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    if not given.shape:
        raise ValueError("x: expected shape (..., d), got ()")
    given.check_finite()
    values = given.floats()
    # A power of two keeps the squares of any float32 vector in range, and is exact.
    _, exponent = np.frexp(np.abs(values).max(axis=-1, keepdims=True, initial=0))
    scaled = np.ldexp(values, -exponent)
    lengths = np.linalg.norm(scaled, axis=-1, keepdims=True)
    unit = scaled / np.where(lengths > 0, lengths, 1)
    rotated = unit @ matrix(Pi, "Pi", values.shape[-1]).T
    indices = np.searchsorted(vector(boundaries, "boundaries"), rotated, side="right")
    norms = np.ldexp(lengths, exponent)[..., 0]
    return np.asarray(indices, np.uint8), np.asarray(norms), rotated
