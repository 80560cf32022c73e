# SPDX-License-Identifier: Apache-2.0
"""The Python blocks of the prototype's README (prototype_readme/, unchanged) run once the names
they leave undefined are supplied; and so do the lines that they only show as comments."""
import pathlib
import re

import numpy as np
import pytest

BLOCKS = pathlib.Path(__file__).with_name("prototype_readme")


def run(name, uncomment=False, **names):
    """Executes a block with these names defined; returns its names."""
    text = (BLOCKS / f"{name}.txt").read_text()
    if uncomment:
        text = re.sub(r"^# (?=(outputs|cache) = )", "", text, flags=re.MULTILINE)
    exec(compile(text, name, "exec"), names)
    return names


def tiny_model(layers=2, head_dim=64):
    """A Llama with random weights, made here: nothing is downloaded."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=64, hidden_size=64, intermediate_size=64, head_dim=head_dim,
                         num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=2,
                         max_position_embeddings=128, bos_token_id=None, eos_token_id=None,
                         pad_token_id=0)
    return LlamaForCausalLM(config).eval()


@pytest.mark.torch
def test_kv_cache(capsys):
    names = run("kv_cache")
    assert tuple(names["output"].shape) == (1, 8, 1, 128)
    assert names["engine"].compression_ratio() == pytest.approx(5.12)
    assert capsys.readouterr().out == "Compression ratio: 5.1x\n"  # the prototype: 4.9x


def test_hf_cache():
    cache = run("hf_cache")["cache"]
    assert len(cache.engines) == 32 and cache.engines[0].head_dim == 128


@pytest.mark.torch
@pytest.mark.transformers
@pytest.mark.filterwarnings("ignore:.past_key_values:FutureWarning")
def test_hf_cache_with_a_model():
    import torch

    model = tiny_model(layers=32, head_dim=128)
    inputs = {"input_ids": torch.arange(1, 9)[None], "max_new_tokens": 4, "do_sample": False}
    names = run("hf_cache", uncomment=True, model=model, inputs=inputs)
    assert names["outputs"].shape == (1, 12)
    cache = names["cache"]  # the one of from_model, which nothing has used yet
    assert len(cache) == 32 and cache.engines[0].head_dim == 128 and cache.get_seq_length() == 0


def test_vector_search(kind, rng, capsys):
    database = rng.standard_normal((2000, 128)).astype(np.float32)
    names = run("vector_search", database_vectors=kind(database), queries=kind(database[:20]))
    assert kind.check(names["scores"], np.float32).shape == (20, 10)
    assert kind.check(names["indices"], np.int64).shape == (20, 10)
    assert names["recall"] > .7
    assert re.fullmatch(r"Recall@10: 0\.\d{3}\n", capsys.readouterr().out)


def test_mixed_precision(kind, rng):
    data = rng.standard_normal((500, 128)).astype(np.float32)
    data[:, ::8] *= 10
    names = run("mixed_precision", calibration_data=kind(data), vectors=kind(data))
    decoded = kind.check(names["reconstructed"], np.float32)
    assert decoded.shape == data.shape
    assert ((decoded - data) ** 2).sum() / (data ** 2).sum() < .05
    assert names["quantizer"].effective_bits == 2.25
