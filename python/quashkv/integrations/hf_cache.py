# SPDX-License-Identifier: Apache-2.0
"""A cache for Hugging Face models that hands decoded keys and values back to the model.

The memory between steps is compressed, the working set of a layer is not, and every step decodes
the whole history: for memory, not for speed. Needs neither torch nor transformers itself; tensors
of the model's kind come back.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator

from .. import _check
from .._array import Array
from ..constants import DEFAULT_SEED
from ..engine import QuashKVEngine


@dataclass
class QuashKVCacheConfig:
    """key_bits, value_bits: 2..4. seed: of layer 0; layer i has seed + i. pack_storage: accepted;
    codes are always packed."""
    key_bits: int = 3
    value_bits: int = 3
    seed: int = DEFAULT_SEED
    pack_storage: bool = False


class QuashKVCache:
    """One QuashKVEngine for each layer, behind the methods of a transformers cache.

    num_layers: 1 or more. head_dim: of every layer. config: None for the defaults. device: "cpu".
    Attributes: num_layers, head_dim, config, device, engines.
    Errors: ValueError (num_layers, head_dim, bits), TypeError (config), NotImplementedError
    (device).
    """

    is_compileable = False
    is_croppable = False

    def __init__(self, num_layers: int, head_dim: int, config: QuashKVCacheConfig | None = None,
                 device: object = "cpu") -> None:
        self.num_layers = _check.integer("num_layers", num_layers, 1)
        self.head_dim = head_dim
        self.config = _config(config)
        self.device = _check.device(device)
        # What transformers asks of each layer: plain attention over all tokens.
        self.is_sliding = self.is_linear = self.is_dummy = [False] * self.num_layers
        self.engines = [
            QuashKVEngine(head_dim=head_dim, key_bits=self.config.key_bits,
                          value_bits=self.config.value_bits, seed=self.config.seed + layer,
                          pack_storage=self.config.pack_storage)
            for layer in range(self.num_layers)]

    @classmethod
    def from_model(cls, model: Any, config: QuashKVCacheConfig | None = None,
                   device: object = None) -> QuashKVCache:
        """A cache for a transformers model, by its config: num_hidden_layers, and head_dim or
        hidden_size / num_attention_heads. device None: the model's.
        Errors: ValueError (config without these), NotImplementedError (device)."""
        settings: Any = getattr(model, "config", None)
        if hasattr(settings, "get_text_config"):
            settings = settings.get_text_config()
        layers = _setting(settings, "num_hidden_layers", "n_layer", "num_layers")
        if layers is None:
            raise ValueError("Cannot detect num_hidden_layers from model config")
        head_dim = _setting(settings, "head_dim")
        if head_dim is None:
            hidden = _setting(settings, "hidden_size", "n_embd")
            heads = _setting(settings, "num_attention_heads", "n_head")
            if not hidden or not heads:
                raise ValueError("Cannot detect head_dim from model config")
            head_dim = hidden // heads
        if device is None:
            device = getattr(model, "device", "cpu")
        return cls(layers, head_dim, config, device)

    def update(self, k: Array, v: Array, layer_idx: int,
               cache_kwargs: dict[str, Any] | None = None,
               **others: Any) -> tuple[Array, Array]:
        """Appends keys and values (B, H, T, D) to a layer; returns all of the layer, decoded:
        (B, H, tokens, D), kind and dtype of the arguments. cache_kwargs and others, which
        differ between versions of transformers, are ignored.
        Errors: as QuashKVEngine.append; IndexError (layer_idx)."""
        engine = self._engine(layer_idx)
        engine.append(k, v)
        return engine.decode()

    def _engine(self, layer_idx: int) -> QuashKVEngine:
        return _check.item("layer_idx", self.engines, layer_idx)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens held by a layer. Errors: IndexError (layer_idx)."""
        return self._engine(layer_idx).total_tokens

    def get_max_cache_length(self) -> None:
        """None: there is no limit."""
        return None

    def get_mask_sizes(self, query: Any, layer_idx: int = 0) -> tuple[int, int]:
        """(keys that attention will see, offset of the first) for new tokens: their number, or
        their positions."""
        new = query if isinstance(query, int) else len(query)
        return self.get_seq_length(layer_idx) + new, 0

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """Position of the next token."""
        return self.get_seq_length(layer_idx)

    def reset(self) -> None:
        """Forgets all tokens."""
        for engine in self.engines:
            engine.clear()

    def compression_stats(self) -> dict[str, Any]:
        """num_layers; tokens_per_layer: of the layers, a list; total_original_bits: of keys and
        values as float16; total_compressed_bits: codes and scales; overall_compression_ratio, 0
        when empty; bytes_held: what libquash holds, tables and half-filled tiles included."""
        original = compressed = 0
        for engine in self.engines:
            vectors = engine.total_tokens * engine.heads_in_batch
            original += vectors * 2 * self.head_dim * 16
            compressed += vectors * engine.token_bits()
        return {
            "num_layers": self.num_layers,
            "tokens_per_layer": [engine.total_tokens for engine in self.engines],
            "total_original_bits": original,
            "total_compressed_bits": compressed,
            "overall_compression_ratio": original / compressed if compressed else 0,
            "bytes_held": sum(engine.actual_memory_bytes() for engine in self.engines),
        }

    def __getitem__(self, layer_idx: int) -> tuple[Array, Array]:
        """Decoded keys and values of a layer, (B, H, tokens, D), kind and dtype of the last update.
        Errors: IndexError (layer_idx), ValueError (layer empty, also a RuntimeError)."""
        return self._engine(layer_idx).decode()

    def __len__(self) -> int:
        return self.num_layers

    def __iter__(self) -> Iterator[tuple[Array, Array]]:
        return (self[layer] for layer in range(self.num_layers))

    def __repr__(self) -> str:
        return (f"QuashKVCache(num_layers={self.num_layers}, head_dim={self.head_dim}, "
                f"key_bits={self.config.key_bits}, value_bits={self.config.value_bits}, "
                f"tokens={self.get_seq_length()})")


def _config(config: QuashKVCacheConfig | None) -> QuashKVCacheConfig:
    given = QuashKVCacheConfig() if config is None else config
    return _check.instance("config", given, QuashKVCacheConfig)


def _setting(settings: Any, *names: str) -> int | None:
    """The first of these attributes that has a value."""
    values = (getattr(settings, name, None) for name in names)
    return next((value for value in values if value is not None), None)

