# SPDX-License-Identifier: Apache-2.0
"""Every name of the interface, the module it is imported from, its parameters and defaults."""
import importlib
import inspect
import math

import pytest

import quashkv

EMPTY = inspect.Parameter.empty

TOP = ["LloydMaxCodebook", "MSEQuantizer", "InnerProductQuantizer", "QuashKVEngine", "QuashIndex",
       "MixedPrecisionMSEQuantizer", "MixedPrecisionIPQuantizer", "pack_bits", "unpack_bits"]

# module, name, parameters in their order; a default follows its name, "*" starts keyword-only ones.
# More parameters of ours may follow, with defaults.
CALLABLES = [
    ("codebook", "LloydMaxCodebook", "d, bits, *, use_exact_pdf=False"),
    ("codebook", "solve_lloyd_max", "d, bits"),
    ("codebook", "compute_mse_cost", "d, bits"),
    ("codebook", "get_codebook", "d, bits"),
    ("quantizer", "MSEQuantizer", "d, bits, seed=42, device='cpu'"),
    ("quantizer", "InnerProductQuantizer",
     "d, total_bits=3, seed=42, device='cpu', use_exact_pdf=False"),
    ("engine", "QuashKVEngine",
     "head_dim=128, key_bits=3, value_bits=3, seed=42, device='cpu', pack_storage=False"),
    ("nn_search", "QuashIndex", "dim, bits=3, seed=42, device='cpu', pack_storage=False"),
    ("nn_search.index", "QuashIndex", "dim, bits=3, seed=42, device='cpu', pack_storage=False"),
    ("mixed_precision", "MixedPrecisionMSEQuantizer",
     "d, outlier_bits=3, regular_bits=2, n_outliers=32, seed=42, device='cpu'"),
    ("mixed_precision", "MixedPrecisionIPQuantizer",
     "d, outlier_bits=3, regular_bits=2, n_outliers=32, seed=42, device='cpu'"),
    ("packing", "pack_bits", "indices, bits"),
    ("packing", "unpack_bits", "packed, bits, d"),
    ("packing", "packed_size", "d, bits"),
    ("triton_kernels", "fused_compress_mse", "x, Pi, boundaries"),
    ("triton_kernels", "fused_compress_ip", "x, Pi, boundaries, S, centroids"),
    ("triton_kernels", "fused_decompress_mse", "indices, norms, Pi, centroids"),
    ("triton_kernels", "fused_decompress_ip", "..., S, qjl_scale"),
    ("triton_kernels", "CompressedBlock",
     "mse_indices, qjl_signs, key_norms, val_indices, val_norms, seq_len"),
    ("triton_kernels", "fused_quantized_attention",
     "queries, blocks, Pi, key_centroids, val_centroids, S, qjl_scale, scale=None, causal=False, "
     "total_kv_tokens=0"),
    ("triton_kernels.compress", "fused_compress_mse", "x, Pi, boundaries"),
    ("triton_kernels.compress", "fused_compress_ip", "x, Pi, boundaries, S, centroids"),
    ("triton_kernels.decompress", "fused_decompress_mse", "indices, norms, Pi, centroids"),
    ("triton_kernels.decompress", "fused_decompress_ip", "..., S, qjl_scale"),
    ("triton_kernels.attention", "CompressedBlock",
     "mse_indices, qjl_signs, key_norms, val_indices, val_norms, seq_len"),
    ("triton_kernels.attention", "fused_quantized_attention",
     "queries, blocks, Pi, key_centroids, val_centroids, S, qjl_scale, scale=None, causal=False, "
     "total_kv_tokens=0"),
    ("integrations.hf_cache", "QuashKVCacheConfig", "key_bits=3, value_bits=3, seed=42"),
    ("integrations.hf_cache", "QuashKVCache", "num_layers, head_dim, config=None, device='cpu'"),
    ("integrations.hf_cache", "QuashKVCache.from_model", "model, config=None, device=None"),
    ("integrations.hf_cache", "QuashKVCache.update", "k, v, layer_idx, cache_kwargs=None"),
    ("integrations.hf_cache", "QuashKVCache.get_seq_length", "layer_idx=0"),
    ("integrations.vllm_backend", "QuashKVPageConfig",
     "key_bits=3, value_bits=3, block_size=16, seed=42"),
    ("integrations.vllm_backend", "QuashKVPageManager",
     "num_kv_heads, head_size, config=?, device=?, layer_idx=0"),
    ("integrations.vllm_backend", "QuashKVModelManager",
     "num_layers, num_kv_heads, head_size, config=?, device=?"),
    ("integrations.vllm_backend", "QuashKVPageManager.attention", "q, scale=None"),
    ("integrations.vllm_backend", "quashkv_attention_forward", "q, k, v, page_manager, scale=None"),
    ("integrations.vllm_backend", "register_quashkv_backend", ""),
    ("quantizer", "MSEQuantizer.compress", "x"),
    ("quantizer", "MSEQuantizer.decompress", "indices, norms"),
    ("quantizer", "InnerProductQuantizer.compress", "x, return_residual=False"),
    ("quantizer", "InnerProductQuantizer.decompress_for_dot",
     "mse_indices, qjl_signs, norms, q_rot, residual_norms=None"),
    ("engine", "QuashKVEngine.append", "keys, values"),
    ("engine", "QuashKVEngine.attention", "queries, scale=None, causal=False"),
    ("nn_search", "QuashIndex.search", "queries, k=10"),
    ("nn_search", "QuashIndex.brute_force", "queries, database, k=?"),
    ("nn_search", "QuashIndex.recall_at_k", "queries, database, k=?"),
    ("mixed_precision", "MixedPrecisionMSEQuantizer.calibrate", "data"),
    ("mixed_precision", "MixedPrecisionMSEQuantizer.set_outlier_channels", "indices"),
]


def find(module, name):
    found = importlib.import_module(f"quashkv.{module}")
    for part in name.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("name", TOP)
def test_the_package_exports(name):
    assert name in quashkv.__all__
    assert callable(getattr(quashkv, name))


def test_version_is_that_of_the_library():
    from quashkv import _lib

    assert quashkv.__version__ == _lib.version()


def test_constants():
    from quashkv import constants

    assert set(constants.SUPPORTED_BITS) == {1, 2, 3, 4}
    assert constants.DEFAULT_TOTAL_BITS == 3
    assert constants.DEFAULT_SEED == 42
    assert constants.QJL_COEFF == pytest.approx(math.sqrt(math.pi / 2), abs=0)


@pytest.mark.parametrize("module, name, expected", CALLABLES,
                         ids=[f"{m}.{n}" for m, n, _ in CALLABLES])
def test_parameters(module, name, expected):
    """"?" is a default of any value; "..." any parameters."""
    found = [p for p in inspect.signature(find(module, name)).parameters.values()
             if p.name not in ("self", "cls")]
    names = [p.name for p in found]
    keyword_only = False
    last = -1
    for text in filter(None, expected.split(", ")):
        if text == "*":
            keyword_only = True
            continue
        if text == "...":
            continue
        wanted, _, default = text.partition("=")
        assert wanted in names, f"no parameter {wanted} in {names}"
        position = names.index(wanted)
        assert position > last
        parameter = found[position]
        if "..." not in expected:
            assert position == last + 1, f"{names[last + 1]} stands before {wanted}"
        last = position
        if keyword_only:
            assert parameter.kind is parameter.KEYWORD_ONLY
        if default == "?":
            continue
        if default:
            assert parameter.default == eval(default)
        else:
            assert parameter.default is EMPTY, f"{wanted} has a default"
    for parameter in found[last + 1:]:
        optional = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        assert optional or parameter.default is not EMPTY, f"{parameter.name} has no default"


def test_flags():
    assert quashkv.triton_kernels.HAS_TRITON is False
    vllm = importlib.import_module("quashkv.integrations.vllm_backend")
    assert vllm.HAS_VLLM is (importlib.util.find_spec("vllm") is not None)


def test_modules_are_one_thing():
    from quashkv import nn_search, triton_kernels

    assert nn_search.QuashIndex is nn_search.index.QuashIndex is quashkv.QuashIndex
    assert triton_kernels.fused_compress_mse is triton_kernels.compress.fused_compress_mse


PUBLIC = ["LloydMaxCodebook", "MSEQuantizer", "InnerProductQuantizer", "QuashKVEngine",
          "QuashIndex", "MixedPrecisionMSEQuantizer", "MixedPrecisionIPQuantizer"]


@pytest.mark.parametrize("name", PUBLIC + ["pack_bits", "unpack_bits"])
def test_docstrings(name):
    """Everything public says what it does."""
    thing = getattr(quashkv, name)
    assert thing.__doc__
    if inspect.isclass(thing):
        for member, value in vars(thing).items():
            if not member.startswith("_") and (callable(value) or isinstance(value, property)):
                assert value.__doc__, f"{name}.{member} has no docstring"
