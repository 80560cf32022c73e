# SPDX-License-Identifier: Apache-2.0
"""Attention over blocks of codes of the inner-product quantizer (keys) and the MSE quantizer
(values), on explicit matrices."""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Sequence

import numpy as np

from .. import _array, _lib
from .._array import Array
from ._common import levels, matrix, vector
from .decompress import projected_signs


@dataclass
class CompressedBlock:
    """seq_len tokens: keys as InnerProductQuantizer.compress, values as MSEQuantizer.compress have
    them. mse_indices, qjl_signs, val_indices (B, H, seq_len, D); key_norms, val_norms
    (B, H, seq_len). key_residual_norms (B, H, seq_len): None: the root of their expected square."""
    mse_indices: Array
    qjl_signs: Array
    key_norms: Array
    val_indices: Array
    val_norms: Array
    seq_len: int
    key_residual_norms: Array | None = None


def fused_quantized_attention(queries: Array, blocks: Sequence[CompressedBlock], Pi: Array,
                              key_centroids: Array, val_centroids: Array, S: Array,
                              qjl_scale: float, scale: float | None = None, causal: bool = False,
                              total_kv_tokens: int = 0) -> Array:
    """softmax(scale * queries . keys) . values over the tokens of all blocks, float32, in the kind
    of queries.

    queries (B, Hq, Q, D), Hq a multiple of H. scale: None is 1/sqrt(D). causal: query i sees the
    first total_kv_tokens - Q + i + 1 tokens; total_kv_tokens 0: the tokens of all blocks.
    Materialises (B, Hq, Q, tokens); QuashKVEngine.attention does not.
    Errors: ValueError (no block, also a RuntimeError; shapes; a query that sees no token; NaN or
    infinity), TypeError (dtype)."""
    given = _array.read(queries, "queries", floating=True)
    given.check_finite()
    if len(given.shape) != 4:
        raise ValueError(f"queries: expected shape (B, H, Q, D), got {given.shape}")
    if not blocks:
        raise _lib.EmptyError("No compressed KV blocks in cache. Call append() first.")
    d = given.shape[3]
    rotation = matrix(Pi, "Pi", d)
    key_levels = vector(key_centroids, "key_centroids")
    value_levels = vector(val_centroids, "val_centroids")
    keys_of = [_keys(block, key_centroids, key_levels, S, qjl_scale) for block in blocks]
    values_of = [_values(block, value_levels, k.shape) for block, k in zip(blocks, keys_of)]
    keys, values = np.concatenate(keys_of, axis=2), np.concatenate(values_of, axis=2)
    batch, heads, tokens, _ = keys.shape
    if tokens == 0:
        raise _lib.EmptyError("No compressed KV blocks in cache. Call append() first.")
    if keys.shape[3] != d or given.shape[0] != batch or heads == 0 or given.shape[1] % heads:
        raise ValueError(f"queries of shape {given.shape} do not fit keys of shape {keys.shape}")
    grouped = (given.floats() @ rotation.T).reshape(batch, heads, -1, d)
    scores = (scale if scale is not None else 1 / math.sqrt(d)) * (grouped @ keys.swapaxes(2, 3))
    scores = scores.reshape(*given.shape[:3], tokens)
    if causal:
        _hide_future(scores, total_kv_tokens or tokens)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    out = weights.reshape(batch, heads, -1, tokens) @ values
    return given.wrap(np.asarray((out @ rotation).reshape(given.shape), np.float32))


def _keys(block: CompressedBlock, centroids: Array, centroid_values: np.ndarray, S: Array,
          qjl_scale: float) -> np.ndarray:
    """Rotated keys, such that their product with a rotated query is the estimate."""
    codes = _array.read_bytes(block.mse_indices, "mse_indices")
    if len(codes.shape) != 4 or codes.shape[2] != block.seq_len:
        raise ValueError(f"mse_indices: expected shape (B, H, {block.seq_len}, D), got "
                         f"{codes.shape}")
    missed = projected_signs(block.qjl_signs, codes.shape, centroids, S, block.key_residual_norms)
    unit = levels(codes, centroid_values) + np.float32(qjl_scale) * missed
    norms = _array.read_norms(block.key_norms, "key_norms", codes.shape[:-1])
    return norms[..., None] * unit


def _values(block: CompressedBlock, centroid_values: np.ndarray,
            shape: tuple[int, ...]) -> np.ndarray:
    codes = _array.read_bytes(block.val_indices, "val_indices")
    if codes.shape != shape:
        raise ValueError(f"val_indices: expected shape {shape}, got {codes.shape}")
    norms = _array.read_norms(block.val_norms, "val_norms", codes.shape[:-1])
    return norms[..., None] * levels(codes, centroid_values)


def _hide_future(scores: np.ndarray, total: int) -> None:
    queries, tokens = scores.shape[2:]
    if total < queries:
        raise ValueError(f"causal attention of {queries} queries needs as many tokens, got {total}")
    last = total - queries + np.arange(queries)[:, None]
    scores[:, :, np.arange(tokens)[None, :] > last] = -np.inf
