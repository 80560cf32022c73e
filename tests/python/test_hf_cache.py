# SPDX-License-Identifier: Apache-2.0
"""QuashKVCache: compressed layers behind the methods of a transformers cache."""
from types import SimpleNamespace

import numpy as np
import pytest

from quashkv import QuashKVEngine
from quashkv.integrations.hf_cache import QuashKVCache, QuashKVCacheConfig
from support import nmse


def step(rng, tokens, batch=1, heads=2, d=64):
    return rng.standard_normal((2, batch, heads, tokens, d)).astype(np.float32)


def test_config_and_engines():
    config = QuashKVCacheConfig()
    assert (config.key_bits, config.value_bits, config.seed) == (3, 3, 42)
    cache = QuashKVCache(4, 64, QuashKVCacheConfig(key_bits=4, value_bits=2, seed=10))
    assert len(cache) == len(cache.engines) == 4
    assert [engine.seed for engine in cache.engines] == [10, 11, 12, 13]
    for engine in cache.engines:
        assert isinstance(engine, QuashKVEngine)
        assert (engine.head_dim, engine.key_bits, engine.value_bits) == (64, 4, 2)
    assert [engine.seed for engine in QuashKVCache(2, 64).engines] == [42, 43]


def test_update_returns_all_tokens(kind, rng):
    cache = QuashKVCache(2, 64, QuashKVCacheConfig(4, 4))
    keys, values = step(rng, 10)
    more_keys, more_values = step(rng, 1)
    cache.update(kind(keys), kind(values), 0)
    found = cache.update(kind(more_keys), kind(more_values), 0, {"cache_position": None})
    for result, parts in zip(found, ((keys, more_keys), (values, more_values))):
        expected = np.concatenate(parts, 2)
        result = kind.check(result, np.float32)
        assert result.shape == (1, 2, 11, 64) and nmse(expected, result) < .01
    assert cache.get_seq_length() == cache.get_seq_length(0) == 11
    assert cache.get_seq_length(1) == 0
    assert cache.get_max_cache_length() is None
    layer_keys, layer_values = cache[0]
    np.testing.assert_array_equal(kind.check(layer_keys), kind.check(found[0]))


def test_layers_are_sequence_like(rng):
    cache = QuashKVCache(3, 64)
    for layer in range(3):
        cache.update(*step(rng, 5 + layer), layer)
    assert len(cache) == 3
    assert [keys.shape[2] for keys, values in cache] == [5, 6, 7]
    assert cache[2][0].shape == (1, 2, 7, 64)
    with pytest.raises(IndexError):
        cache[3]


def test_reset_and_stats(rng):
    cache = QuashKVCache(2, 128)
    stats = cache.compression_stats()
    assert stats["num_layers"] == 2 and stats["overall_compression_ratio"] == 0
    assert stats["total_original_bits"] == stats["total_compressed_bits"] == 0
    for layer in range(2):
        cache.update(*step(rng, 30, heads=4, d=128), layer)
    stats = cache.compression_stats()
    assert set(stats) >= {"num_layers", "tokens_per_layer", "total_original_bits",
                          "total_compressed_bits", "overall_compression_ratio"}
    assert stats["total_original_bits"] == 2 * 2 * 4 * 30 * 128 * 16
    assert stats["overall_compression_ratio"] == pytest.approx(5.12)
    assert stats["total_original_bits"] / stats["total_compressed_bits"] == pytest.approx(5.12)
    cache.reset()
    assert cache.get_seq_length() == 0 and cache.compression_stats()["total_original_bits"] == 0


def model(**config):
    return SimpleNamespace(config=SimpleNamespace(**config))


def test_from_model():
    cache = QuashKVCache.from_model(
        model(num_hidden_layers=3, hidden_size=256, num_attention_heads=4))
    assert len(cache) == 3 and cache.engines[0].head_dim == 64
    cache = QuashKVCache.from_model(
        model(num_hidden_layers=2, hidden_size=256, num_attention_heads=4, head_dim=128),
        QuashKVCacheConfig(key_bits=2))
    assert cache.engines[0].head_dim == 128 and cache.engines[0].key_bits == 2


def test_from_model_without_layers():
    with pytest.raises(ValueError) as error:
        QuashKVCache.from_model(model(hidden_size=256, num_attention_heads=4))
    assert str(error.value) == "Cannot detect num_hidden_layers from model config"


def test_misuse(rng):
    with pytest.raises(ValueError):
        QuashKVCache(0, 64)
    with pytest.raises(ValueError):
        QuashKVCache(1, 64, QuashKVCacheConfig(key_bits=1))
    with pytest.raises(NotImplementedError, match="cuda"):
        QuashKVCache(1, 64, device="cuda")
    cache = QuashKVCache(1, 64)
    for call in (lambda: cache.update(*step(rng, 5), 1), lambda: cache[1],
                 lambda: cache.get_seq_length(1)):
        with pytest.raises(IndexError, match="layer_idx is 1, expected below 1"):
            call()
    with pytest.raises(TypeError, match="config must be a QuashKVCacheConfig, got dict"):
        QuashKVCache(1, 64, {"key_bits": 3})
    with pytest.raises(ValueError):
        cache.update(*step(rng, 5, d=32), 0)


@pytest.mark.torch
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_dtype_of_the_model_comes_back(dtype, rng):
    import torch

    keys, values = (torch.from_numpy(a).to(getattr(torch, dtype)) for a in step(rng, 6))
    found = QuashKVCache(1, 64).update(keys, values, 0)
    assert all(f.dtype == keys.dtype and f.shape == keys.shape for f in found)
    assert nmse(keys.float().numpy(), found[0].float().numpy()) < .05


@pytest.mark.transformers
@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:.past_key_values:FutureWarning")
def test_generation_by_a_transformers_model():
    """Greedy tokens of a tiny random model with 4-bit codes: its own shape and length, and the same
    as two calls of the model by hand."""
    from test_prototype_readme import tiny_model

    import torch

    network = tiny_model()
    inputs = torch.arange(1, 13)[None]
    cache = QuashKVCache.from_model(network, QuashKVCacheConfig(4, 4))
    out = network.generate(inputs, past_key_values=cache, max_new_tokens=5, do_sample=False)
    assert out.shape == (1, 17) and (out[:, :12] == inputs).all()
    assert cache.get_seq_length() in (16, 17)
    by_hand = QuashKVCache.from_model(network, QuashKVCacheConfig(4, 4))
    with torch.no_grad():
        first = network(inputs, past_key_values=by_hand).logits[:, -1].argmax(-1)
        second = network(first[:, None], past_key_values=by_hand).logits[:, -1].argmax(-1)
    assert [first.item(), second.item()] == out[0, 12:14].tolist()
