# SPDX-License-Identifier: Apache-2.0
"""Scalar codebooks for one coordinate of a random unit vector (arXiv 2504.19874, section 3.1)."""
from __future__ import annotations

import functools
import math

import numpy as np

from . import _array, _check, _lib
from ._array import Array


class LloydMaxCodebook:
    """The optimal 2^bits levels for a coordinate of a random unit vector in d dimensions.

    d: dimensions, 1..16384. bits: 1..4. use_exact_pdf: solve for the exact density of a coordinate
    on the sphere (paper, Lemma 1; d >= 2) instead of its Gaussian limit N(0, 1/d).

    Errors: ValueError (d or bits out of range).
    """

    def __init__(self, d: int, bits: int, *, use_exact_pdf: bool = False) -> None:
        self.use_exact_pdf = bool(use_exact_pdf)
        self.d = _check.integer("d", d, 2 if self.use_exact_pdf else 1, _check.DIM_MAX)
        self.bits = _check.bits(bits)
        levels, error = _lib.codebook_solve(self.d if self.use_exact_pdf else 0, self.bits)
        self._set(levels, error)

    @classmethod
    def frozen(cls, d: int, bits: int) -> LloydMaxCodebook:
        """The levels that every quantizer, cache and index uses: multiples of one step, within .3 %
        of the optimal error (doc/numerics.md)."""
        codebook = cls.__new__(cls)
        codebook.d = _check.integer("d", d, 1, _check.DIM_MAX)
        codebook.bits = _check.bits(bits)
        codebook.use_exact_pdf = False
        levels = _lib.codebook_levels(codebook.bits)
        codebook._set(levels, gaussian_error(levels))
        return codebook

    def _set(self, levels: list[float], error: float) -> None:
        scaled = np.array(levels) / math.sqrt(self.d)
        self._error = error
        #: (2^bits,) float32, ascending: levels for coordinates of a unit vector.
        self.centroids = _array.constant(scaled.astype(np.float32))
        #: (2^bits - 1,) float32: half-way between neighbouring centroids.
        self.boundaries = _array.constant(((scaled[1:] + scaled[:-1]) / 2).astype(np.float32))

    def quantize(self, x: Array) -> Array:
        """Index of the nearest centroid of each element: uint8, the shape of x. Half-way between
        two centroids: the upper one.
        Errors: TypeError (dtype), ValueError (NaN or infinity, named)."""
        given, values = self._read(x)
        codes = np.zeros(values.shape, np.uint8)
        for boundary in self.boundaries:
            codes += values >= boundary
        return given.wrap(codes)

    def quantize_boundary(self, x: Array) -> Array:
        """The result of `quantize`, found by binary search."""
        given, values = self._read(x)
        codes = np.searchsorted(self.boundaries, values, side="right")
        return given.wrap(np.asarray(codes, np.uint8))

    def _read(self, x: Array) -> tuple[_array.Input, np.ndarray]:
        given = _array.read(x, "x")
        given.check_finite()
        return given, given.floats()

    def dequantize(self, idx: Array) -> Array:
        """centroids[idx]: float32, the shape of idx.
        Errors: TypeError (no integers), ValueError (an index that is 2^bits or more, named)."""
        given = _array.read_bytes(idx, "idx")
        given.check_below(1 << self.bits)
        return given.wrap(np.asarray(self.centroids)[given.array])

    def mse_cost(self) -> float:
        """Mean squared error of a quantized random unit vector: d times that of a coordinate."""
        return self._error

    def to(self, device: object) -> LloydMaxCodebook:
        """self. Errors: NotImplementedError (any device but the CPU)."""
        _check.device(device)
        return self

    def __repr__(self) -> str:
        return f"LloydMaxCodebook(d={self.d}, bits={self.bits}, mse_cost={self._error:.6f})"


def gaussian_error(levels: list[float]) -> float:
    """E(z - nearest level)^2 for z ~ N(0, 1) and ascending levels: the integral over each cell."""
    edges = [-math.inf, *((a + b) / 2 for a, b in zip(levels, levels[1:])), math.inf]
    density = [math.exp(-t * t / 2) / math.sqrt(2 * math.pi) for t in edges]
    moment = [0.0 if math.isinf(t) else t * p for t, p in zip(edges, density)]
    below = [(1 + math.erf(t / math.sqrt(2))) / 2 for t in edges]
    error = 0.0
    for i, level in enumerate(levels):
        error += (1 + level * level) * (below[i + 1] - below[i]) - (moment[i + 1] - moment[i]) \
            + 2 * level * (density[i + 1] - density[i])
    return error


def solve_lloyd_max(d: int, bits: int, *,
                    use_exact_pdf: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(centroids, boundaries) of LloydMaxCodebook(d, bits, use_exact_pdf=use_exact_pdf)."""
    codebook = LloydMaxCodebook(d, bits, use_exact_pdf=use_exact_pdf)
    return codebook.centroids, codebook.boundaries


def compute_mse_cost(d: int, bits: int, *, use_exact_pdf: bool = False) -> float:
    """Mean squared error of one coordinate of a random unit vector; times d: of the vector."""
    return LloydMaxCodebook(d, bits, use_exact_pdf=use_exact_pdf).mse_cost() / d


@functools.lru_cache(maxsize=128)
def get_codebook(d: int, bits: int, *, use_exact_pdf: bool = False) -> LloydMaxCodebook:
    """A shared LloydMaxCodebook, solved once for each set of arguments."""
    return LloydMaxCodebook(d, bits, use_exact_pdf=use_exact_pdf)
