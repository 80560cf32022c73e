# SPDX-License-Identifier: Apache-2.0
"""Page and model managers in the shapes of vLLM: (tokens, heads, head_size)."""
import numpy as np
import pytest

from quashkv.integrations import vllm_backend as vb
from quashkv.triton_kernels import CompressedBlock, fused_quantized_attention
from support import attend, relative_error


def step(rng, tokens, heads=2, d=64):
    return rng.standard_normal((2, tokens, heads, d)).astype(np.float32)


def exact(q, k, v, **options):
    """attend in the shapes of vLLM."""
    first = [a.swapaxes(0, 1)[None] for a in (q, k, v)]
    return attend(*first, **options)[0].swapaxes(0, 1)


def test_config():
    config = vb.QuashKVPageConfig()
    assert (config.key_bits, config.value_bits, config.block_size, config.seed) == (3, 3, 16, 42)


def test_page_manager(kind, rng):
    manager = vb.QuashKVPageManager(2, 64, vb.QuashKVPageConfig(4, 4), "cpu", layer_idx=3)
    assert manager.total_tokens == 0 and manager.compression_ratio() == 1.0
    k, v = step(rng, 40)
    manager.compress_and_store(kind(k[:30]), kind(v[:30]))
    manager.compress_and_store(kind(k[30:]), kind(v[30:]))
    assert manager.total_tokens == 40
    assert manager.compression_ratio() == pytest.approx(2 * 64 * 16 / (2 * 64 * 4 + 32))
    q = rng.standard_normal((1, 8, 64)).astype(np.float32)
    out = kind.check(manager.attention(kind(q)), np.float32)
    assert out.shape == q.shape and relative_error(exact(q, k, v), out) < .15
    scaled = kind.check(manager.attention(kind(q), scale=.03))
    assert relative_error(exact(q, k, v, scale=.03), scaled) < .15
    manager.clear()
    assert manager.total_tokens == 0


def test_blocks(rng):
    manager = vb.QuashKVPageManager(2, 64)
    k, v = step(rng, 40)
    manager.compress_and_store(k, v)
    blocks = manager.get_compressed_blocks()
    assert all(isinstance(block, CompressedBlock) for block in blocks)
    assert [block.seq_len for block in blocks] == [16, 16, 8]
    q = rng.standard_normal((1, 2, 1, 64)).astype(np.float32)
    keys, values = manager.engine.key_quantizer, manager.engine.value_quantizer
    out = fused_quantized_attention(
        q, blocks, keys.mse_quantizer.Pi, keys.mse_quantizer.codebook.centroids,
        values.codebook.centroids, keys.S, keys.qjl_scale)
    assert out.shape == q.shape
    assert relative_error(attend(q, k.swapaxes(0, 1)[None], v.swapaxes(0, 1)[None]), out) < .9


def test_nothing_stored():
    manager = vb.QuashKVPageManager(2, 64)
    for call in (lambda: manager.attention(np.zeros((1, 2, 64), np.float32)),
                 manager.get_compressed_blocks):
        with pytest.raises(ValueError) as error:
            call()
        assert str(error.value) == "No compressed KV blocks stored yet"


def test_model_manager(kind, rng):
    manager = vb.QuashKVModelManager(2, 2, 64)
    assert len(manager.layers) == 2
    assert all(isinstance(layer, vb.QuashKVPageManager) for layer in manager.layers)
    k, v = step(rng, 20)
    q = rng.standard_normal((20, 4, 64)).astype(np.float32)
    out = kind.check(manager.forward_layer(1, kind(q), kind(k), kind(v)), np.float32)
    assert out.shape == q.shape
    assert relative_error(exact(q, k, v, causal=True), out) < .3
    stats = manager.stats()
    assert set(stats) >= {"num_layers", "tokens_per_layer", "compression_ratios", "config"}
    assert stats["num_layers"] == 2 and list(stats["tokens_per_layer"]) == [0, 20]
    assert list(stats["compression_ratios"]) == pytest.approx([1.0, 4.923], abs=.001)
    assert manager.total_compressed_bytes() > 20 * 2 * 2 * 64 * 3 / 8
    manager.clear()
    assert list(manager.stats()["tokens_per_layer"]) == [0, 0]
    assert manager.total_compressed_bytes() == 0


def test_layers_have_seeds_of_their_own():
    manager = vb.QuashKVModelManager(2, 1, 64, vb.QuashKVPageConfig(seed=5))
    assert [layer.engine.seed for layer in manager.layers] == [5, 6]


def test_attention_forward_stores_then_attends(rng):
    k, v = step(rng, 10)
    q = rng.standard_normal((10, 2, 64)).astype(np.float32)
    manager, by_hand = (vb.QuashKVPageManager(2, 64) for _ in range(2))
    out = vb.quashkv_attention_forward(q, k, v, manager, scale=.1)
    assert manager.total_tokens == 10
    by_hand.compress_and_store(k, v)
    np.testing.assert_array_equal(out, by_hand.attention(q, .1))


def test_misuse(rng):
    manager = vb.QuashKVPageManager(2, 64)
    k, v = step(rng, 4)
    for wrong_k, wrong_v in ((k[..., :32], v[..., :32]), (k[:, :1], v[:, :1]), (k[0], v[0]),
                             (k, v[:3])):
        with pytest.raises(ValueError):
            manager.compress_and_store(wrong_k, wrong_v)
    assert manager.total_tokens == 0
    with pytest.raises(ValueError, match=r"v has shape \(3, 2, 64\), k \(4, 2, 64\)"):
        manager.compress_and_store(k, v[:3])
    with pytest.raises(ValueError, match=r"k: expected shape \(tokens, 2, 64\), got \(4, 2, 32\)"):
        manager.compress_and_store(k[..., :32], v[..., :32])
    with pytest.raises(IndexError, match="layer_idx is 1, expected below 1"):
        vb.QuashKVModelManager(1, 2, 64).forward_layer(1, k, k, v)
    with pytest.raises(TypeError, match="config must be a QuashKVPageConfig, got dict"):
        vb.QuashKVPageManager(2, 64, {"key_bits": 3})


@pytest.mark.parametrize("name", ["k", "v", "q"])
def test_nan_is_named_by_the_argument_and_its_index(name, kind, rng):
    k, v = step(rng, 4)
    tensors = {"k": k, "v": v, "q": k.copy()}
    tensors[name][3, 1, 60] = np.nan
    manager = vb.QuashKVPageManager(2, 64)
    with pytest.raises(ValueError) as error:
        vb.quashkv_attention_forward(*(kind(tensors[n]) for n in "qkv"), manager)
    assert str(error.value) == f"{name}[3, 1, 60] is nan: NaN and infinity are not allowed"
    assert error.value.__context__ is None  # one error, not two


@pytest.mark.skipif(vb.HAS_VLLM, reason="vLLM is installed")
def test_registration_without_vllm():
    with pytest.raises(ImportError) as error:
        vb.register_quashkv_backend()
    assert str(error.value).startswith("vLLM is not installed")


@pytest.mark.skipif(not vb.HAS_VLLM, reason="vLLM is not installed")
def test_registration_says_what_is_missing():
    with pytest.raises(NotImplementedError):
        vb.register_quashkv_backend()
