# SPDX-License-Identifier: Apache-2.0
"""The table of misuse: for every entry point that takes arrays, what a wrong one raises and that
the message says which argument, what it is and what was expected. And input that is unusual but
right."""
import numpy as np
import pytest

from quashkv import (InnerProductQuantizer, LloydMaxCodebook, MixedPrecisionIPQuantizer,
                     MixedPrecisionMSEQuantizer, MSEQuantizer, QuashIndex, QuashKVEngine, pack_bits,
                     theory)
from quashkv.triton_kernels import fused_compress_mse, fused_decompress_mse

D = 64


def rows(shape=(6, D)):
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


def engine_with_tokens():
    engine = QuashKVEngine(D)
    engine.append(rows((1, 2, 6, D)), rows((1, 2, 6, D)))
    return engine


def index_with_rows():
    index = QuashIndex(D)
    index.add(rows())
    return index


# What is called with one array x; the shape of a right one; the name the message must contain.
VECTORS = {
    "MSEQuantizer.compress": (lambda x: MSEQuantizer(D, 3).compress(x), (6, D), "x"),
    "MSEQuantizer.rotate": (lambda x: MSEQuantizer(D, 3).rotate(x), (6, D), "x"),
    "MSEQuantizer.unrotate": (lambda x: MSEQuantizer(D, 3).unrotate(x), (6, D), "y"),
    "InnerProductQuantizer.compress": (lambda x: InnerProductQuantizer(D).compress(x), (6, D), "x"),
    "MixedMSE.compress": (lambda x: MixedPrecisionMSEQuantizer(D).compress(x), (6, D), "x"),
    "MixedIP.compress": (lambda x: MixedPrecisionIPQuantizer(D).compress(x), (6, D), "x"),
    "Mixed.calibrate": (lambda x: MixedPrecisionMSEQuantizer(D).calibrate(x), (6, D), "data"),
    "Mixed.rotate": (lambda x: MixedPrecisionMSEQuantizer(D).rotate(x), (6, D), "x"),
    "fused_compress_mse": (
        lambda x: fused_compress_mse(x, np.eye(D, dtype=np.float32), np.zeros(1, np.float32)),
        (6, D), ""),
    "QuashIndex.add": (lambda x: QuashIndex(D).add(x), (6, D), "vectors"),
    "QuashIndex.search": (lambda x: index_with_rows().search(x, 2), (6, D), "queries"),
    "QuashIndex.brute_force": (lambda x: QuashIndex(D).brute_force(rows(), x, 2), (6, D),
                               "database"),
    "QuashKVEngine.append keys": (
        lambda x: QuashKVEngine(D).append(x, rows((1, 2, 6, D))), (1, 2, 6, D), "keys"),
    "QuashKVEngine.append values": (
        lambda x: QuashKVEngine(D).append(rows((1, 2, 6, D)), x), (1, 2, 6, D), "values"),
    "QuashKVEngine.attention": (lambda x: engine_with_tokens().attention(x), (1, 2, 6, D),
                                "queries"),
}
each = pytest.mark.parametrize("call, shape, name", VECTORS.values(), ids=VECTORS)


@each
def test_right_input_is_taken(call, shape, name):
    call(rows(shape))


@each
@pytest.mark.parametrize("value, text", [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_nan_and_infinity(call, shape, name, value, text, dtype):
    x = rows(shape).astype(dtype)
    place = (*(n - 1 for n in shape[:-1]), 5)
    x[place] = value
    with pytest.raises(ValueError) as error:
        call(x)
    message = str(error.value).lower()
    assert name in message and text in message, message
    assert all(str(i) in message for i in place[-2:]), f"{message} does not name {place}"


@each
@pytest.mark.parametrize("wrong_dim", [D - 1, D + 8, 1])
def test_wrong_last_dimension(call, shape, name, wrong_dim):
    with pytest.raises(ValueError) as error:
        call(rows((*shape[:-1], wrong_dim)))
    assert str(wrong_dim) in str(error.value)


@each
def test_scalar(call, shape, name):
    with pytest.raises((ValueError, TypeError)):
        call(np.array(1.0, np.float32))


@each
@pytest.mark.parametrize("dtype", [np.complex64, np.bool_, object, "U1", "M8[s]"])
def test_wrong_dtype(call, shape, name, dtype):
    with pytest.raises(TypeError) as error:
        call(np.zeros(shape).astype(dtype))
    assert np.dtype(dtype).name.rstrip("0123456789") in str(error.value)


@each
@pytest.mark.parametrize("wrong", [None, 3.0, "text", {"a": 1}], ids=repr)
def test_not_an_array(call, shape, name, wrong):
    with pytest.raises(TypeError) as error:
        call(wrong)
    assert type(wrong).__name__ in str(error.value)


def variants(x):
    """The numbers of x in unusual memory."""
    yield "big-endian", x.astype(">f4")
    yield "big-endian half", x.astype(np.float16).astype(">f2")
    yield "float64", x.astype(np.float64)
    yield "float16", x.astype(np.float16)
    yield "Fortran order", np.asfortranarray(x)
    wide = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), np.float32)
    wide[..., ::2] = x
    yield "stride 2", wide[..., ::2]
    yield "reversed", np.ascontiguousarray(x[..., ::-1])[..., ::-1]
    yield "rows reversed", np.ascontiguousarray(x[..., ::-1, :])[..., ::-1, :]
    raw = np.zeros(x.nbytes + 1, np.uint8)
    raw[1:] = x.reshape(-1).view(np.uint8)
    yield "misaligned", raw[1:].view(np.float32).reshape(x.shape)
    frozen = x.copy()
    frozen.flags.writeable = False
    yield "read-only", frozen
    record = np.zeros(x.shape, [("a", np.int8), ("x", np.float32)])
    record["x"] = x
    yield "field of a record", record["x"]


def flat(results):
    results = results if isinstance(results, tuple) else (results,)
    return [np.asarray(r) for r in results if r is not None]


@each
def test_unusual_memory_gives_the_same_result(call, shape, name):
    x = rows(shape).astype(np.float16).astype(np.float32)  # the same numbers in each dtype
    expected = flat(call(x.copy()))
    for label, variant in variants(x):
        before = variant.copy()
        for found, wanted in zip(flat(call(variant)), expected, strict=True):
            np.testing.assert_array_equal(found.astype(wanted.dtype), wanted.astype(
                found.dtype).astype(wanted.dtype), err_msg=label)
        np.testing.assert_array_equal(variant, before, err_msg=f"{label}: input changed")


@each
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int64])
def test_integers_are_numbers(call, shape, name, dtype):
    x = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    for found, wanted in zip(flat(call(x)), flat(call(x.astype(np.float32))), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)


@each
def test_float64_beyond_float32(call, shape, name):
    x = rows(shape).astype(np.float64)
    x[..., 3] = 1e300
    with pytest.raises(ValueError) as error:
        call(x)
    assert "1e+300" in str(error.value) and "float32" in str(error.value)


# ---- No rows -----------------------------------------------------------------------------------

@pytest.mark.parametrize("make", [lambda: MSEQuantizer(D, 3), lambda: InnerProductQuantizer(D),
                                  lambda: MixedPrecisionMSEQuantizer(D),
                                  lambda: MixedPrecisionIPQuantizer(D)])
@pytest.mark.parametrize("shape", [(0, D), (2, 0, D)])
def test_empty_batches_stay_empty(make, shape):
    results = make().compress(np.empty(shape, np.float32))
    assert results[0].shape == shape and results[-1].shape[:len(shape) - 1] == shape[:-1]


def test_empty_arrays_elsewhere():
    engine = engine_with_tokens()
    engine.append(rows((1, 2, 0, D)), rows((1, 2, 0, D)))
    assert engine.total_tokens == 6
    assert engine.attention(rows((1, 2, 0, D))).shape == (1, 2, 0, D)
    index = index_with_rows()
    index.add(np.empty((0, D)))
    scores, ids = index.search(np.empty((0, D)), 3)
    assert len(index) == 6 and scores.shape == ids.shape == (0, 3)
    assert LloydMaxCodebook(D, 2).quantize(np.empty((3, 0))).shape == (3, 0)
    with pytest.raises(ValueError):
        MixedPrecisionMSEQuantizer(D).calibrate(np.empty((0, D), np.float32))
    with pytest.raises(ValueError):
        index.brute_force(rows(), np.empty((0, D)), 3)


# ---- Shapes that must agree --------------------------------------------------------------------

@pytest.mark.parametrize("keys, values", [
    ((1, 2, 6, D), (1, 2, 5, D)), ((1, 2, 6, D), (1, 3, 6, D)), ((1, 2, 6, D), (2, 2, 6, D)),
    ((1, 2, 6, D), (1, 2, 6, 32)), ((2, 6, D), (2, 6, D)), ((1, 1, 2, 6, D), (1, 1, 2, 6, D))])
def test_keys_and_values(keys, values):
    engine = QuashKVEngine(D)
    with pytest.raises(ValueError) as error:
        engine.append(rows(keys), rows(values))
    assert str(values) in str(error.value) or str(values[-1]) in str(error.value)
    assert engine.total_tokens == 0


@pytest.mark.parametrize("shape", [(2, 2, 1, D), (1, 3, 1, D), (1, 1, 1, D), (1, 2, 1, 32),
                                   (2, 1, D), (1, 0, 1, D), (1, 34, 1, D)])
def test_queries_that_do_not_fit_the_cache(shape):
    with pytest.raises(ValueError, match="quer"):
        engine_with_tokens().attention(rows(shape))


@pytest.mark.parametrize("keys", [(2, 2, 1, D), (1, 1, 1, D), (1, 4, 1, D)])
def test_other_batch_or_heads_than_before(keys):
    engine = engine_with_tokens()
    with pytest.raises(ValueError, match="keys"):
        engine.append(rows(keys), rows(keys))
    assert engine.total_tokens == 6


def test_causal_with_more_queries_than_tokens():
    with pytest.raises(ValueError, match="queries have 7 positions, the cache 6 tokens"):
        engine_with_tokens().attention(rows((1, 2, 7, D)), causal=True)


@pytest.mark.parametrize("scale, error", [(float("nan"), ValueError), (float("inf"), ValueError),
                                          (-1.0, ValueError), ("large", TypeError),
                                          ([1, 2], TypeError)])
def test_scale(scale, error):
    with pytest.raises(error, match="scale"):
        engine_with_tokens().attention(rows((1, 2, 1, D)), scale=scale)


def test_more_heads_than_a_cache_takes():
    x = np.zeros((256, 257, 0, 8), np.float32)
    with pytest.raises(ValueError, match="batch \\* heads of keys is 65792, expected 1..65536"):
        QuashKVEngine(8).append(x, x)
    x = np.zeros((0, 4, 3, 8), np.float32)
    with pytest.raises(ValueError, match="batch \\* heads of keys is 0"):
        QuashKVEngine(8).append(x, x)


@pytest.mark.parametrize("name", ["keys", "values"])
@pytest.mark.parametrize("places", [[(2, 1, 4)], [(0, 0, 0)], [(2, 2, 5)], [(1, 2, 0), (2, 0, 3)]])
@pytest.mark.parametrize("held", [0, 70])
def test_vectors_beyond_the_scales_of_a_cache(name, places, held):
    """Named are the argument, the batch, the head and the token of the first one."""
    engine = QuashKVEngine(D)
    if held:
        engine.append(rows((3, 3, held, D)), rows((3, 3, held, D)))
    arguments = {"keys": rows((3, 3, 6, D)), "values": rows((3, 3, 6, D))}
    for place in places:
        arguments[name][place] *= 1e6
    norm = np.linalg.norm(arguments[name][places[0]].astype(np.float64))
    with pytest.raises(ValueError) as error:
        engine.append(**arguments)
    assert str(error.value) == (f"{name}{list(places[0])} has norm {norm:.4g}: its scale exceeds "
                                "binary16 (65504)")
    assert engine.total_tokens == held
    # Just inside: a scale is the norm over about sqrt(D).
    arguments[name][places[0]] *= 60000 * D ** .5 / norm
    for place in places[1:]:
        arguments[name][place] *= 1e-6
    engine.append(**arguments)
    assert engine.total_tokens == held + 6


def test_scores_beyond_float32():
    engine = QuashKVEngine(D)
    keys = rows((2, 1, 6, D)) * 1000
    engine.append(keys, keys)
    queries = rows((2, 4, 3, D))
    queries[1, 2, 0] = 1e33 * keys[1, 0, 3]
    with pytest.raises(ValueError, match=r"a score exceeds float32; the longest query is "
                                         r"queries\[1, 2, 0\], of norm .*e\+"):
        engine.attention(queries)


# ---- Codes -------------------------------------------------------------------------------------

# What reads codes (2, 3, D) below a limit; the name of the argument.
def wrong_code(quantizer, codes, **arguments):
    """Calls decompress or decompress_for_dot with what compress wrote and these codes."""
    x = rows(codes.shape)
    if hasattr(quantizer, "decompress"):
        return quantizer.decompress(codes, quantizer.compress(x)[1])
    _, signs, norms = quantizer.compress(x)
    return quantizer.decompress_for_dot(codes, signs, norms, x)


CODES = {
    "MSEQuantizer": ("indices", 4, lambda codes: wrong_code(MSEQuantizer(D, 2), codes)),
    "InnerProduct": ("mse_indices", 4,
                     lambda codes: wrong_code(InnerProductQuantizer(D, 3), codes)),
    "MixedMSE": ("indices", 4, lambda codes: wrong_code(MixedPrecisionMSEQuantizer(D), codes)),
    "MixedIP": ("mse_indices", 2, lambda codes: wrong_code(MixedPrecisionIPQuantizer(D), codes)),
    "codebook": ("idx", 4, lambda codes: LloydMaxCodebook(D, 2).dequantize(codes)),
    "pack_bits": ("indices", 8, lambda codes: pack_bits(codes, 3)),
    "fused": ("indices", 2, lambda codes: fused_decompress_mse(
        codes, np.ones(codes.shape[:-1], np.float32), np.eye(D, dtype=np.float32),
        np.array([-.1, .1], np.float32))),
}


@pytest.mark.parametrize("name, limit, call", CODES.values(), ids=CODES)
def test_codes_that_compress_cannot_have_written(name, limit, call):
    """Named by the argument and the index of the caller, whatever the shape."""
    for shape, place in (((2, 3, D), (1, 2, 7)), ((5, D), (4, D - 1)), ((D,), (0,))):
        codes = np.zeros(shape, np.uint8)
        call(codes)
        for value in limit, 255:
            codes[place] = value
            with pytest.raises(ValueError) as error:
                call(codes)
            assert str(error.value) == f"{name}{list(place)} is {value}, expected below {limit}"
        wide = codes.astype(np.int32)
        for value in -1, 256:
            wide[place] = value
            with pytest.raises(ValueError) as error:
                call(wide)
            assert str(error.value) == f"{name}{list(place)} is {value}, expected 0..255"
        with pytest.raises(TypeError, match=f"{name}: dtype float32 .* expected integers"):
            call(codes.astype(np.float32))


def test_codes_of_a_channel_beyond_its_bits():
    quantizer = MixedPrecisionMSEQuantizer(D)
    quantizer.set_outlier_channels([7, 20])
    codes = np.zeros((2, 3, D), np.uint8)
    codes[..., 7] = 7
    wrong_code(quantizer, codes)
    codes[1, 0, 8] = 4
    with pytest.raises(ValueError, match=r"^indices\[1, 0, 8\] is 4, expected below 4$"):
        wrong_code(quantizer, codes)


def test_norms_that_compress_cannot_have_written():
    quantizer = MSEQuantizer(D, 2)
    indices, norms = quantizer.compress(rows((2, 3, D)))
    for value in np.nan, np.inf, -1:
        wrong = norms.copy()
        wrong[1, 2] = value
        with pytest.raises(ValueError, match=r"^norms\[1, 2\] is"):
            quantizer.decompress(indices, wrong)
    with pytest.raises(ValueError, match="norms: expected shape"):
        quantizer.decompress(indices, norms[:1])
    with pytest.raises(ValueError, match="indices: expected shape"):
        quantizer.decompress(indices[..., :5], norms)


@pytest.mark.parametrize("quantizer", [MSEQuantizer(D, 2), InnerProductQuantizer(D),
                                       MixedPrecisionMSEQuantizer(D),
                                       MixedPrecisionIPQuantizer(D)], ids=repr)
def test_norms_beyond_float32_are_named(quantizer):
    x = rows((2, 3, D))
    x[1, 0] = 3e38
    with pytest.raises(ValueError) as error:
        quantizer.compress(x)
    assert str(error.value) == "x[1, 0] has norm 2.4e+39, beyond the range of float32"
    with pytest.raises(ValueError, match="^x has norm"):
        quantizer.compress(x[1, 0])


def test_inner_product_arguments():
    quantizer = InnerProductQuantizer(D, 3)
    indices, signs, norms = quantizer.compress(rows())
    q = quantizer.mse_quantizer.rotate(rows())
    with pytest.raises(ValueError, match="qjl_signs"):
        quantizer.decompress_for_dot(indices, signs[:3], norms, q)
    with pytest.raises(ValueError, match=r"qjl_signs\[2, 5\] is 7, expected below 2"):
        wrong_signs = signs.copy()
        wrong_signs[2, 5] = 7
        quantizer.decompress_for_dot(indices, wrong_signs, norms, q)
    with pytest.raises(ValueError, match="norms"):
        quantizer.decompress_for_dot(indices, signs, norms[:3], q)
    with pytest.raises(ValueError, match="residual_norms"):
        quantizer.decompress_for_dot(indices, signs, norms, q, residual_norms=norms[:3])
    with pytest.raises(ValueError, match="q_rot"):
        quantizer.decompress_for_dot(indices, signs, norms, q[:3])
    with pytest.raises(ValueError, match="q_rot"):
        quantizer.decompress_for_dot(indices, signs, norms, q[:, :8])


# ---- Devices and parameters --------------------------------------------------------------------

@pytest.mark.parametrize("make", [
    lambda device: MSEQuantizer(D, 3, device=device),
    lambda device: InnerProductQuantizer(D, device=device),
    lambda device: MixedPrecisionMSEQuantizer(D, device=device),
    lambda device: MixedPrecisionIPQuantizer(D, device=device),
    lambda device: QuashKVEngine(D, device=device), lambda device: QuashIndex(D, device=device),
    lambda device: MSEQuantizer(D, 3).to(device), lambda device: QuashKVEngine(D).to(device),
    lambda device: QuashIndex(D).to(device), lambda device: LloydMaxCodebook(D, 3).to(device)])
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "mps", "xpu"])
def test_devices_that_are_not_there(make, device):
    with pytest.raises(NotImplementedError, match=device):
        make(device)


@pytest.mark.parametrize("make", [
    lambda d: MSEQuantizer(d, 3), lambda d: InnerProductQuantizer(d), lambda d: QuashIndex(d),
    lambda d: MixedPrecisionMSEQuantizer(d, n_outliers=0), lambda d: LloydMaxCodebook(d, 3)])
@pytest.mark.parametrize("d, error", [(0, ValueError), (-3, ValueError), (16385, ValueError),
                                      (64.0, TypeError), ("64", TypeError), (None, TypeError)])
def test_dimensions_out_of_range(make, d, error):
    with pytest.raises(error):
        make(d)


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_devices_that_are_there(device):
    assert MSEQuantizer(D, 3, device=device).device == "cpu"
    assert QuashIndex(D).to(device).device == "cpu"


@pytest.mark.parametrize("make", [
    lambda bits: InnerProductQuantizer(D, bits), lambda bits: MixedPrecisionIPQuantizer(D, bits, 2),
    lambda bits: MixedPrecisionIPQuantizer(D, 3, bits), lambda bits: QuashKVEngine(D, bits),
    lambda bits: theory.mse_bound(bits), lambda bits: theory.product_bound(D, bits),
    lambda bits: pack_bits(np.zeros(D, np.uint8), bits)])
@pytest.mark.parametrize("bits", ["3", 3.0, None])
def test_bits_that_are_no_integer(make, bits):
    with pytest.raises(TypeError, match=f"bits must be an integer, got {type(bits).__name__}"):
        make(bits)


def test_theory_out_of_range():
    assert np.isnan(theory.mse_bound(-1)) and np.isnan(theory.product_bound(0, 3))
    assert np.isnan(theory.mse_bound(2 ** 32 + 1))  # not cut to 32 bits
    assert theory.mse_lower_bound(np.int64(2)) == 1 / 16


@pytest.mark.parametrize("seed, error", [(-1, ValueError), (2 ** 64, ValueError), (1.5, TypeError)])
def test_seeds_out_of_range(seed, error):
    with pytest.raises(error, match="seed"):
        MSEQuantizer(D, 3, seed=seed)
    with pytest.raises(error, match="seed"):
        QuashKVEngine(D, seed=seed)
