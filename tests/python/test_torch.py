# SPDX-License-Identifier: Apache-2.0
"""What only torch tensors can show: their dtypes, devices and layouts, and DLPack."""
import numpy as np
import pytest

from quashkv import (InnerProductQuantizer, LloydMaxCodebook, MSEQuantizer, QuashIndex,
                     QuashKVEngine, pack_bits, unpack_bits)
from support import relative_error

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


# The modes' errors as quash/cache.h and doc/numerics.md state them.
@pytest.mark.parametrize("mode, bound", [("fast", 3e-2), ("exact", 2e-4), ("float", 2e-5)])
def test_engine_against_scaled_dot_product_attention(mode, bound):
    """4 bits, as a user of torch would compare them: grouped heads, causal."""
    keys, values = torch.randn(2, 2, 2, 300, 128)
    queries = torch.randn(2, 8, 300, 128)
    engine = QuashKVEngine(128, 4, 4, mode=mode)
    engine.append(keys, values)
    out = engine.attention(queries, causal=True)
    stored = [torch.from_numpy(np.asarray(a)).repeat_interleave(4, 1) for a in engine.decode()]
    exact = torch.nn.functional.scaled_dot_product_attention(queries, *stored, is_causal=True)
    assert relative_error(exact, out) < bound


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_dtype_of_queries_comes_back(dtype):
    keys, values, queries = (torch.randn(1, 2, n, 64).to(dtype) for n in (50, 50, 3))
    engine = QuashKVEngine(64, 4, 4)
    engine.append(keys, values)
    out = engine.attention(queries)
    assert out.dtype == dtype and out.shape == queries.shape
    exact = torch.nn.functional.scaled_dot_product_attention(
        queries.double(), keys.double(), values.double())
    assert relative_error(exact, out.double()) < .2


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32])
def test_dtypes_give_what_float32_gives(dtype):
    x = (torch.randn(40, 64) * 50).to(dtype)
    quantizer = MSEQuantizer(64, 3)
    for found, expected in zip(quantizer.compress(x), quantizer.compress(x.float())):
        assert torch.equal(found, expected)
    index, other = QuashIndex(64), QuashIndex(64)
    index.add(x)
    other.add(x.float())
    assert torch.equal(index.search(x[:5], 3)[1], other.search(x[:5].float(), 3)[1])


def test_layouts():
    x = torch.randn(6, 5, 64)
    quantizer = MSEQuantizer(64, 3)
    for view in (x.transpose(0, 1), x[::2], x[:, :, :].expand(6, 5, 64), x[:1].expand(4, 5, 64),
                 torch.randn(64, 7).t()):
        for found, expected in zip(quantizer.compress(view), quantizer.compress(view.clone())):
            assert torch.equal(found, expected)
    k = torch.randn(1, 30, 4, 64).transpose(1, 2)  # (B, H, T, D) as models make it
    engine, other = QuashKVEngine(64), QuashKVEngine(64)
    engine.append(k, k)
    other.append(k.contiguous(), k.contiguous())
    assert torch.equal(engine.attention(k[:, :, :2]), other.attention(k[:, :, :2].contiguous()))


def test_tensors_that_need_gradients_are_read_and_stay_as_they_are():
    x = torch.randn(3, 64, requires_grad=True)
    indices, norms = MSEQuantizer(64, 3).compress(x)
    assert not norms.requires_grad and x.requires_grad and x.grad is None
    with torch.inference_mode():
        y = torch.randn(3, 64)
        MSEQuantizer(64, 3).compress(y)


def test_matrices_work_with_tensors():
    """Code written against the attributes."""
    x = torch.randn(5, 64)
    quantizer = InnerProductQuantizer(64, 3)
    mse = quantizer.mse_quantizer
    assert torch.allclose(x @ mse.Pi.T, mse.rotate(x), atol=1e-5)
    assert torch.allclose(torch.matmul(x, mse.Pi.T), mse.rotate(x), atol=1e-5)
    indices, norms = mse.compress(x)
    levels = mse.codebook.dequantize(indices)
    decoded = (levels * norms[:, None]) @ mse.Pi
    assert torch.allclose(decoded, mse.decompress(indices, norms), atol=1e-5)
    assert (x @ quantizer.S.T).shape == (5, 64)


def test_results_are_tensors_of_their_own():
    x = torch.randn(4, 64)
    quantizer = MSEQuantizer(64, 3)
    first = quantizer.compress(x)
    kept = [t.clone() for t in first]
    first[1].mul_(2)  # writable
    second = quantizer.compress(x)
    assert torch.equal(second[1], kept[1]) and torch.equal(first[0], second[0])


def test_packing_and_codebooks():
    codes = torch.randint(0, 8, (3, 50), dtype=torch.uint8)
    packed = pack_bits(codes, 3)
    assert isinstance(packed, torch.Tensor) and packed.shape == (3, 19)
    assert torch.equal(unpack_bits(packed, 3, 50), codes)
    codebook = LloydMaxCodebook(64, 2)
    x = torch.randn(5, 7) / 8
    assert torch.equal(codebook.quantize(x), codebook.quantize_boundary(x))
    assert codebook.dequantize(codebook.quantize(x)).shape == x.shape


@pytest.mark.parametrize("call", [
    lambda x: MSEQuantizer(64, 3).compress(x), lambda x: QuashIndex(64).add(x),
    lambda x: QuashKVEngine(64).append(x[None, None], x[None, None]),
    lambda x: pack_bits(x.to(torch.uint8), 3)])
def test_other_devices(call):
    with pytest.raises(NotImplementedError, match="meta"):
        call(torch.zeros(3, 64, device="meta"))


def test_device_objects():
    assert MSEQuantizer(64, 3, device=torch.device("cpu")).to(torch.device("cpu"))
    with pytest.raises(NotImplementedError, match="cuda"):
        QuashKVEngine(64, device=torch.device("cuda"))


@pytest.mark.parametrize("make", [
    lambda: torch.zeros(3, 64).to_sparse(), lambda: torch.zeros(3, 64, dtype=torch.complex64),
    lambda: torch.zeros(3, 64, dtype=torch.bool),
    lambda: torch.quantize_per_tensor(torch.zeros(3, 64), .1, 0, torch.qint8)])
@pytest.mark.filterwarnings("ignore")
def test_unsupported_tensors(make):
    with pytest.raises(TypeError, match="^x"):
        MSEQuantizer(64, 3).compress(make())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_nan_and_infinity(value, dtype):
    x = torch.zeros(2, 3, 64, dtype=dtype)
    x[1, 2, 7] = value
    with pytest.raises(ValueError, match=r"x\[1, 2, 7\] is (nan|inf)"):
        MSEQuantizer(64, 3).compress(x)


class OnlyDLPack:
    """An array of some other library."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("make", [torch.from_numpy, np.asarray])
def test_anything_with_dlpack(make):
    x = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    expected = MSEQuantizer(64, 3).compress(x)
    for found, wanted in zip(MSEQuantizer(64, 3).compress(OnlyDLPack(make(x))), expected):
        assert isinstance(found, np.ndarray)
        np.testing.assert_array_equal(found, wanted)


def test_kinds_may_be_mixed():
    """Of several arguments, one decides: the documented one."""
    x = torch.randn(4, 64)
    quantizer = MSEQuantizer(64, 3)
    indices, norms = quantizer.compress(x)
    assert isinstance(quantizer.decompress(indices, norms.numpy()), torch.Tensor)
    assert isinstance(quantizer.decompress(indices.numpy(), norms), np.ndarray)
    engine = QuashKVEngine(64)
    engine.append(x.numpy()[None, None], x[None, None])
    assert isinstance(engine.attention(x[None, None]), torch.Tensor)
    assert isinstance(engine.attention(x.numpy()[None, None]), np.ndarray)
    integers = torch.ones(1, 1, 1, 64, dtype=torch.int64)
    assert engine.attention(integers).dtype == torch.float32
