# SPDX-License-Identifier: Apache-2.0
"""The part of `quashkv bench quality` that is about mixed precision, at its three presets."""
from __future__ import annotations

from typing import Callable

import numpy as np

from .. import (InnerProductQuantizer, MixedPrecisionIPQuantizer, MixedPrecisionMSEQuantizer,
                MSEQuantizer)
from ..mixed_precision import PRESETS
from .report import Column, Table
from .vectors import nmse, unit

SEEDS = 8  # matrices that an inner-product quantizer is averaged over

Estimator = Callable[[np.ndarray, np.ndarray, int], np.ndarray]  # of <q, x>, with a seed


def with_outliers(x: np.ndarray) -> np.ndarray:
    """x with the channels of outliers() ten times as large."""
    result = x.copy()
    result[:, outliers(x.shape[1])] *= 10
    return result


def outliers(dim: int) -> range:
    """16 channels at equal distances, where dim is a multiple of 16."""
    return range(0, dim, max(1, dim // 16))


def _uniform(preset: str, error: Callable[[int], float]) -> float:
    """The errors of the two whole-bit quantizers of a preset, averaged at its rate."""
    high, low, share = PRESETS[preset]
    return (error(high) + (share - 1) * error(low)) / share


def mse_table(x: np.ndarray, seed: int) -> Table:
    dim = x.shape[1]
    table = Table("mixed", f"MixedPrecisionMSEQuantizer, dim {dim}: nMSE beside that of uniform "
                           "bits at the same rate", [
        Column("data", "data"), Column("bits", "bits", 2), Column("uniform", "uniform\nbits", 4),
        Column("mixed", "mixed\n", 4), Column("gain", "gain, %\n", 1),
        Column("after_rotation", "channels chosen\nafter rotation", 4),
        Column("after_rotation_gain", "gain, %\n", 1)])
    for name, data in (f"{len(outliers(dim))} channels x 10", with_outliers(x)), ("Gaussian", x):
        for preset in PRESETS:
            uniform = _uniform(preset, lambda bits: nmse_of(data, MSEQuantizer(dim, bits, seed)))
            mixed = mixed_nmse(data, preset, seed)
            late = mixed_nmse(np.asarray(MSEQuantizer(dim, 1, seed + 1).rotate(data)), preset, seed)
            table.add(data=name, bits=float(preset), uniform=uniform, mixed=mixed,
                      gain=100 * (1 - mixed / uniform), after_rotation=late,
                      after_rotation_gain=100 * (1 - late / uniform))
    table.notes = ["uniform bits: errors of the whole-bit quantizers averaged at this rate. after "
                   "rotation: as the prototype chose."]
    return table


def nmse_of(data: np.ndarray, quantizer: MSEQuantizer | MixedPrecisionMSEQuantizer) -> float:
    return nmse(data, quantizer.decompress(*quantizer.compress(data)))


def mixed_nmse(data: np.ndarray, preset: str, seed: int) -> float:
    quantizer = MixedPrecisionMSEQuantizer.from_preset(data.shape[1], preset, seed)
    quantizer.calibrate(data)
    return nmse_of(data, quantizer)


# ---- Inner products ------------------------------------------------------------------------------

def _by_uniform_signs(bits: int) -> Estimator:
    def estimate(x: np.ndarray, q: np.ndarray, seed: int) -> np.ndarray:
        quantizer = InnerProductQuantizer(x.shape[1], bits, seed)
        indices, signs, norms, residuals = quantizer.compress(x, return_residual=True)
        rotated = quantizer.mse_quantizer.rotate(q)
        return quantizer.decompress_for_dot(indices, signs, norms, rotated, residuals)
    return estimate


def _by_mixed_signs(preset: str) -> Estimator:
    def estimate(x: np.ndarray, q: np.ndarray, seed: int) -> np.ndarray:
        quantizer = MixedPrecisionIPQuantizer.from_preset(x.shape[1], preset, seed)
        quantizer.calibrate(x)
        indices, signs, norms, residuals = quantizer.compress(x, return_residual=True)
        return quantizer.decompress_for_dot(indices, signs, norms, quantizer.rotate(q), residuals)
    return estimate


def _by_mixed_levels(preset: str) -> Estimator:
    def estimate(x: np.ndarray, q: np.ndarray, seed: int) -> np.ndarray:
        quantizer = MixedPrecisionMSEQuantizer.from_preset(x.shape[1], preset, seed)
        quantizer.calibrate(x)
        return (quantizer.decompress(*quantizer.compress(x)) * q).sum(-1)
    return estimate


def inner_product_table(x: np.ndarray, q: np.ndarray, seed: int) -> Table:
    dim = x.shape[1]
    table = Table("mixed_inner_product", "MixedPrecisionIPQuantizer, "
                  f"{len(outliers(dim))} channels x 10: mean square of estimate - <q, x>, unit "
                  f"vectors, times {dim}", [
        Column("queries", "queries"), Column("bits", "bits", 2),
        Column("uniform", "uniform\nbits", 4), Column("mixed", "mixed\n", 4),
        Column("ratio", "mixed /\nuniform", 2), Column("levels", "mixed, all\nbits levels", 4),
        Column("levels_ratio", "levels /\nuniform", 2)])
    x = unit(with_outliers(x))
    for name, queries in ("any direction", unit(q)), ("same channels x 10",
                                                      unit(with_outliers(q))):
        for preset in PRESETS:
            uniform = _uniform(preset, lambda bits: _error(_by_uniform_signs(bits), x, queries,
                                                           seed))
            mixed = _error(_by_mixed_signs(preset), x, queries, seed)
            levels = _error(_by_mixed_levels(preset), x, queries, seed)
            table.add(queries=name, bits=float(preset), uniform=uniform, mixed=mixed,
                      ratio=mixed / uniform, levels=levels, levels_ratio=levels / uniform)
    table.notes = ["uniform bits: InnerProductQuantizer, averaged at this rate. all bits levels: "
                   "MixedPrecisionMSEQuantizer, slightly biased."]
    return table


def _error(estimator: Estimator, x: np.ndarray, q: np.ndarray, seed: int) -> float:
    """Times dim, mean over SEEDS matrices, each with rows of its own."""
    total = 0.0
    slices = zip(np.array_split(x, SEEDS), np.array_split(q, SEEDS))
    for i, (some, queries) in enumerate(slices):
        exact = (some.astype(np.float64) * queries).sum(-1)
        total += float(np.square(estimator(some, queries, seed + i) - exact).sum())
    return total / len(x) * x.shape[1]
