# SPDX-License-Identifier: Apache-2.0
"""Vectors to measure on: files and made-up ones."""
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

_ITEMS: dict[str, np.dtype[Any]] = {".fvecs": np.dtype("<f4"), ".bvecs": np.dtype("u1")}


def read_vectors(path: str) -> np.ndarray:
    """Rows of a .npy, .fvecs or .bvecs file as float32.
    Errors: OSError; ValueError (no such file format, damaged, not two-dimensional)."""
    suffix = Path(path).suffix
    if suffix == ".npy":
        rows = np.load(path, allow_pickle=False)
        if rows.ndim != 2 or rows.dtype.kind not in "fiu":
            raise ValueError(f"{path}: expected numbers in two dimensions, got {rows.dtype} of "
                             f"shape {rows.shape}")
        return rows.astype(np.float32, copy=False)
    if suffix not in _ITEMS:
        raise ValueError(f"{path}: expected a .npy, .fvecs or .bvecs file")
    item = _ITEMS[suffix]
    raw = np.fromfile(path, np.uint8)
    dim = int(raw[:4].view("<i4")[0]) if raw.size >= 4 else 0
    row_bytes = 4 + dim * item.itemsize
    if dim < 1 or raw.size % row_bytes:
        raise ValueError(f"{path}: {raw.size} bytes are no rows of {dim} numbers")
    raw = raw.reshape(-1, row_bytes)
    if (raw[:, :4] != raw[0, :4]).any():
        raise ValueError(f"{path}: rows of different dimensions")
    return np.ascontiguousarray(raw[:, 4:]).view(item).astype(np.float32)


def unit(rows: np.ndarray) -> np.ndarray:
    """rows at length 1; zero rows stay."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def nmse(x: np.ndarray, decoded: np.ndarray) -> float:
    """Squared error over squared norm, each summed over all vectors."""
    error = np.square(x - decoded, dtype=np.float64).sum()
    return float(error / np.square(x, dtype=np.float64).sum())


def clustered(rng: np.random.Generator, count: int, dim: int, rank: int = 32,
              clusters: int = 64) -> np.ndarray:
    """A Gaussian mixture of low rank with a little noise in all directions: as embeddings are, and
    unlike independent numbers, whose neighbours mean nothing."""
    basis = rng.standard_normal((rank, dim)).astype(np.float32) / np.float32(rank ** .5)
    centres = rng.standard_normal((clusters, rank)).astype(np.float32)
    place = centres[rng.integers(0, clusters, count)]
    place = place + .7 * rng.standard_normal((count, rank), dtype=np.float32)
    return place @ basis + .05 * rng.standard_normal((count, dim), dtype=np.float32)


def at_cosine(rng: np.random.Generator, x: np.ndarray, cosine: float) -> np.ndarray:
    """Unit vectors at this cosine to the unit vectors x, random otherwise."""
    noise = rng.standard_normal(x.shape, dtype=np.float32)
    noise = unit(noise - (noise * x).sum(-1, keepdims=True) * x)
    return cosine * x + np.float32((1 - cosine ** 2) ** .5) * noise
