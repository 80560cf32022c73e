# SPDX-License-Identifier: Apache-2.0
"""The functions of triton_kernels: NumPy on explicit matrices, and so an independent check of the
quantizers of libquash."""
import dataclasses

import numpy as np
import pytest

from quashkv import InnerProductQuantizer, MSEQuantizer
from quashkv.triton_kernels import (CompressedBlock, fused_compress_ip, fused_compress_mse,
                                    fused_decompress_ip, fused_decompress_mse,
                                    fused_quantized_attention)
from support import attend, nmse, relative_error


@pytest.fixture
def x(rng):
    return rng.standard_normal((2, 3, 20, 64)).astype(np.float32)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_mse_agrees_with_the_quantizer(bits, x):
    quantizer = MSEQuantizer(64, bits)
    codebook = quantizer.codebook
    indices, norms = fused_compress_mse(x, quantizer.Pi, codebook.boundaries)
    expected_indices, expected_norms = quantizer.compress(x)
    assert indices.dtype == np.uint8 and indices.shape == x.shape
    assert (indices == expected_indices).mean() > .999
    np.testing.assert_allclose(norms, expected_norms, rtol=1e-5)
    decoded = fused_decompress_mse(expected_indices, expected_norms, quantizer.Pi,
                                   codebook.centroids)
    np.testing.assert_allclose(decoded, quantizer.decompress(expected_indices, expected_norms),
                               atol=2e-5)


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_inner_product_agrees_with_the_quantizer(bits, x, rng):
    quantizer = InnerProductQuantizer(64, bits)
    mse = quantizer.mse_quantizer
    indices, signs, norms = fused_compress_ip(x, mse.Pi, mse.codebook.boundaries, quantizer.S,
                                              mse.codebook.centroids)
    expected = quantizer.compress(x)
    for found, wanted in zip((indices, signs), expected):
        assert found.dtype == np.uint8 and (found == wanted).mean() > .998
    np.testing.assert_allclose(norms, expected[2], rtol=1e-5)
    vectors = fused_decompress_ip(*expected, mse.Pi, mse.codebook.centroids, quantizer.S,
                                  quantizer.qjl_scale)
    q = rng.standard_normal(64).astype(np.float32)
    dots = quantizer.decompress_for_dot(*expected, mse.rotate(q))
    np.testing.assert_allclose(vectors @ q, dots, rtol=1e-3, atol=2e-3)


def blocks(rng, count, kind=lambda a: a):
    """Blocks of 16 tokens, and the keys and values they hold."""
    keys_by, values_by = InnerProductQuantizer(64, 4), MSEQuantizer(64, 4)
    made, keys, values = [], [], []
    for _ in range(count):
        k, v = rng.standard_normal((2, 1, 2, 16, 64)).astype(np.float32)
        made.append(CompressedBlock(*keys_by.compress(kind(k)), *values_by.compress(kind(v)), 16))
        keys.append(k)
        values.append(v)
    arguments = [kind(np.asarray(a)) for a in (
        keys_by.mse_quantizer.Pi, keys_by.mse_quantizer.codebook.centroids,
        values_by.codebook.centroids, keys_by.S)]
    return made, arguments, np.concatenate(keys, 2), np.concatenate(values, 2)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("group", [1, 4])
def test_attention(causal, group, kind, rng):
    made, (pi, key_levels, value_levels, s), keys, values = blocks(rng, 4, kind)
    queries = rng.standard_normal((1, 2 * group, 3, 64)).astype(np.float32)
    scale = InnerProductQuantizer(64, 4).qjl_scale
    out = kind.check(fused_quantized_attention(
        kind(queries), made, pi, key_levels, value_levels, s, scale, causal=causal,
        total_kv_tokens=64), np.float32)
    assert out.shape == queries.shape
    # Signs are noise: most of the error is that of 3-bit keys with a sign bit.
    assert relative_error(attend(queries, keys, values, causal=causal), out) < .5
    full = fused_quantized_attention(kind(queries), made, pi, key_levels, value_levels, s, scale,
                                     scale=.125, causal=causal)
    np.testing.assert_allclose(kind.check(full), out, rtol=1e-5, atol=1e-6)  # the defaults


def test_zero_vectors():
    quantizer = MSEQuantizer(64, 2)
    x = np.zeros((2, 64), np.float32)
    indices, norms = fused_compress_mse(x, quantizer.Pi, quantizer.codebook.boundaries)
    decoded = fused_decompress_mse(indices, norms, quantizer.Pi, quantizer.codebook.centroids)
    np.testing.assert_array_equal(decoded, x)


def test_kinds(kind, x):
    quantizer = InnerProductQuantizer(64, 3)
    mse = quantizer.mse_quantizer
    indices, norms = fused_compress_mse(kind(x), mse.Pi, mse.codebook.boundaries)
    kind.check(indices, np.uint8)
    decoded = fused_decompress_mse(indices, norms, mse.Pi, mse.codebook.centroids)
    assert nmse(x, kind.check(decoded, np.float32)) < .13
    results = fused_compress_ip(kind(x), mse.Pi, mse.codebook.boundaries, quantizer.S,
                                mse.codebook.centroids)
    for result in results:
        kind.check(result)


def test_parts_given_as_the_kind_of_the_vectors(kind, x):
    """Boundaries, matrices and centroids may be tensors too."""
    quantizer = InnerProductQuantizer(64, 3)
    mse = quantizer.mse_quantizer
    parts = [kind(np.asarray(a)) for a in (mse.Pi, mse.codebook.boundaries, quantizer.S,
                                           mse.codebook.centroids)]
    for found, expected in zip(fused_compress_ip(kind(x), *parts),
                               fused_compress_ip(x, mse.Pi, mse.codebook.boundaries, quantizer.S,
                                                 mse.codebook.centroids)):
        np.testing.assert_array_equal(kind.check(found), expected)


def test_misuse(rng):
    made, (pi, key_levels, value_levels, s), _, _ = blocks(rng, 1)
    queries = np.zeros((1, 2, 1, 64), np.float32)

    def attention(blocks, queries=queries, key_levels=key_levels):
        return fused_quantized_attention(queries, blocks, pi, key_levels, value_levels, s, .01)

    none = [dataclasses.replace(made[0], seq_len=0, **{
        name: getattr(made[0], name)[:, :, :0] for name in (
            "mse_indices", "qjl_signs", "key_norms", "val_indices", "val_norms")})]
    for empty in [], none:
        with pytest.raises(RuntimeError, match="No compressed KV blocks"):
            attention(empty)
    with pytest.raises(ValueError, match="Pi: expected shape"):
        attention(made, queries[..., :32])
    with pytest.raises(ValueError, match="do not fit keys"):
        attention(made, np.zeros((1, 3, 1, 64), np.float32))
    short = dataclasses.replace(made[0], val_indices=made[0].val_indices[:, :, :3],
                                val_norms=made[0].val_norms[:, :, :3])
    with pytest.raises(ValueError, match="val_indices: expected shape"):
        attention([short])
    with pytest.raises(ValueError, match=r"mse_indices\[0, 0, 0, \d+\] is \d, expected below 4"):
        attention(made, key_levels=key_levels[:4])
    with pytest.raises(ValueError, match="centroids: expected 2, 4 or 8 .*, got 16"):
        attention(made, key_levels=value_levels)
    with pytest.raises(ValueError, match="key_centroids: expected one dimension"):
        attention(made, key_levels=pi)
    with pytest.raises(ValueError, match=r"x\[0, 0\] is nan"):
        fused_compress_mse(np.full((1, 64), np.nan, np.float32), pi, key_levels[1:])
    with pytest.raises(ValueError, match="centroids: expected 8, one more than boundaries, got 16"):
        fused_compress_ip(queries, pi, key_levels[1:], s, value_levels)
