# SPDX-License-Identifier: Apache-2.0
"""Compressed caches in the shapes of vLLM, one sequence each: tensors (tokens, heads, head_size).

These classes need neither torch nor vLLM. `register_quashkv_backend` is where vLLM comes in.
"""
from __future__ import annotations

import importlib.util
from dataclasses import asdict, dataclass
from typing import Any, Callable

from .. import _array, _check, _lib
from .._array import Array
from ..constants import DEFAULT_SEED
from ..engine import QuashKVEngine
from ..triton_kernels.attention import CompressedBlock

HAS_VLLM = importlib.util.find_spec("vllm") is not None


@dataclass
class QuashKVPageConfig:
    """key_bits, value_bits: 2..4. block_size: tokens of a block of get_compressed_blocks. seed: of
    layer 0; layer i has seed + i."""
    key_bits: int = 3
    value_bits: int = 3
    block_size: int = 16
    seed: int = DEFAULT_SEED


class QuashKVPageManager:
    """The compressed cache of one layer.

    num_kv_heads: 1 or more. head_size: a multiple of 8, 8..576. config: None for the defaults.
    Attributes: num_kv_heads, head_size, config, device, layer_idx, engine.
    Errors: ValueError (sizes, bits), TypeError (config), NotImplementedError (device).
    """

    def __init__(self, num_kv_heads: int, head_size: int, config: QuashKVPageConfig | None = None,
                 device: object = "cpu", layer_idx: int = 0) -> None:
        self.num_kv_heads = _check.integer("num_kv_heads", num_kv_heads, 1, 1 << 16)
        self.head_size = head_size
        self.config = _config(config)
        _check.integer("block_size", self.config.block_size, 1)
        self.device = _check.device(device)
        self.layer_idx = layer_idx
        self.engine = QuashKVEngine(head_dim=head_size, key_bits=self.config.key_bits,
                                    value_bits=self.config.value_bits,
                                    seed=self.config.seed + layer_idx)

    def compress_and_store(self, k: Array, v: Array) -> None:
        """Appends keys and values, both (tokens, num_kv_heads, head_size).
        Errors: as QuashKVEngine.append."""
        keys = _heads_first(k, "k", self.num_kv_heads, self.head_size)
        values = _heads_first(v, "v", self.num_kv_heads, self.head_size)
        if keys.shape != values.shape:
            raise ValueError(f"v has shape {tuple(v.shape)}, k {tuple(k.shape)}: they must be "
                             "equal")
        _named(lambda: self.engine.append(keys, values), k=k, v=v)

    def get_compressed_blocks(self) -> list[CompressedBlock]:
        """What is stored as blocks of block_size tokens (the last may be shorter) for
        fused_quantized_attention: keys by engine.key_quantizer, values by engine.value_quantizer.
        Coded anew from the decoded cache, so with a second error on top: attention() does not use
        them. Errors: ValueError (nothing stored, also a RuntimeError)."""
        self._check_stored()
        keys, values = self.engine.decode()
        mse_indices, qjl_signs, key_norms, residual_norms = \
            self.engine.key_quantizer.compress(keys, return_residual=True)
        val_indices, val_norms = self.engine.value_quantizer.compress(values)
        blocks = []
        for first in range(0, self.total_tokens, self.config.block_size):
            part = slice(first, min(first + self.config.block_size, self.total_tokens))
            blocks.append(CompressedBlock(
                mse_indices[:, :, part], qjl_signs[:, :, part], key_norms[:, :, part],
                val_indices[:, :, part], val_norms[:, :, part], part.stop - part.start,
                residual_norms[:, :, part]))
        return blocks

    def attention(self, q: Array, scale: float | None = None, causal: bool = True) -> Array:
        """q (tokens, query heads, head_size), the newest tokens of the sequence: query i sees all
        stored tokens up to itself (causal False: all). Returns the shape, dtype and kind of q.
        Errors: ValueError (nothing stored, also a RuntimeError; shape; NaN or infinity; causal with
        more queries than tokens stored), TypeError (dtype)."""
        self._check_stored()
        queries = _heads_first(q, "q", None, self.head_size)
        out = _named(lambda: self.engine.attention(queries, scale, causal), q=q)
        return out.swapaxes(1, 2)[0]

    def _check_stored(self) -> None:
        if self.total_tokens == 0:
            raise _lib.EmptyError("No compressed KV blocks stored yet")

    @property
    def total_tokens(self) -> int:
        """Tokens held."""
        return self.engine.total_tokens

    def clear(self) -> None:
        """Forgets all tokens."""
        self.engine.clear()

    def compression_ratio(self) -> float:
        """Against float16, codes and scales; 1.0 when empty."""
        return self.engine.compression_ratio()


class QuashKVModelManager:
    """One QuashKVPageManager for each layer of a model.

    Attributes: num_layers, config, layers. Errors: as QuashKVPageManager; ValueError (num_layers).
    """

    def __init__(self, num_layers: int, num_kv_heads: int, head_size: int,
                 config: QuashKVPageConfig | None = None, device: object = "cpu") -> None:
        self.num_layers = _check.integer("num_layers", num_layers, 1)
        self.config = _config(config)
        self.layers = [QuashKVPageManager(num_kv_heads, head_size, self.config, device, layer)
                       for layer in range(self.num_layers)]

    def forward_layer(self, layer_idx: int, q: Array, k: Array, v: Array,
                      scale: float | None = None) -> Array:
        """Stores k and v in a layer, then attends with q: see quashkv_attention_forward.
        Errors: IndexError (layer_idx); as there."""
        layer = _check.item("layer_idx", self.layers, layer_idx)
        return quashkv_attention_forward(q, k, v, layer, scale)

    def clear(self) -> None:
        """Forgets all tokens of all layers."""
        for layer in self.layers:
            layer.clear()

    def stats(self) -> dict[str, Any]:
        """num_layers, tokens_per_layer and compression_ratios (lists), config (a dict)."""
        return {
            "num_layers": self.num_layers,
            "tokens_per_layer": [layer.total_tokens for layer in self.layers],
            "compression_ratios": [layer.compression_ratio() for layer in self.layers],
            "config": asdict(self.config),
        }

    def total_compressed_bytes(self) -> int:
        """Bytes that libquash holds for all layers."""
        return sum(layer.engine.actual_memory_bytes() for layer in self.layers)


def quashkv_attention_forward(q: Array, k: Array, v: Array, page_manager: QuashKVPageManager,
                              scale: float | None = None) -> Array:
    """Stores k and v (tokens, KV heads, head_size), then attends causally with q (tokens, query
    heads, head_size) over all that is stored. Returns the shape, dtype and kind of q."""
    page_manager.compress_and_store(k, v)
    return page_manager.attention(q, scale)


def register_quashkv_backend() -> None:
    """Registers the backend with vLLM.
    Errors: ImportError (vLLM is not installed), NotImplementedError (always, so far)."""
    if not HAS_VLLM:
        raise ImportError("vLLM is not installed: pip install vllm")
    raise NotImplementedError("this version of quashkv has no vLLM plug-in yet")


def _config(config: QuashKVPageConfig | None) -> QuashKVPageConfig:
    given = QuashKVPageConfig() if config is None else config
    return _check.instance("config", given, QuashKVPageConfig)


def _heads_first(tensor: Array, name: str, heads: int | None, head_size: int) -> Array:
    """(tokens, heads, head_size) as (1, heads, tokens, head_size), without a copy.
    Errors: TypeError (no array), ValueError (shape)."""
    if not hasattr(tensor, "swapaxes"):
        tensor = _array.read(tensor, name).array
    shape = tuple(tensor.shape)
    if len(shape) != 3 or heads not in (None, shape[1]) or shape[2] != head_size:
        raise ValueError(f"{name}: expected shape (tokens, {heads or 'heads'}, {head_size}), got "
                         f"{shape}")
    return tensor.swapaxes(0, 1)[None]


def _named(call: Callable[[], Any], **tensors: Array) -> Any:
    """call(), whose complaints of NaN and infinity name these arguments and their indices, where
    the engine speaks of keys, values and queries with the heads first."""
    try:
        return call()
    except ValueError as error:
        problem = error
    for name, tensor in tensors.items():
        _array.read(tensor, name).check_finite()
    raise problem
