# SPDX-License-Identifier: Apache-2.0
"""A compressed vector index in memory, searched exhaustively on its codes. No training."""
from __future__ import annotations

from typing import Callable

import numpy as np

from .. import _array, _check, _lib
from .._array import Array
from .._lock import SharedLock, Uncopyable
from ..constants import DEFAULT_SEED
from . import _exact

CENTRE_ROWS_MAX = 1048576  # QUASH_CENTRE_ROWS_MAX


class QuashIndex(Uncopyable):
    """Nearest neighbours by inner product, cosine or squared distance on codes of `bits` bits.

    dim: 1..16384. bits: 1..4 per coordinate; each vector takes ceil(dim/32)*4*bits + 8 bytes.
    seed: of the random rotation. device: "cpu". pack_storage: accepted; codes are always packed.
    centre_rows: vectors are coded relative to the mean of the first centre_rows vectors, and stay
    float32, searched exactly, until so many are there. centre (dim,): code relative to this from
    the start. metric: "ip" (the default), "cosine" or "l2".

    Threads may share an index: adds wait for running searches and the other way round. It cannot be
    copied or pickled.

    Attributes: dim, bits, seed, device, metric, pack_storage, n_vectors.
    Errors: ValueError (dim, bits, seed, centre_rows, metric; a centre of another shape or not
    finite), NotImplementedError (device).
    """

    def __init__(self, dim: int, bits: int = 3, seed: int = DEFAULT_SEED, device: object = "cpu",
                 pack_storage: bool = False, *, centre_rows: int = 1024,
                 centre: Array | None = None, metric: str = "ip") -> None:
        self.dim = _check.integer("dim", dim, 1, _check.DIM_MAX)
        self.bits = _check.bits(bits)
        self.seed = _check.seed(seed)
        self.device = _check.device(device)
        self.pack_storage = bool(pack_storage)
        if metric not in list(_lib.METRICS):
            raise ValueError(f"metric is {metric!r}, expected one of {', '.join(_lib.METRICS)}")
        self.metric = metric
        self.centre_rows = _check.integer("centre_rows", centre_rows, 1, CENTRE_ROWS_MAX)
        self._centre = None if centre is None else \
            _array.read_scalars(centre, "centre", (self.dim,))
        self._lock = SharedLock()
        self._index = self._new_index()

    def _new_index(self) -> _lib.Handle:
        return _lib.Handle("index", _lib.IndexParams(
            dim=self.dim, bits=self.bits, metric=_lib.METRICS[self.metric], search_level=0,
            centre_rows=self.centre_rows, seed=self.seed,
            centre=None if self._centre is None else self._centre.ctypes.data))

    def add(self, vectors: Array) -> None:
        """Adds vectors (N, dim); they get the ids n_vectors ... n_vectors + N - 1. All or nothing.
        Errors: TypeError (dtype), ValueError (shape; NaN or infinity, named; a zero vector under
        "cosine"), NotImplementedError (device), MemoryError."""
        rows = self._read(vectors, "vectors")
        with self._lock.exclusive():
            _array.call(_lib.lib.quash_index_add, self._index, rows.view(),
                        explain=self._checks(rows))

    def search(self, queries: Array, k: int = 10) -> tuple[Array, Array]:
        """queries (M, dim) -> scores (M, k) float32 and indices (M, k) int64, best first: scores
        descend (metric "l2": squared distances ascend), ties by the lower id. k is cut to the
        number of vectors.
        Errors: ValueError (index empty, also a RuntimeError; shape; k < 1; NaN or infinity, named;
        a zero query under "cosine"), TypeError (dtype), NotImplementedError (device),
        MemoryError."""
        given = self._read(queries, "queries")
        k = _check.integer("k", k, 1)
        with self._lock.shared():
            count = _lib.lib.quash_index_count(self._index)
            if count == 0:
                raise _lib.EmptyError("Index is empty. Call add() first.")
            shape = (given.shape[0], min(k, count))
            scores, ids = np.empty(shape, np.float32), np.empty(shape, np.int64)
            _array.call(_lib.lib.quash_index_search, self._index, given.view(), shape[1],
                        scores.ctypes.data, ids.ctypes.data, explain=self._checks(given))
        return given.wrap(scores), given.wrap(ids)

    def brute_force(self, queries: Array, database: Array, k: int = 10) -> tuple[Array, Array]:
        """The exact answer to `search` over the vectors database (N, dim): scores and indices
        (M, k) in the metric of this index, in float32. Reads nothing from the index.
        Errors: as `search`, of queries and database; ValueError (database without vectors)."""
        given, rows = self._read(queries, "queries"), self._read(database, "database")
        k = min(_check.integer("k", k, 1), rows.shape[0])
        if k == 0:
            raise ValueError("database has no vectors")
        scores, ids = _exact.search(given, rows, k, self.metric)
        return given.wrap(scores), given.wrap(ids)

    def recall_at_k(self, queries: Array, database: Array, k: int = 10) -> float:
        """Share of the k exact nearest vectors of database (what was added, in order) that `search`
        finds, over all queries.
        Errors: as `search`; ValueError (no queries; a database of another size)."""
        found = np.asarray(self.search(queries, k)[1])
        count = self._read(database, "database").shape[0]
        if count != self.n_vectors:
            raise ValueError(f"database has {count} vectors, the index {self.n_vectors}: expected "
                             "those that were added")
        if len(found) == 0:
            raise ValueError("queries has no vectors")
        exact = np.asarray(self.brute_force(queries, database, k)[1])
        # An id that both found stands twice among the ids of its query.
        both = np.sort(np.concatenate([found, exact], axis=1), axis=1)
        return float((both[:, 1:] == both[:, :-1]).sum() / exact.size)

    def _read(self, vectors: Array, name: str) -> _array.Input:
        rows = _array.read(vectors, name)
        if len(rows.shape) != 2:
            raise ValueError(f"Expected (N, D) tensor, got shape {rows.shape} ({name})")
        if rows.shape[1] != self.dim:
            raise ValueError(f"{name}: expected dimension {self.dim}, got {rows.shape[1]} (shape "
                             f"{rows.shape})")
        return rows

    def _checks(self, rows: _array.Input) -> list[Callable[[], None]]:
        return [rows.check_finite, lambda: _exact.check_lengths(rows, self.metric)]

    def memory_bytes(self) -> int:
        """Bytes libquash holds for this index, spare room and tables included; 0 when empty.
        Vectors that wait for the centre count as float32."""
        with self._lock.shared():
            if _lib.lib.quash_index_count(self._index) == 0:
                return 0
            return _lib.lib.quash_index_get_bytes(self._index).total

    def compression_ratio(self, original_dtype: object = np.float32) -> float:
        """Bytes of a vector in original_dtype over those of a coded one; 1.0 when empty."""
        with self._lock.shared():
            if _lib.lib.quash_index_count(self._index) == 0:
                return 1.0
            per_row = _lib.lib.quash_index_get_bytes(self._index).per_row
        return self.dim * _check.itemsize("original_dtype", original_dtype) / per_row

    def reset(self) -> None:
        """Forgets all vectors and gives their memory back."""
        with self._lock.exclusive():
            self._index = self._new_index()

    @property
    def n_vectors(self) -> int:
        """Vectors held."""
        with self._lock.shared():
            return _lib.lib.quash_index_count(self._index)

    def __len__(self) -> int:
        return self.n_vectors

    def to(self, device: object) -> QuashIndex:
        """self. Errors: NotImplementedError (any device but the CPU)."""
        _check.device(device)
        return self

    def __repr__(self) -> str:
        return (f"QuashIndex(dim={self.dim}, bits={self.bits}, metric={self.metric!r}, "
                f"n_vectors={self.n_vectors})")
