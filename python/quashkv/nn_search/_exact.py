# SPDX-License-Identifier: Apache-2.0
"""Exact search over vectors as they are, in blocks, so that memory does not grow with their
number."""
from __future__ import annotations

import numpy as np

from .._array import Input, first_true, place

LENGTH_MAX = 2.0**60  # of rows and queries, as in libquash: products of two stay within float32

_ROWS_AT_ONCE = 8192
_SCORES_AT_ONCE = 1 << 21


def check_lengths(vectors: Input, metric: str) -> None:
    """Errors: ValueError, naming the first vector that is too long, or has no direction."""
    norms = vectors.norms()
    if metric == "cosine":
        if not norms.all():
            raise ValueError(f"{place(vectors.name, first_true(norms == 0))} is zero: it has no "
                             "direction (metric cosine)")
    elif (norms > LENGTH_MAX).any():
        at = first_true(norms > LENGTH_MAX)
        raise ValueError(f"{place(vectors.name, at)} has norm {norms[at]:.4g}, expected at most "
                         "2^60")


def search(queries: Input, rows: Input, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Scores (M, k) float32 and ids (M, k) int64 of the k best of N rows, k in 1..N: best first,
    ties by the lower id.
    Errors: ValueError (NaN or infinity; a zero vector under "cosine"; longer than 2^60; named)."""
    for vectors in queries, rows:
        vectors.check_finite()
        check_lengths(vectors, metric)
    # Distances do not change when all move; squares are small, and so their differences exact.
    centre = _mean(rows) if metric == "l2" else np.zeros(rows.shape[1], np.float32)
    left = _prepare(queries.floats(), metric, centre)
    best = np.empty((len(left), k), np.float32)
    ids = np.empty((len(left), k), np.int64)
    at_once = max(_ROWS_AT_ONCE, k)
    step = max(1, _SCORES_AT_ONCE // at_once)
    for first in range(0, rows.shape[0], at_once):
        right = _prepare(rows.part(first, first + at_once).floats(), metric, centre)
        for start in range(0, len(left), step):
            part = slice(start, start + step)
            costs = _costs(left[part], right, metric)
            if first == 0:
                # Of what is not below the k-th smallest only some of its equals can be among the k.
                chosen = costs <= np.partition(costs, k - 1, axis=1)[:, k - 1:k]
                held = best[part, :0], ids[part, :0]
            else:
                chosen = costs < best[part, -1:]  # an equal has a higher id than those held
                held = best[part], ids[part]
            best[part], ids[part] = _smallest(costs, chosen, first, held, k)
    return best if metric == "l2" else -best, ids


def _mean(rows: Input) -> np.ndarray:
    total = np.zeros(rows.shape[1])
    for first in range(0, rows.shape[0], _ROWS_AT_ONCE):
        total += rows.part(first, first + _ROWS_AT_ONCE).floats().sum(axis=0, dtype=np.float64)
    return (total / rows.shape[0]).astype(np.float32)


def _prepare(vectors: np.ndarray, metric: str, centre: np.ndarray) -> np.ndarray:
    """Such that _costs compares them."""
    if metric == "l2":
        return vectors - centre
    if metric == "cosine":
        norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64))
        return (vectors / norms[:, None]).astype(np.float32)
    return np.ascontiguousarray(vectors)


def _costs(left: np.ndarray, right: np.ndarray, metric: str) -> np.ndarray:
    """(len(left), len(right)) float32, smallest for the best: squared distances under "l2"."""
    products = left @ right.T
    if metric != "l2":
        return np.negative(products, out=products)
    products *= -2
    products += np.einsum("nd,nd->n", right, right)
    products += np.einsum("nd,nd->n", left, left)[:, None]
    return np.maximum(products, 0, out=products)


def _smallest(costs: np.ndarray, chosen: np.ndarray, first: int,
              held: tuple[np.ndarray, np.ndarray], k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k smallest of each row of the chosen costs, whose ids are first and on, and of those
    held: ascending, ties by the lower id."""
    row, column = np.nonzero(chosen)
    values = np.concatenate([held[0].ravel(), costs[row, column]])
    ids = np.concatenate([held[1].ravel(), first + column])
    rows = np.concatenate([np.repeat(np.arange(len(costs)), held[0].shape[1]), row])
    order = np.lexsort((ids, values, rows))
    starts = np.searchsorted(rows[order], np.arange(len(costs)))
    best = order[starts[:, None] + np.arange(k)]
    return values[best], ids[best]
