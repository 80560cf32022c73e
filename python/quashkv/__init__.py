# SPDX-License-Identifier: Apache-2.0
"""QuashKV: vectors and KV caches at 1-4 bits per coordinate, computed on as they are.

Arrays are NumPy arrays, torch CPU tensors or anything with DLPack; results come back in the kind of
the input and carry no gradient. Errors are ordinary Python exceptions whose message names the
argument: TypeError (no array, dtype), ValueError (value, shape, NaN), NotImplementedError (device),
MemoryError, and EmptyError and FormatError, both ValueErrors.

Work is spread over as many threads as the process may use CPUs; the environment variable
QUASH_THREADS or `set_num_threads` say another number. Results are the same with any.
"""
from . import _check, _lib, theory
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
    "describe", "devices", "get_num_threads", "pack_bits", "set_num_threads", "theory",
    "unpack_bits", "__version__",
]


def describe() -> str:
    """One line for bug reports, for example "quash 0.1.0 cpu=avx2 workers=8"."""
    return _lib.describe()


def set_num_threads(n: int) -> None:
    """Threads of a call, the calling one included, for objects made from now on; an engine or index
    made before takes the number over at `clear`. n: 1..1024, or 0 for the default (QUASH_THREADS,
    else one per CPU the process may use). With 1 no thread is started.
    Errors: TypeError, ValueError (n; QUASH_THREADS when n is 0)."""
    _lib.set_num_threads(_check.integer("n", n, 0, 1024))


def get_num_threads() -> int:
    """What `set_num_threads` set, or the default. Errors: ValueError (QUASH_THREADS)."""
    return _lib.get_num_threads()


def devices() -> list[str]:
    """Devices this build computes on: ["cpu"]."""
    return ["cpu"]
