# SPDX-License-Identifier: Apache-2.0
"""The part of `quashkv bench quality` that is about caches: random ones and captured ones."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import QuashKVEngine
from . import published
from .report import Column, Plot, Table, progress
from .vectors import nmse, unit

TOKENS, HEADS, QUERIES = 1024, 4, 64


@dataclass
class Layer:
    """keys, values (heads, tokens, dim); queries (query heads, n, dim) of the last positions."""
    name: str
    keys: np.ndarray
    values: np.ndarray
    queries: np.ndarray | None


def layers_of(folder: str | None, rng: np.random.Generator, dim: int) -> list[Layer]:
    """The captured layers of a folder, or a random one. Errors: ValueError (data), OSError."""
    if folder is not None:
        return _captured(folder)
    shapes = (HEADS, TOKENS, dim), (HEADS, TOKENS, dim), (2 * HEADS, QUERIES, dim)
    return [Layer("Gaussian", *(rng.standard_normal(shape, dtype=np.float32) for shape in shapes))]


def cache_table(layers: list[Layer], source: str, bits: list[int], seed: int) -> Table:
    """Errors: ValueError (data)."""
    title = f"QuashKVEngine on {source}: every token coded"
    table = Table("cache", title, [
        Column("layer", "layer"), Column("bits", "bits", 0), Column("key_nmse", "key\nnMSE", 4),
        Column("key_cosine", "key\ncosine", 4),
        Column("key_cosine_published", "original,\npublished", 3),
        Column("value_nmse", "value\nnMSE", 4), Column("value_cosine", "value\ncosine", 4),
        Column("value_cosine_published", "original,\npublished", 3),
        Column("output_error", "output\nrel. error", 3),
        Column("output_cosine", "output\ncosine", 4),
        Column("output_cosine_published", "original,\npublished"),
        Column("ratio", "ratio\nto f16", 2), Column("ratio_published", "original,\npublished", 2),
        Column("held_ratio", "ratio\nheld", 2)],
        plot=Plot("bits", ["key_cosine", "value_cosine", "output_cosine"], by="layer"))
    jobs = [(b, layer) for layer in layers for b in bits]
    measured: dict[int, list[dict[str, Any]]] = {}
    for (b, layer), _ in zip(jobs, progress([f"{layer.name}, {b} bits" for b, layer in jobs],
                                            "cache")):
        row = _measure(layer, b, seed)
        measured.setdefault(b, []).append(row)
        table.add(layer=layer.name, bits=b, **row)
    if len(layers) > 1:
        for b, rows in measured.items():
            mean = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]
                    if all(row[key] is not None for row in rows)}
            table.add(layer="mean", bits=b, **mean)
    last_dim = layers[-1].keys.shape[-1]
    for last in table.rows[len(table.rows) - len(bits):]:
        b = last["bits"]
        last.update(key_cosine_published=published.KEY_COSINE[b],
                    value_cosine_published=published.VALUE_COSINE[b],
                    output_cosine_published=published.OUTPUT_COSINE.get(b),
                    ratio_published=published.RATIO.get(last_dim, {}).get(b))
    table.notes = [
        f"{published.LABEL}: Qwen2.5-0.5B and TinyLlama, head_dim 64, by the prototype's author; "
        "ratio at this dim. ratio: codes and scales; held: bytes "
        "taken from the allocator, tables and the open tile included."]
    return table


def _captured(folder: str) -> list[Layer]:
    layers = []
    for path in sorted(Path(folder).glob("*.k.npy")):
        name = path.name.removesuffix(".k.npy")
        arrays = {kind: np.load(path.with_name(f"{name}.{kind}.npy"), allow_pickle=False)
                  for kind in "kvq" if kind != "q" or path.with_name(f"{name}.q.npy").exists()}
        for kind, array in arrays.items():
            if array.ndim != 3 or array.dtype.kind != "f":
                raise ValueError(f"{name}.{kind}.npy: expected floating point of shape (heads, "
                                 f"tokens, dim), got {array.dtype} of shape {array.shape}")
        single = {kind: array.astype(np.float32) for kind, array in arrays.items()}
        layers.append(Layer(name, single["k"], single["v"], single.get("q")))
    if not layers:
        raise ValueError(f"{folder}: no NAME.k.npy")
    return layers


def _measure(layer: Layer, bits: int, seed: int) -> dict[str, Any]:
    engine = QuashKVEngine(layer.keys.shape[-1], bits, bits, seed)
    engine.append(layer.keys[None], layer.values[None])
    keys, values = (array[0] for array in engine.decode())
    row: dict[str, Any] = {
        "key_nmse": nmse(layer.keys, keys), "key_cosine": _cosine(layer.keys, keys),
        "value_nmse": nmse(layer.values, values), "value_cosine": _cosine(layer.values, values),
        "output_error": None, "output_cosine": None, "ratio": engine.compression_ratio(),
        "held_ratio": (layer.keys.size + layer.values.size) * 2 / engine.actual_memory_bytes(),
    }
    if layer.queries is not None:
        out = engine.attention(layer.queries[None], causal=True)[0]
        exact = attend(layer.queries, layer.keys, layer.values)
        row["output_error"] = nmse(exact, out) ** .5
        row["output_cosine"] = _cosine(exact, out)
    return row


def _cosine(x: np.ndarray, decoded: np.ndarray) -> float:
    return float((unit(x) * unit(decoded)).sum(-1, dtype=np.float64).mean())


def attend(queries: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Exact causal attention for the last positions, grouped heads, scale 1/sqrt(dim)."""
    heads, tokens, dim = keys.shape
    count = queries.shape[1]
    grouped = queries.reshape(heads, -1, dim)
    scores = (grouped @ keys.swapaxes(1, 2)).reshape(heads, -1, count, tokens) / dim ** .5
    hidden = np.arange(tokens) > np.arange(count)[:, None] + tokens - count
    scores[..., hidden] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return (weights.reshape(heads, -1, tokens) @ values).reshape(queries.shape)
