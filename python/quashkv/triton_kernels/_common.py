# SPDX-License-Identifier: Apache-2.0
"""What the functions of this package share."""
from __future__ import annotations

import math

import numpy as np

from .. import _array, theory
from .._array import Array


def floats(value: Array, name: str) -> np.ndarray:
    """A finite float32 array of any kind. Errors: TypeError (dtype), ValueError (NaN, infinity)."""
    given = _array.read(value, name)
    given.check_finite()
    return given.floats()


def matrix(value: Array, name: str, d: int) -> np.ndarray:
    """(d, d) float32. Errors: as floats; ValueError (shape)."""
    result = floats(value, name)
    if result.shape != (d, d):
        raise ValueError(f"{name}: expected shape {(d, d)}, got {result.shape}")
    return result


def vector(value: Array, name: str) -> np.ndarray:
    """(n,) float32. Errors: as floats; ValueError (shape)."""
    result = floats(value, name)
    if result.ndim != 1:
        raise ValueError(f"{name}: expected one dimension, got shape {result.shape}")
    return result


def levels(indices: _array.Input, centroids: np.ndarray) -> np.ndarray:
    """centroids[indices]. Errors: ValueError (an index that is too large, named)."""
    indices.check_below(len(centroids))
    return centroids[indices.array]


def expected_residual(d: int, centroids: np.ndarray) -> float:
    """Root mean square of |u - decoded u| for a random unit vector u and these levels: by the
    variance of the inner-product quantizer (theory.product_variance), which contains it.
    Errors: ValueError (not 2, 4 or 8 levels)."""
    if len(centroids) not in (2, 4, 8):
        raise ValueError(f"centroids: expected 2, 4 or 8 where residual norms are left out, got "
                         f"{len(centroids)}")
    bits = int(math.log2(len(centroids)))
    dim = max(d, 2)
    variance = theory.product_variance(dim, bits + 1)
    return math.sqrt(variance * dim / (math.pi / 2 - 1 / dim))
