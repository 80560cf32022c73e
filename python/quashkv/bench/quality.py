# SPDX-License-Identifier: Apache-2.0
"""quashkv bench quality: the error of every quantizer and of a cache, beside theory."""
from __future__ import annotations

import argparse
from typing import Iterator

import numpy as np

from .. import InnerProductQuantizer, LloydMaxCodebook, MSEQuantizer, QuashKVEngine, theory
from . import mixed, published
from .caches import cache_table, layers_of
from .report import Column, Plot, Report, Table, bit_list, progress
from .vectors import at_cosine, nmse, unit

DESCRIPTION = """\
Measures the error of the paper's quantizers, of mixed precision and of a compressed cache, on
random data or on captured keys, values and queries, beside theory, the paper's bounds and what the
prototype of this package published."""

EXAMPLES = """\
  quashkv bench quality
  quashkv bench quality --dim 64 --bits 3
  quashkv bench quality --data data/kv-smollm2 --json quality.json --plot quality.png"""

SEEDS = 8  # matrices that the inner-product quantizer is averaged over


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dim", type=int, default=128, metavar="N",
                        help="coordinates of a random vector, a multiple of 8 (default 128)")
    parser.add_argument("--rows", type=int, default=8000, metavar="N",
                        help="random vectors (default 8000)")
    parser.add_argument("--bits", type=bit_list, default=[1, 2, 3, 4], metavar="LIST",
                        help="bits per coordinate (default 1,2,3,4)")
    parser.add_argument("--data", metavar="FOLDER",
                        help="measure the cache on captured NAME.k.npy (heads, tokens, dim), "
                             "NAME.v.npy and, if there, NAME.q.npy (query heads, queries, dim: the "
                             "last positions)")


def run(options: argparse.Namespace) -> Report:
    """Errors: ValueError (options, data), OSError."""
    dim, rows, bits, seed = options.dim, options.rows, options.bits, options.seed
    if rows < SEEDS:
        raise ValueError(f"--rows is {rows}, expected {SEEDS} or more")
    QuashKVEngine(dim)  # says what is wrong with the dimension
    rng = np.random.default_rng(seed)
    layers = layers_of(options.data, rng, dim)
    x = rng.standard_normal((rows, dim), dtype=np.float32)
    q = unit(rng.standard_normal((rows, dim), dtype=np.float32))
    tables = [
        _mse_table(x, bits, seed),
        _product_table(unit(x), q, bits, seed),
        _correlated_table(unit(x), at_cosine(rng, unit(x), .3), bits, seed),
        mixed.mse_table(x, seed),
        mixed.inner_product_table(x, q, seed),
        cache_table(layers, options.data or "random keys and values", [b for b in bits if b >= 2],
                    seed),
    ]
    return Report("bench quality", {"dim": dim, "rows": rows, "seed": seed}, tables)


# ---- Algorithm 1 -------------------------------------------------------------------------------

def _mse_table(x: np.ndarray, bits: list[int], seed: int) -> Table:
    dim = x.shape[1]
    table = Table("mse", f"MSEQuantizer on Gaussian vectors, dim {dim}: squared error over squared "
                         "norm", [
        Column("bits", "bits", 0), Column("lower_bound", "nMSE\nno less", 4),
        Column("theory", "nMSE\ntheory", 4), Column("nmse", "nMSE\nmeasured", 4),
        Column("bound", "nMSE\nbound", 4), Column("cosine", "cosine\n", 4),
        Column("ratio", "ratio\nto f16", 2)],
        plot=Plot("bits", ["lower_bound", "nmse", "bound"], logarithmic=True))
    for b in progress(bits, "MSE quantizer, bits"):
        quantizer = MSEQuantizer(dim, b, seed)
        decoded = quantizer.decompress(*quantizer.compress(x))
        table.add(bits=b, lower_bound=theory.mse_lower_bound(b), bound=theory.mse_bound(b),
                  theory=LloydMaxCodebook(dim, b, use_exact_pdf=True).mse_cost(),
                  nmse=nmse(x, decoded), cosine=float((unit(x) * unit(decoded)).sum(-1).mean()),
                  ratio=16 * dim / (b * dim + 16))
    table.notes = ["theory: the best scalar levels for a random direction. ratio: codes and a "
                   "scale of 2 bytes."]
    return table


# ---- Algorithm 2 -------------------------------------------------------------------------------

def _parts(x: np.ndarray, q: np.ndarray, bits: int, seed: int) -> Iterator[dict[str, np.ndarray]]:
    """Estimates of <q, x> by InnerProductQuantizer and what is left when parts of it are dropped,
    for slices of x and q, each with a matrix of its own; "exact" too."""
    for i, (some, queries) in enumerate(zip(np.array_split(x, SEEDS), np.array_split(q, SEEDS))):
        quantizer = InnerProductQuantizer(x.shape[1], bits, seed + i)
        indices, signs, norms, residuals = quantizer.compress(some, return_residual=True)
        rotated = quantizer.mse_quantizer.rotate(queries)
        left = np.asarray(quantizer.mse_quantizer.codebook.centroids)[indices]
        missed = quantizer.mse_quantizer.rotate(some) - left
        without_sign = norms * (rotated * left).sum(-1)
        yield {
            "exact": (some.astype(np.float64) * queries).sum(-1),
            "algorithm2": quantizer.decompress_for_dot(indices, signs, norms, rotated, residuals),
            "no_residual": quantizer.decompress_for_dot(indices, signs, norms, rotated),
            "no_sign": without_sign,
            # Signs of the residual's coordinates times |q|: no projection, no residual norm.
            "prototype": without_sign + norms * quantizer.qjl_scale * (
                np.abs(rotated) * np.where(missed >= 0, 1, -1)).sum(-1),
        }


def _estimates(x: np.ndarray, q: np.ndarray, bits: int, seed: int) -> dict[str, np.ndarray]:
    """_parts together; for unit vectors also "unbiased": the values of a cache."""
    parts = list(_parts(x, q, bits, seed))
    result = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    engine = QuashKVEngine(x.shape[1], bits, bits, seed)
    engine.append(x[None, None], x[None, None])
    result["unbiased"] = (engine.decode()[1][0, 0] * q).sum(-1)
    return result


def _error(estimates: dict[str, np.ndarray], name: str, dim: int) -> float:
    return float(np.square(estimates[name] - estimates["exact"]).mean() * dim)


def _product_table(x: np.ndarray, q: np.ndarray, bits: list[int], seed: int) -> Table:
    dim = x.shape[1]
    table = Table("inner_product", "InnerProductQuantizer, query independent of the vector: mean "
                                   f"square of estimate - <q, x>, unit vectors, times {dim}", [
        Column("bits", "bits", 0), Column("lower_bound", "no less\n", 4),
        Column("theory", "theory\n", 4), Column("paper", "paper\nprints", 3),
        Column("algorithm2", "measured\n", 4), Column("no_residual", "without\n|r|", 4),
        Column("bound", "bound\n", 4), Column("unbiased", "unbiased scale,\nno sign bit", 4)],
        plot=Plot("bits", ["algorithm2", "unbiased", "bound"], logarithmic=True))
    for b in progress([b for b in bits if b >= 2], "inner products, bits"):
        estimates = _estimates(x, q, b, seed)
        table.add(bits=b, lower_bound=theory.product_lower_bound(dim, b) * dim,
                  theory=theory.product_variance(dim, b) * dim,
                  paper=published.PAPER_PRODUCT_VARIANCE[b],
                  bound=theory.product_bound(dim, b) * dim,
                  **{name: _error(estimates, name, dim)
                     for name in ("algorithm2", "no_residual", "unbiased")})
    table.notes = ["without |r|: the residual's length is not stored, its expected square stands "
                   "in. unbiased scale: all bits are levels and the stored scale makes "
                   "<decoded, x> = <x, x>, as for values of a cache and in search."]
    return table


def _correlated_table(x: np.ndarray, q: np.ndarray, bits: list[int], seed: int) -> Table:
    dim = x.shape[1]
    table = Table("inner_product_correlated", "The same for queries at cosine .3 to the vector, "
                                              "and slope: mean estimate / .3 (1: unbiased)", [
        Column("bits", "bits", 0), Column("unbiased", "unbiased\nscale", 4),
        Column("algorithm2", "Algorithm 2\n", 4), Column("no_sign", "its sign\nleft out", 4),
        Column("prototype", "the\nprototype's", 4),
        Column("unbiased_slope", "slope\nunbiased", 3),
        Column("algorithm2_slope", "slope\nAlgorithm 2", 3),
        Column("prototype_slope", "slope\nprototype's", 3)])
    for b in progress([b for b in bits if b >= 2], "inner products at cosine .3, bits"):
        estimates = _estimates(x, q, b, seed)
        table.add(bits=b,
                  **{name: _error(estimates, name, dim)
                     for name in ("unbiased", "algorithm2", "no_sign", "prototype")},
                  **{f"{name}_slope": float(estimates[name].mean() / estimates["exact"].mean())
                     for name in ("unbiased", "algorithm2", "prototype")})
    table.notes = ["the prototype's: signs of the residual's coordinates times |q|, without "
                   "projection and residual norm, computed here from the same codes."]
    return table
