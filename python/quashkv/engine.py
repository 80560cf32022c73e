# SPDX-License-Identifier: Apache-2.0
"""A compressed key/value cache with attention on its codes, for batches (B, H, T, D)."""
from __future__ import annotations

import functools
import math
from typing import NoReturn

import numpy as np

from . import _array, _check, _lib
from ._array import Array
from ._lock import SharedLock, Uncopyable
from .constants import DEFAULT_SEED
from .quantizer import InnerProductQuantizer, MSEQuantizer

# QUASH_KV_HEADS_MAX, QUASH_HEAD_DIM_MAX, QUASH_GROUP_MAX
_KV_HEADS_MAX, _HEAD_DIM_MAX, _GROUP_MAX = 65536, 576, 16
_MODES = ("fast", "exact", "float")  # positions are values of quash_attend_mode


class QuashKVEngine(Uncopyable):
    """Compressed keys and values of one attention layer; attention reads the codes as they are.

    head_dim: a multiple of 8, 8..576. key_bits, value_bits: 2..4 per coordinate, all of them levels
    (no sign bit); each key and each value has a 2-byte scale besides. Keys keep their norm, values
    are unbiased, every token is encoded when it is appended. seed: of the random rotation. device:
    "cpu". pack_storage: accepted; codes are always packed. mode: arithmetic of attention, "fast"
    (integers of one digit; relative error about 1 %), "exact" (integers of 16 bits; below 2e-4) or
    "float" (the slow reference); see quash/cache.h.

    The batch size and the number of heads are those of the first append, until `clear`; their
    product is at most 65,536. Threads may share an engine: appends wait for running attentions and
    the other way round. It cannot be copied or pickled.

    Attributes: head_dim, key_bits, value_bits, seed, device, pack_storage, mode, key_quantizer and
    value_quantizer (the paper's quantizers, behind compress_keys and compress_values; the cache
    does not use them).

    Errors: ValueError (head_dim, bits, seed, mode), NotImplementedError (device).
    """

    def __init__(self, head_dim: int = 128, key_bits: int = 3, value_bits: int = 3,
                 seed: int = DEFAULT_SEED, device: object = "cpu",
                 pack_storage: bool = False, mode: str = "fast") -> None:
        self.head_dim = _check.integer("head_dim", head_dim, 8, _HEAD_DIM_MAX)
        self.key_bits = _check.integer("key_bits", key_bits, 2, 4)
        self.value_bits = _check.integer("value_bits", value_bits, 2, 4)
        self.seed = _check.seed(seed)
        self.device = _check.device(device)
        self.pack_storage = bool(pack_storage)
        if mode not in _MODES:
            raise ValueError(f"mode is {mode!r}, expected one of {', '.join(_MODES)}")
        self.mode = mode
        self._lock = SharedLock()
        self._forget()
        self._new_cache(1)  # a head_dim that libquash refuses is refused here, not at append

    def _forget(self) -> None:
        self._cache: _lib.Handle | None = None
        self._batch = (0, 0)
        self._kinds: tuple[_array.Kind, ...] = ()
        self._tokens = 0
        self._appends = 0

    def _new_cache(self, kv_heads: int) -> _lib.Handle:
        return _lib.Handle("cache", _lib.CacheParams(
            kv_heads=kv_heads, head_dim=self.head_dim, key_bits=self.key_bits,
            value_bits=self.value_bits, search_level=2, seed=self.seed))

    @functools.cached_property
    def key_quantizer(self) -> InnerProductQuantizer:
        return InnerProductQuantizer(self.head_dim, self.key_bits, self.seed)

    @functools.cached_property
    def value_quantizer(self) -> MSEQuantizer:
        return MSEQuantizer(self.head_dim, self.value_bits, self.seed)

    # ---- The cache ----------------------------------------------------------------------------

    def append(self, keys: Array, values: Array) -> None:
        """Encodes and stores keys and values, both (B, H, T, D). All or nothing.
        Errors: TypeError (dtype), ValueError (shapes; B or H other than before; NaN or infinity,
        named; a vector too long for a binary16 scale), NotImplementedError (device),
        MemoryError."""
        k = _array.read(keys, "keys", floating=True)
        v = _array.read(values, "values", floating=True)
        self._check_shape("keys", k.shape)
        if v.shape != k.shape:
            raise ValueError(f"values have shape {v.shape}, keys {k.shape}: they must be equal")
        batch, heads, tokens, _ = k.shape
        with self._lock.exclusive():
            if self._cache is not None and self._batch != (batch, heads):
                raise ValueError(f"keys have (batch, heads) {(batch, heads)}, the cache "
                                 f"{self._batch}: call clear() to change them")
            cache = self._cache or self._new_cache(
                _check.integer("batch * heads of keys", batch * heads, 1, _KV_HEADS_MAX))
            flat = (batch * heads, tokens, self.head_dim)
            _array.call(_lib.lib.quash_cache_append, cache, k.view(*flat), v.view(*flat),
                        explain=[k.check_finite, v.check_finite,
                                 lambda: self._check_scales(k, as_keys=True),
                                 lambda: self._check_scales(v, as_keys=False)])
            self._cache, self._batch, self._kinds = cache, (batch, heads), (k.kind, v.kind)
            self._tokens += tokens
            self._appends += 1

    def attention(self, queries: Array, scale: float | None = None,
                  causal: bool = False) -> Array:
        """softmax(scale * queries . keys) . values over all tokens held.

        queries (B, Hq, Q, D), Hq a multiple of H, up to 16 times: query heads h*Hq/H ... read KV
        head h. Returns the shape, dtype and kind of queries. scale: above 0; None is 1/sqrt(D).
        causal: query i sees the first total_tokens - Q + i + 1 tokens.
        Errors: ValueError (nothing stored, also a RuntimeError; shapes; NaN or infinity, named;
        causal with more queries than tokens), TypeError (dtype), NotImplementedError (device)."""
        q = _array.read(queries, "queries", floating=True)
        self._check_shape("queries", q.shape)
        with self._lock.shared():
            if self._cache is None or self._tokens == 0:
                raise _lib.EmptyError("No compressed KV blocks in cache. Call append() first.")
            batch, heads = self._batch
            if q.shape[0] != batch:
                raise ValueError(f"queries have batch {q.shape[0]}, the cache {batch}")
            if q.shape[1] not in range(heads, _GROUP_MAX * heads + 1, heads):
                raise ValueError(f"queries have {q.shape[1]} heads, expected a multiple of the "
                                 f"cache's {heads}, up to {_GROUP_MAX} times")
            if causal and q.shape[2] > self._tokens:
                raise ValueError(f"queries have {q.shape[2]} positions, the cache {self._tokens} "
                                 "tokens: with causal=True the first query sees none")
            out = _array.new(q.shape, q.dtype)
            if out.size:
                flat = (batch * q.shape[1], q.shape[2], self.head_dim)
                params = _lib.AttendParams(causal=int(bool(causal)), scale=_scale(scale),
                                           mode=_MODES.index(self.mode))
                _array.call(_lib.lib.quash_cache_attend, self._cache, params, q.view(*flat),
                            _array.c_view(out.reshape(flat), q.dtype), None, None, 0,
                            explain=[q.check_finite, lambda: _scores_too_large(q)])
        return q.kind.in_dtype(out)

    def decode(self) -> tuple[Array, Array]:
        """All keys and values as the codes have them, (B, H, total_tokens, D), in the kind and
        dtype of those appended last. For tests and for callers that need dense tensors: attention
        never does this.
        Errors: ValueError (nothing stored, also a RuntimeError), MemoryError."""
        with self._lock.shared():
            if self._cache is None:
                raise _lib.EmptyError("No compressed KV blocks in cache. Call append() first.")
            shape = (*self._batch, self._tokens, self.head_dim)
            flat = (shape[0] * shape[1], *shape[2:])
            arrays = [_array.new(shape, kind.stored) for kind in self._kinds]
            views = [_array.c_view(array.reshape(flat), kind.stored)
                     for array, kind in zip(arrays, self._kinds)]
            _array.call(_lib.lib.quash_cache_decode, self._cache, 0, *views)
            keys, values = (kind.in_dtype(array) for array, kind in zip(arrays, self._kinds))
        return keys, values

    def clear(self) -> None:
        """Forgets all tokens, the batch size and the number of heads; gives the memory back."""
        with self._lock.exclusive():
            self._forget()

    def _check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        if len(shape) != 4:
            raise ValueError(f"{name}: expected shape (batch, heads, tokens, {self.head_dim}), got "
                             f"{shape}")
        if shape[3] != self.head_dim:
            raise ValueError(f"{name}: expected head_dim {self.head_dim}, got {shape[3]} (shape "
                             f"{shape})")

    def _check_scales(self, given: _array.Input, as_keys: bool) -> None:
        """Errors: ValueError, naming the first vector whose scale does not fit. Found by coding
        half of them at a time: libquash counts the heads of the whole batch, and does not say
        whether it was the key or the value."""
        rows = given.floats().reshape(1, -1, self.head_dim)
        zeros = np.broadcast_to(np.zeros(self.head_dim, np.float32), rows.shape)
        pair = (rows, zeros) if as_keys else (zeros, rows)

        def fit(first: int, end: int) -> bool:
            views = [_array.c_view(array[:, first:end], _lib.F32) for array in pair]
            status = _lib.lib.quash_cache_append(self._new_cache(1), *views)
            return status != _lib.ARGUMENT

        first, end = 0, rows.shape[1]
        if fit(first, end):
            return
        while end - first > 1:
            middle = (first + end) // 2
            if fit(first, middle):
                first = middle
            else:
                end = middle
        at = tuple(int(i) for i in np.unravel_index(first, given.shape[:-1]))
        raise ValueError(f"{_array.place(given.name, at)} has norm {given.norms()[at]:.4g}: its "
                         "scale exceeds binary16 (65504)")

    # ---- The paper's quantizers ---------------------------------------------------------------

    def compress_keys(self, keys: Array) -> tuple[Array, ...]:
        """keys (..., D) -> (mse_indices, qjl_signs, norms), see InnerProductQuantizer.compress.
        Stores nothing."""
        return self.key_quantizer.compress(keys)

    def compress_values(self, values: Array) -> tuple[Array, Array]:
        """values (..., D) -> (indices, norms), see MSEQuantizer.compress. Stores nothing."""
        return self.value_quantizer.compress(values)

    # ---- Sizes --------------------------------------------------------------------------------

    @property
    def total_tokens(self) -> int:
        """Tokens held, of each sequence of the batch."""
        return self._tokens

    @property
    def num_blocks(self) -> int:
        """Number of append calls since creation or `clear`."""
        return self._appends

    @property
    def heads_in_batch(self) -> int:
        """B * H of what is held; 0 when empty."""
        return self._batch[0] * self._batch[1]

    def token_bits(self) -> int:
        """Bits of one token of one head: codes of key and value, and two scales of 16 bits."""
        return self.head_dim * (self.key_bits + self.value_bits) + 32

    def compression_ratio(self, original_dtype: object = np.float16) -> float:
        """Bits of a token in original_dtype (NumPy or torch) over token_bits(); 1.0 when empty."""
        if self._tokens == 0:
            return 1.0
        original_bits = 8 * _check.itemsize("original_dtype", original_dtype)
        return 2 * self.head_dim * original_bits / self.token_bits()

    def actual_memory_bytes(self) -> int:
        """Bytes libquash holds for this cache: tiles of 64 tokens, scales, tables; 0 when empty."""
        with self._lock.shared():
            if self._cache is None:
                return 0
            return _lib.lib.quash_cache_get_bytes(self._cache).total

    def to(self, device: object) -> QuashKVEngine:
        """self. Errors: NotImplementedError (any device but the CPU)."""
        _check.device(device)
        return self

    def __repr__(self) -> str:
        return (f"QuashKVEngine(head_dim={self.head_dim}, key_bits={self.key_bits}, "
                f"value_bits={self.value_bits}, tokens={self._tokens})")


def _scores_too_large(queries: _array.Input) -> NoReturn:
    """Errors: ValueError, naming the longest query, where libquash counts the heads of a batch."""
    norms = queries.norms()
    at = tuple(int(i) for i in np.unravel_index(np.argmax(norms), norms.shape))
    raise ValueError(f"queries: a score exceeds float32; the longest query is "
                     f"{_array.place('queries', at)}, of norm {norms[at]:.4g}")


def _scale(scale: float | None) -> float:
    """The scale for libquash, where 0 means the default."""
    if scale is None:
        return 0.0
    try:
        number = float(scale)
    except (TypeError, ValueError):
        raise TypeError(f"scale must be a number, got {scale!r}") from None
    if not 0.0 < number < math.inf:
        raise ValueError(f"scale is {number}, expected a finite number above 0")
    return number

