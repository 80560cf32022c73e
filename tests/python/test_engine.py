# SPDX-License-Identifier: Apache-2.0
"""QuashKVEngine against exact attention in float64, and its sizes and counts."""
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from quashkv import QuashKVEngine
from support import attend, mean_cosine, nmse, relative_error


def tokens(rng, *shape):
    return rng.standard_normal((2, *shape)).astype(np.float32)


def filled(rng, batch=1, heads=2, count=100, d=64, **options):
    engine = QuashKVEngine(d, **options)
    keys, values = tokens(rng, batch, heads, count, d)
    engine.append(keys, values)
    return engine, keys, values


# ---- Attention ---------------------------------------------------------------------------------

# Relative errors; the shapes below average over few tokens, the bars of the C tests are stricter.
MODES = [("float", 2e-5), ("exact", 3e-4), ("fast", 3e-2)]


@pytest.mark.parametrize("key_bits, value_bits", [(2, 2), (3, 3), (4, 4), (4, 2), (2, 3)])
@pytest.mark.parametrize("batch, heads, group, d, count", [
    (1, 2, 1, 64, 100), (3, 2, 1, 64, 64), (2, 2, 4, 128, 130), (1, 1, 16, 32, 1),
    (2, 3, 2, 80, 65)])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_exact_on_what_is_stored(key_bits, value_bits, batch, heads, group, d, count,
                                              causal, rng):
    """The decoded keys and values in float64 give the same output: no error but that of codes."""
    engine, keys, values = filled(rng, batch, heads, count, d, key_bits=key_bits,
                                  value_bits=value_bits)
    q_len = min(count, 5)
    queries = rng.standard_normal((batch, heads * group, q_len, d)).astype(np.float32)
    exact = attend(queries, *engine.decode(), causal=causal)
    for engine.mode, bound in MODES:
        out = engine.attention(queries, causal=causal)
        assert out.shape == queries.shape and out.dtype == np.float32
        assert relative_error(exact, out) < bound


@pytest.mark.parametrize("scale", [None, .01, .125, 1.0])
def test_scale(scale, rng):
    engine, keys, values = filled(rng, mode="float")
    queries = rng.standard_normal((1, 2, 3, 64)).astype(np.float32)
    expected = attend(queries, *engine.decode(), scale=scale)
    assert relative_error(expected, engine.attention(queries, scale=scale)) < 1e-4
    if scale == .125:  # the default of d = 64
        np.testing.assert_array_equal(engine.attention(queries), engine.attention(queries, scale))


# Output error against attention on the original keys and values, Gaussian data: measured .66, .40,
# .23 at T = 512 (a mean of many values: the signal is small as well).
@pytest.mark.parametrize("bits, key_error, value_error, output_error",
                         [(2, .125, .14, .50), (3, .0345, .036, .27), (4, .0087, .0090, .14)])
def test_error_against_the_original(bits, key_error, value_error, output_error, rng):
    engine, keys, values = filled(rng, 2, 4, 512, 128, key_bits=bits, value_bits=bits)
    queries = rng.standard_normal((2, 8, 4, 128)).astype(np.float32)
    stored_keys, stored_values = engine.decode()
    assert nmse(keys, stored_keys) < key_error
    assert nmse(values, stored_values) < value_error
    assert relative_error(attend(queries, keys, values), engine.attention(queries)) < output_error


@pytest.mark.parametrize("bits, cosine", [(2, .94), (3, .982), (4, .9955)])
def test_keys_keep_their_norm_and_values_are_unbiased(bits, cosine, rng):
    engine, keys, values = filled(rng, 1, 2, 600, 128, key_bits=bits, value_bits=bits)
    stored_keys, stored_values = engine.decode()
    np.testing.assert_allclose(np.linalg.norm(stored_keys, axis=-1), np.linalg.norm(keys, axis=-1),
                               rtol=2e-3)
    dots = (stored_values * values).sum(-1) / (values ** 2).sum(-1)
    np.testing.assert_allclose(dots, 1, rtol=2e-3)
    assert mean_cosine(keys, stored_keys) > cosine
    assert mean_cosine(values, stored_values) > cosine


def test_more_tokens_than_one_tile_and_long_prompts(rng):
    engine, keys, values = filled(rng, 1, 1, 1000, 64, key_bits=4, value_bits=4, mode="float")
    queries = rng.standard_normal((1, 2, 1000, 64)).astype(np.float32)
    out = engine.attention(queries, causal=True)
    assert relative_error(attend(queries, *engine.decode(), causal=True), out) < 2e-5


def test_causal_offset_is_total_tokens_minus_queries(rng):
    """The last query sees everything, the first of Q misses Q - 1 tokens."""
    engine, keys, values = filled(rng, 1, 1, 40, mode="float")
    queries = rng.standard_normal((1, 1, 8, 64)).astype(np.float32)
    causal, full = engine.attention(queries, causal=True), engine.attention(queries)
    np.testing.assert_allclose(causal[:, :, -1], full[:, :, -1], rtol=1e-5, atol=1e-6)
    short = QuashKVEngine(64, mode="float")
    short.append(keys[:, :, :33], values[:, :, :33])
    np.testing.assert_allclose(causal[:, :, :1], short.attention(queries[:, :, :1]), rtol=1e-4,
                               atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 2), st.integers(1, 3), st.sampled_from([1, 2, 5]),
       st.integers(1, 12).map(lambda n: 8 * n), st.integers(1, 140), st.integers(1, 6),
       st.integers(2, 4), st.booleans(), st.integers(0, 2 ** 32 - 1))
def test_any_shape(batch, heads, group, d, count, q_len, bits, causal, seed):
    rng = np.random.default_rng(seed)
    engine, _, _ = filled(rng, batch, heads, count, d, key_bits=bits, value_bits=bits, seed=seed,
                          mode="float")
    queries = rng.standard_normal((batch, heads * group, q_len, d)).astype(np.float32)
    if causal and q_len > count:
        with pytest.raises(ValueError):
            engine.attention(queries, causal=True)
        return
    out = engine.attention(queries, causal=causal)
    assert relative_error(attend(queries, *engine.decode(), causal=causal), out) < 5e-5


# ---- Appending ---------------------------------------------------------------------------------

@pytest.mark.parametrize("pieces", [[100, 100], [1] * 70 + [130], [64, 64, 72], [63, 2, 135]])
def test_append_in_pieces_equals_one_append(pieces, rng):
    keys, values = tokens(rng, 2, 3, 200, 64)
    whole, parts = QuashKVEngine(64), QuashKVEngine(64)
    whole.append(keys, values)
    first = 0
    for size in pieces:
        part = slice(first, first + size)
        parts.append(keys[:, :, part], values[:, :, part])
        first += size
    assert parts.total_tokens == whole.total_tokens == 200
    assert (parts.num_blocks, whole.num_blocks) == (len(pieces), 1)
    for a, b in zip(parts.decode(), whole.decode()):
        np.testing.assert_array_equal(a, b)
    queries = rng.standard_normal((2, 6, 2, 64)).astype(np.float32)
    np.testing.assert_array_equal(parts.attention(queries), whole.attention(queries))


def test_batches_and_heads_do_not_mix(rng):
    keys, values = tokens(rng, 2, 3, 70, 64)
    queries = rng.standard_normal((2, 3, 1, 64)).astype(np.float32)
    together = QuashKVEngine(64)
    together.append(keys, values)
    out = together.attention(queries)
    for b in range(2):
        for h in range(3):
            part = np.s_[b:b + 1, h:h + 1]
            alone = QuashKVEngine(64)
            alone.append(keys[part], values[part])
            np.testing.assert_array_equal(alone.attention(queries[part]), out[part])


def test_a_failed_append_changes_nothing(rng):
    engine, keys, values = filled(rng)
    queries = rng.standard_normal((1, 2, 1, 64)).astype(np.float32)
    before = engine.attention(queries)
    wrong = values.copy()
    wrong[0, 1, 99, 3] = np.nan
    with pytest.raises(ValueError):
        engine.append(keys, wrong)
    assert (engine.total_tokens, engine.num_blocks) == (100, 1)
    np.testing.assert_array_equal(engine.attention(queries), before)
    fresh = QuashKVEngine(64)
    with pytest.raises(ValueError):
        fresh.append(keys, wrong)
    assert fresh.total_tokens == 0
    fresh.append(keys[:, :1], values[:, :1])  # the failed append has not fixed the heads


def test_clear(rng):
    engine, keys, values = filled(rng)
    held = engine.actual_memory_bytes()
    queries = rng.standard_normal((1, 2, 1, 64)).astype(np.float32)
    before = engine.attention(queries)
    engine.clear()
    assert (engine.total_tokens, engine.num_blocks) == (0, 0)
    assert engine.compression_ratio() == 1.0 and engine.actual_memory_bytes() == 0 < held
    with pytest.raises(ValueError, match="No compressed KV blocks"):
        engine.attention(queries)
    engine.append(keys, values)
    np.testing.assert_array_equal(engine.attention(queries), before)
    engine.clear()
    engine.append(*tokens(rng, 3, 1, 5, 64))  # another batch size is fine after clear
    assert engine.total_tokens == 5


# ---- Sizes and names ---------------------------------------------------------------------------

@pytest.mark.parametrize("bits, d, ratio", [(2, 128, 7.53), (3, 128, 5.12), (4, 128, 3.88),
                                            (3, 64, 4.92), (2, 64, 7.11)])
def test_compression_ratio(bits, d, ratio, rng):
    engine = QuashKVEngine(d, bits, bits)
    assert engine.compression_ratio() == 1.0 and engine.actual_memory_bytes() == 0
    engine.append(*tokens(rng, 1, 2, 640, d))
    assert engine.compression_ratio() == pytest.approx(ratio, abs=.005)
    assert engine.compression_ratio(np.float32) == pytest.approx(2 * ratio, abs=.01)
    formula = 2 * 2 * 640 * (2 * d * bits + 32) / 8 / 2
    assert formula <= engine.actual_memory_bytes() < 1.25 * formula + 20000


def test_attributes(rng):
    engine = QuashKVEngine(128, key_bits=4, value_bits=2, seed=7, pack_storage=True)
    assert (engine.head_dim, engine.key_bits, engine.value_bits) == (128, 4, 2)
    assert (engine.seed, engine.pack_storage) == (7, True)
    assert engine.key_quantizer.d == engine.value_quantizer.d == 128
    assert engine.value_quantizer.bits == 2 and engine.key_quantizer.total_bits == 4
    assert engine.to("cpu") is engine
    text = repr(engine)
    for part in "QuashKVEngine", "head_dim=128", "key_bits=4", "value_bits=2":
        assert part in text
    default = QuashKVEngine()
    assert (default.head_dim, default.key_bits, default.value_bits, default.seed) == (128, 3, 3, 42)


def test_quantizers_of_keys_and_values(kind, rng):
    engine = QuashKVEngine(64)
    x = rng.standard_normal((1, 2, 5, 64)).astype(np.float32)
    indices, signs, norms = engine.compress_keys(kind(x))
    for found, expected in zip((indices, signs, norms), engine.key_quantizer.compress(x)):
        np.testing.assert_array_equal(kind.check(found), expected)
    indices, norms = engine.compress_values(kind(x))
    assert kind.check(indices).shape == x.shape and kind.check(norms).shape == x.shape[:-1]
    decoded = engine.value_quantizer.decompress(indices, norms)
    assert nmse(x, kind.check(decoded)) < .04
    assert engine.total_tokens == 0  # neither stores anything


def test_kinds(kind, rng):
    keys, values = tokens(rng, 1, 2, 10, 64)
    engine = QuashKVEngine(64, mode="float")
    engine.append(kind(keys), kind(values))
    queries = rng.standard_normal((1, 4, 2, 64)).astype(np.float32)
    out = kind.check(engine.attention(kind(queries)), np.float32)
    assert relative_error(attend(queries, *engine.decode()), out) < 2e-5


# ---- Misuse: the texts of the interface --------------------------------------------------------

def test_empty():
    with pytest.raises(ValueError) as error:
        QuashKVEngine(64).attention(np.zeros((1, 1, 1, 64), np.float32))
    assert str(error.value) == "No compressed KV blocks in cache. Call append() first."
    assert isinstance(error.value, RuntimeError)  # code written for either catches it


@pytest.mark.parametrize("options", [{"key_bits": 1}, {"value_bits": 1}, {"key_bits": 5},
                                     {"head_dim": 0}, {"head_dim": 60}, {"head_dim": 584},
                                     {"mode": "slow"}, {"mode": 1}])
def test_parameters_out_of_range(options):
    name, value = next(iter(options.items()))
    with pytest.raises(ValueError, match=f"{name}.*{value}"):
        QuashKVEngine(**options)
