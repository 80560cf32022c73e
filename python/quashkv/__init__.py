# SPDX-License-Identifier: Apache-2.0
"""QuashKV: vectors and KV caches at 1-4 bits per coordinate, computed on as they are.

Arrays are NumPy arrays, torch CPU tensors or anything with DLPack; results come back in the kind of
the input and carry no gradient. Errors are ordinary Python exceptions whose message names the
argument: TypeError (no array, dtype), ValueError (value, shape, NaN), NotImplementedError (device),
MemoryError, and EmptyError and FormatError, both ValueErrors.
"""
from . import _lib, theory
from ._lib import EmptyError, FormatError
from .codebook import LloydMaxCodebook
from .engine import QuashKVEngine
from .mixed_precision import MixedPrecisionIPQuantizer, MixedPrecisionMSEQuantizer
from .nn_search import QuashIndex
from .packing import pack_bits, unpack_bits
from .quantizer import InnerProductQuantizer, MSEQuantizer

__version__ = _lib.version()

__all__ = [
    "EmptyError", "FormatError", "InnerProductQuantizer", "LloydMaxCodebook", "MSEQuantizer",
    "MixedPrecisionIPQuantizer", "MixedPrecisionMSEQuantizer", "QuashIndex", "QuashKVEngine",
    "describe", "devices", "pack_bits", "theory", "unpack_bits", "__version__",
]


def describe() -> str:
    """One line for bug reports, for example "quash 0.1.0 cpu=avx2 workers=1"."""
    return _lib.describe()


def devices() -> list[str]:
    """Devices this build computes on: ["cpu"]."""
    return ["cpu"]
