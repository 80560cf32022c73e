# SPDX-License-Identifier: Apache-2.0
"""The binding to libquash: the only module that uses ctypes.

Structures and prototypes below repeat the C headers of one version, `ABI`; a library of another
version is refused. Calls release the GIL. One context serves the whole process, or one per number
of threads asked for: contexts are immutable, so threads and forked children may share them.
"""
from __future__ import annotations

import ctypes
import os
import sys
import threading
from ctypes import (POINTER, Structure, byref, c_char_p, c_double, c_float, c_int8, c_int32,
                    c_int64, c_size_t, c_uint32, c_uint64, c_void_p, sizeof)
from pathlib import Path
from typing import Any, Callable

ABI = "0.1"
LIBRARY_PATH = Path("lib", "libquash.so")
LIBRARY_VARIABLE = "QUASHKV_LIBRARY"


class FormatError(ValueError):
    """Stored bytes are damaged, not ours, or of a version unknown to this library."""
    __module__ = "quashkv"  # where it is imported from, for tracebacks


class EmptyError(ValueError, RuntimeError):
    """Nothing is stored yet. Code written for either base class catches it."""
    __module__ = "quashkv"


# ---- Structures (include/quash/*.h) -----------------------------------------------------------

F32, F16, BF16, I8, U8 = range(5)
SCALE_LEAST_SQUARES, SCALE_NORM, SCALE_UNBIASED, SCALE_RAW_NORM = range(4)
METRICS = {"ip": 0, "cosine": 1, "l2": 2}


class Array(Structure):
    """quash_array: a view of memory, strides in elements. `keep` holds what owns the memory."""
    _fields_ = [("data", c_void_p), ("dtype", c_int32), ("ndim", c_int32),
                ("shape", c_int64 * 4), ("stride", c_int64 * 4)]


class _Params(Structure):
    """Parameters of a create function: struct_size is filled in, every other field is named."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(struct_size=sizeof(type(self)), **fields)


class ContextParams(_Params):
    _fields_ = [("struct_size", c_uint32), ("allocator", c_void_p), ("runner", c_void_p),
                ("threads", c_int32)]


class CodecParams(_Params):
    _fields_ = [("struct_size", c_uint32), ("dim", c_int32), ("bits", c_int32),
                ("scale_policy", c_int32), ("scale_dtype", c_int32), ("search_level", c_int32),
                ("rotation_rounds", c_int32), ("seed", c_uint64)]


class CacheParams(_Params):
    _fields_ = [("struct_size", c_uint32), ("kv_heads", c_int32), ("head_dim", c_int32),
                ("key_bits", c_int32), ("value_bits", c_int32), ("search_level", c_int32),
                ("seed", c_uint64)]


class AttendParams(_Params):
    _fields_ = [("struct_size", c_uint32), ("causal", c_int32), ("scale", c_float),
                ("mode", c_int32)]


class CacheBytes(Structure):
    _fields_ = [("key_codes", c_int64), ("value_codes", c_int64), ("scales", c_int64),
                ("tables", c_int64), ("total", c_int64)]


class IndexParams(_Params):
    _fields_ = [("struct_size", c_uint32), ("dim", c_int32), ("bits", c_int32),
                ("metric", c_int32), ("search_level", c_int32), ("centre_rows", c_int32),
                ("centre", c_void_p), ("seed", c_uint64)]


class IndexBytes(Structure):
    _fields_ = [("per_row", c_int64), ("codes", c_int64), ("raw", c_int64), ("spare", c_int64),
                ("tables", c_int64), ("total", c_int64)]


class ProductParams(_Params):
    _fields_ = [("struct_size", c_uint32), ("dim", c_int32), ("bits", c_int32),
                ("seed", c_uint64)]


class MixedParams(_Params):
    _fields_ = [("struct_size", c_uint32), ("dim", c_int32), ("outlier_bits", c_int32),
                ("regular_bits", c_int32), ("outliers", c_void_p), ("outlier_count", c_int32),
                ("scale_policy", c_int32), ("search_level", c_int32), ("product", c_int32),
                ("seed", c_uint64)]


def struct_layouts() -> dict[str, dict[str, int]]:
    """Size ("sizeof") and field offsets in bytes of each structure above, by its C name: what the
    C program tests/abi/layout_json.c prints from the headers."""
    structures: dict[str, Any] = {
        "quash_array": Array, "quash_context_params": ContextParams,
        "quash_codec_params": CodecParams,
        "quash_cache_params": CacheParams, "quash_attend_params": AttendParams,
        "quash_cache_bytes": CacheBytes, "quash_index_params": IndexParams,
        "quash_index_bytes": IndexBytes, "quash_product_params": ProductParams,
        "quash_mixed_params": MixedParams,
    }
    layouts = {}
    for c_name, structure in structures.items():
        offsets = {field[0]: getattr(structure, field[0]).offset for field in structure._fields_}
        layouts[c_name] = {"sizeof": sizeof(structure), **offsets}
    return layouts


# ---- Prototypes -------------------------------------------------------------------------------

_array_p = POINTER(Array)
_handle_p = POINTER(c_void_p)

# Functions that return a quash_status: their arguments.
_STATUS = {
    "quash_context_create": [_handle_p, POINTER(ContextParams)],
    "quash_codec_create": [_handle_p, c_void_p, POINTER(CodecParams)],
    "quash_encode_codes": [c_void_p, _array_p, _array_p, c_void_p],
    "quash_decode_codes": [c_void_p, _array_p, c_void_p, _array_p],
    "quash_rotate": [c_void_p, c_int32, _array_p, _array_p],
    "quash_pack_bits": [c_void_p, c_int64, c_int64, c_int32, c_void_p],
    "quash_unpack_bits": [c_void_p, c_int64, c_int64, c_int32, c_void_p],
    "quash_codebook_solve": [c_int32, c_int32, POINTER(c_double), POINTER(c_double)],
    "quash_cache_create": [_handle_p, c_void_p, POINTER(CacheParams)],
    "quash_cache_append": [c_void_p, _array_p, _array_p],
    "quash_cache_attend": [c_void_p, POINTER(AttendParams), _array_p, _array_p, _array_p,
                           c_void_p, c_size_t],
    "quash_cache_decode": [c_void_p, c_int64, _array_p, _array_p],
    "quash_index_create": [_handle_p, c_void_p, POINTER(IndexParams)],
    "quash_index_add": [c_void_p, _array_p],
    "quash_index_search": [c_void_p, _array_p, c_int64, c_void_p, c_void_p],
    "quash_product_create": [_handle_p, c_void_p, POINTER(ProductParams)],
    "quash_product_encode": [c_void_p, _array_p, _array_p, _array_p, c_void_p, c_void_p],
    "quash_product_dot": [c_void_p, _array_p, _array_p, c_void_p, c_void_p, _array_p, c_void_p],
    "quash_outlier_channels": [c_void_p, _array_p, c_int32, c_void_p],
    "quash_mixed_create": [_handle_p, c_void_p, POINTER(MixedParams)],
    "quash_mixed_encode": [c_void_p, _array_p, _array_p, c_void_p],
    "quash_mixed_decode": [c_void_p, _array_p, c_void_p, _array_p],
    "quash_mixed_product_encode": [c_void_p, _array_p, _array_p, _array_p, c_void_p, c_void_p],
    "quash_mixed_product_dot": [c_void_p, _array_p, _array_p, c_void_p, c_void_p, _array_p,
                                c_void_p],
    "quash_mixed_rotate": [c_void_p, c_int32, _array_p, _array_p],
}

# Others: what they return, then their arguments.
_GETTERS: dict[str, tuple[Any, list[Any]]] = {
    "quash_version_string": (c_char_p, []),
    "quash_last_message": (c_char_p, []),
    "quash_status_string": (c_char_p, [c_int32]),
    "quash_context_workers": (c_int32, [c_void_p]),
    "quash_context_describe": (c_size_t, [c_void_p, c_char_p, c_size_t]),
    "quash_codebook_levels": (c_int32, [c_int32, POINTER(c_int8), POINTER(c_float)]),
    "quash_cache_tokens": (c_int64, [c_void_p]),
    "quash_cache_get_bytes": (CacheBytes, [c_void_p]),
    "quash_index_count": (c_int64, [c_void_p]),
    "quash_index_get_bytes": (IndexBytes, [c_void_p]),
    "quash_product_matrix": (None, [c_void_p, c_void_p]),
    "quash_theory_mse_bound": (c_double, [c_int32]),
    "quash_theory_mse_lower_bound": (c_double, [c_int32]),
    "quash_theory_product_bound": (c_double, [c_int32, c_int32]),
    "quash_theory_product_lower_bound": (c_double, [c_int32, c_int32]),
    "quash_theory_product_variance": (c_double, [c_int32, c_int32]),
    "quash_codec_free": (None, [c_void_p]),
    "quash_cache_free": (None, [c_void_p]),
    "quash_index_free": (None, [c_void_p]),
    "quash_product_free": (None, [c_void_p]),
    "quash_mixed_free": (None, [c_void_p]),
}


def _find_library() -> Path:
    """The library in the package (whose files an editable installation has in two folders)."""
    override = os.environ.get(LIBRARY_VARIABLE)
    if override:
        return Path(override)
    for folder in sys.modules[__package__].__path__:
        candidate = Path(folder) / LIBRARY_PATH
        if candidate.exists():
            return candidate
    raise ImportError(f"{LIBRARY_PATH} is not in the package quashkv: install it with "
                      f"`pip install .`, or name a built library in {LIBRARY_VARIABLE}")


def _load() -> ctypes.CDLL:
    path = _find_library()
    try:
        library = ctypes.CDLL(str(path))
        library.quash_version_string.restype = c_char_p
        found = library.quash_version_string().decode()
        if found.rpartition(".")[0] != ABI:
            raise ImportError(f"{path} is libquash {found}, this package needs {ABI}.x")
        for name, arguments in _STATUS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = c_int32, arguments
        for name, (result, arguments) in _GETTERS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise ImportError(f"cannot use {path}: {error}") from error
    return library


lib = _load()


def version() -> str:
    """Version of the library that runs, for example "0.1.0"."""
    return lib.quash_version_string().decode()


# ---- Errors -----------------------------------------------------------------------------------

ARGUMENT, UNSUPPORTED, MEMORY, CAPACITY, FORMAT, VERSION = range(-1, -7, -1)  # QUASH_ERROR_*
_EXCEPTIONS: dict[int, type[Exception]] = {
    ARGUMENT: ValueError, UNSUPPORTED: NotImplementedError, MEMORY: MemoryError,
    CAPACITY: ValueError, FORMAT: FormatError, VERSION: FormatError,
}


def error(status: int) -> Exception:
    """The exception for a quash_status that is not QUASH_OK, with the library's message, which is
    that of the last failure in this thread."""
    message = lib.quash_last_message().decode("utf-8", "replace")
    return _EXCEPTIONS.get(status, RuntimeError)(message)


def check(status: int) -> None:
    """Raises the exception of a quash_status that is not QUASH_OK."""
    if status != 0:
        raise error(status)


# ---- Context and objects ----------------------------------------------------------------------

# By number of threads, 0 for the default. Never freed: an object needs the context it was made with
# to its end, and at the collection of a cycle both could go in either order. What is left of one no
# longer used are threads that sleep.
_contexts: dict[int, c_void_p] = {}
_threads = 0
_contexts_lock = threading.Lock()


def _new_lock() -> None:
    global _contexts_lock
    _contexts_lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_new_lock)  # another thread may have held it


def _context(threads: int) -> c_void_p:
    """The caller holds the lock."""
    if threads not in _contexts:
        created = c_void_p()
        check(lib.quash_context_create(byref(created), byref(ContextParams(threads=threads))))
        _contexts[threads] = created
    return _contexts[threads]


def context() -> c_void_p:
    """The context for new objects, created on first use."""
    with _contexts_lock:
        return _context(_threads)


def set_num_threads(threads: int) -> None:
    """Of the context for new objects; 0: the default. Errors: ValueError."""
    global _threads
    with _contexts_lock:
        _context(threads)
        _threads = threads


def get_num_threads() -> int:
    """Of the context for new objects."""
    return lib.quash_context_workers(context())


def describe() -> str:
    """One line on library and machine, for example "quash 0.1.0 cpu=avx2 workers=8"."""
    text = ctypes.create_string_buffer(256)
    lib.quash_context_describe(context(), text, sizeof(text))
    return text.value.decode()


class Handle:
    """Owns one C object, freed with this Python object. Passes as a pointer to C functions."""

    __slots__ = ("_as_parameter_", "_free")

    def __init__(self, kind: str, params: _Params) -> None:
        """kind: "codec", "cache", "index", "product" or "mixed"."""
        self._free: Callable[[c_void_p], None] | None = None
        pointer = c_void_p()
        check(getattr(lib, f"quash_{kind}_create")(byref(pointer), context(), byref(params)))
        self._as_parameter_ = pointer
        self._free = getattr(lib, f"quash_{kind}_free")

    def __del__(self) -> None:
        if self._free is not None:
            self._free(self._as_parameter_)


# ---- Codebooks --------------------------------------------------------------------------------

def codebook_levels(bits: int) -> list[float]:
    """The frozen levels for a coordinate of variance 1, ascending. bits: 1..4."""
    levels, step = (c_int8 * 16)(), c_float()
    count = lib.quash_codebook_levels(bits, levels, byref(step))
    return [step.value * level for level in levels[:count]]


def codebook_solve(dim: int, bits: int) -> tuple[list[float], float]:
    """Optimal levels for a coordinate of variance 1, ascending, and their mean squared error.
    dim: of the sphere the coordinate comes from; 0: Gaussian."""
    levels, error = (c_double * 16)(), c_double()
    check(lib.quash_codebook_solve(dim, bits, levels, byref(error)))
    return list(levels[:1 << bits]), error.value
