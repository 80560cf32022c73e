# SPDX-License-Identifier: Apache-2.0
"""The functions of the original GPU kernels, on explicit matrices and levels.

Plain NumPy, for code written against these names, and independent of libquash, so that they serve
as its cross-check. Fast are `quashkv.MSEQuantizer`, `quashkv.InnerProductQuantizer` and
`quashkv.QuashKVEngine`. Arrays of any kind come in; results have the kind of the first argument.
"""
from .attention import CompressedBlock, fused_quantized_attention
from .compress import HAS_TRITON, fused_compress_ip, fused_compress_mse
from .decompress import fused_decompress_ip, fused_decompress_mse

__all__ = ["HAS_TRITON", "CompressedBlock", "fused_compress_ip", "fused_compress_mse",
           "fused_decompress_ip", "fused_decompress_mse", "fused_quantized_attention"]
