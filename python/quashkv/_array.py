# SPDX-License-Identifier: Apache-2.0
"""Arrays in and out: NumPy, torch (never imported from here) and anything with DLPack.

An input becomes an `Input`: a NumPy view of the caller's memory where libquash can read it as it
is (float32, float16, bfloat16, int8, uint8 in native byte order, last dimension contiguous), a copy
where not (float64 and other integers become float32). Results are NumPy arrays until `wrap` gives
them the kind of the input: torch for torch, NumPy for everything else.
"""
from __future__ import annotations

import copy
import sys
from typing import Any, Callable, Iterable

import numpy as np

from . import _lib

#: numpy.ndarray, torch.Tensor or an object with __dlpack__; as a result, one of the first two.
Array = Any

_DLPACK_HOST_DEVICES = (1, 3, 11, 13)  # CPU, CUDA pinned, ROCm pinned, CUDA managed
_QUASH_DTYPES = {"float32": _lib.F32, "float16": _lib.F16, "bfloat16": _lib.BF16,
                 "int8": _lib.I8, "uint8": _lib.U8}
_STORED_AS = {_lib.F32: np.float32, _lib.F16: np.float16, _lib.BF16: np.uint16}
FLOAT32_MAX = float(np.finfo(np.float32).max)


class Kind:
    """What a result looks like when it matches an input: torch or NumPy, and its floating dtype."""

    def __init__(self, source: Any, stored: int) -> None:
        self.torch = is_torch(source)
        has_dtype = self.torch or isinstance(source, (np.ndarray, np.generic))
        self.dtype: Any = source.dtype if has_dtype else None
        self.stored = stored  # F32, F16 or BF16: what libquash writes for it

    def wrap(self, result: np.ndarray) -> Array:
        """A fresh array of any dtype as a torch tensor on the same memory, or as it is."""
        return sys.modules["torch"].from_dlpack(result) if self.torch else result

    def in_dtype(self, result: np.ndarray) -> Array:
        """A fresh array of `stored` elements in the floating dtype of the input (float32 where that
        was an integer)."""
        if self.stored == _lib.BF16:
            return self.wrap(result.view(np.int16)).view(self.dtype)
        if self.torch:
            tensor = self.wrap(result)
            return tensor.to(self.dtype) if self.dtype.is_floating_point else tensor
        if self.dtype is None or self.dtype.kind != "f":
            return result
        return result.astype(self.dtype.newbyteorder("="), copy=False)


class Input:
    """An array of the caller, readable by libquash.

    array   its elements; those of bfloat16 as uint16, since NumPy has no such type
    dtype   QUASH_F32, F16, BF16, I8 or U8
    shape   as the caller passed it
    kind    of results that match it
    """

    def __init__(self, name: str, array: np.ndarray, dtype: int, source: Any) -> None:
        self.name = name
        self.array = array
        self.dtype = dtype
        self.shape = array.shape
        self.kind = Kind(source, dtype if dtype in _STORED_AS else _lib.F32)

    def view(self, *shape: int) -> _lib.Array:
        """The elements as C sees them, in another shape (a copy where strides do not allow it)."""
        array = self.array.reshape(shape) if shape else self.array
        return c_view(contiguous_rows(array), self.dtype)

    def wrap(self, result: np.ndarray) -> Array:
        """result in the kind of this input."""
        return self.kind.wrap(result)

    def part(self, first: int, end: int) -> Input:
        """Items [first, end) of the first dimension, on the same memory."""
        part = copy.copy(self)
        part.array = self.array[first:end]
        part.shape = part.array.shape
        return part

    def floats(self) -> np.ndarray:
        """The elements as float32."""
        if self.dtype == _lib.BF16:
            return (self.array.astype(np.uint32) << 16).view(np.float32)
        return self.array.astype(np.float32, copy=False)

    def check_finite(self) -> None:
        """Errors: ValueError, naming the first NaN or infinity by the caller's own index."""
        if self.dtype in _STORED_AS:
            wrong = ~np.isfinite(self.floats())
            if wrong.any():
                at = first_true(wrong)
                raise ValueError(f"{place(self.name, at)} is {self.floats()[at]}: NaN and infinity "
                                 "are not allowed")

    def check_below(self, limits: int | np.ndarray) -> None:
        """limits: of all elements, or one for each place of the last dimension.
        Errors: ValueError, naming the first element that is not below its limit."""
        wrong = self.array >= limits
        if wrong.any():
            at = first_true(wrong)
            limit = np.broadcast_to(limits, self.shape)[at]
            raise ValueError(f"{place(self.name, at)} is {self.array[at]}, expected below {limit}")

    def norms(self) -> np.ndarray:
        """Euclidean lengths of the vectors, float64 of shape (...)."""
        values = self.floats()
        return np.asarray(np.sqrt(np.einsum("...d,...d->...", values, values, dtype=np.float64)))

    def check_norms(self) -> None:
        """Errors: ValueError, naming the first vector whose length is beyond float32."""
        norms = self.norms()
        wrong = norms > FLOAT32_MAX
        if wrong.any():
            at = first_true(wrong)
            raise ValueError(f"{place(self.name, at)} has norm {norms[at]:.4g}, beyond the range "
                             "of float32")


# ---- Reading ----------------------------------------------------------------------------------

def is_torch(value: Any) -> bool:
    torch = sys.modules.get("torch")
    tensor = getattr(torch, "Tensor", None)
    return tensor is not None and isinstance(value, tensor)


def to_numpy(value: Any, name: str) -> tuple[np.ndarray, str]:
    """The caller's memory as a NumPy array, and the name of its dtype.
    Errors: TypeError (no array, or a dtype or layout NumPy cannot show), NotImplementedError
    (memory of another device)."""
    if isinstance(value, (np.ndarray, np.generic)):  # reductions return np.generic, of no dimension
        if isinstance(value, np.ma.MaskedArray):
            raise TypeError(f"{name}: masked arrays are not supported")
        dtype = value.dtype.name
        return np.asarray(value.view(np.uint16) if dtype == "bfloat16" else value), dtype
    if is_torch(value):
        return _torch_to_numpy(value, name)
    if not hasattr(value, "__dlpack__"):
        raise TypeError(f"{name}: expected an array (NumPy, torch or DLPack), got "
                        f"{type(value).__name__}")
    device = value.__dlpack_device__()
    if device[0] not in _DLPACK_HOST_DEVICES:
        raise NotImplementedError(f"{name} is on DLPack device {tuple(map(int, device))}: this "
                                  "build computes on the CPU only")
    array = _from_dlpack(value, name)
    return array, array.dtype.name


def _torch_to_numpy(tensor: Any, name: str) -> tuple[np.ndarray, str]:
    torch = sys.modules["torch"]
    if tensor.device.type != "cpu":
        raise NotImplementedError(f"{name} is on device '{tensor.device}': this build computes on "
                                  "the CPU only; pass a CPU tensor")
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise TypeError(f"{name}: only dense tensors are supported, got {tensor.layout}, "
                        f"{tensor.dtype}")
    tensor = tensor.detach().resolve_conj().resolve_neg()
    if tensor.dtype == torch.bfloat16:
        return _from_dlpack(tensor.view(torch.int16), name).view(np.uint16), "bfloat16"
    return _from_dlpack(tensor, name), str(tensor.dtype).removeprefix("torch.")


def _from_dlpack(value: Any, name: str) -> np.ndarray:
    try:
        return np.from_dlpack(value)
    except (TypeError, BufferError, RuntimeError, ValueError) as error:
        raise TypeError(f"{name}: dtype {getattr(value, 'dtype', 'unknown')} is not supported "
                        f"({error})") from error


def read(value: Array, name: str, *, floating: bool = False) -> Input:
    """Numbers for libquash. floating: integers of every size become float32, where otherwise int8
    and uint8 stay what they are.
    Errors: TypeError (no array; a dtype that is not floating point or integer), ValueError (a
    number beyond float32), NotImplementedError (device)."""
    array, dtype = to_numpy(value, name)
    if dtype != "bfloat16" and array.dtype.kind not in "fiu":
        raise TypeError(f"{name}: dtype {dtype} is not supported, expected floating point or "
                        "integers")
    native = array.dtype.isnative
    if dtype not in _QUASH_DTYPES or (floating and array.dtype.kind == "i") or \
            (floating and dtype == "uint8"):
        array, dtype = _to_float32(array, name), "float32"
    elif not native:
        array = array.astype(array.dtype.newbyteorder("="))
    return Input(name, contiguous_rows(array), _QUASH_DTYPES[dtype], value)


def _to_float32(array: np.ndarray, name: str) -> np.ndarray:
    with np.errstate(over="ignore"):
        converted = array.astype(np.float32)
    if array.dtype.kind == "f" and array.size:
        beyond = np.isinf(converted) & np.isfinite(array)
        if beyond.any():
            at = first_true(beyond)
            raise ValueError(f"{place(name, at)} is {array[at]}, beyond the range of float32")
    return converted


def read_rows(value: Array, name: str, dim: int) -> Input:
    """Vectors (..., dim). Errors: as read; ValueError (shape)."""
    rows = read(value, name)
    check_last(rows.shape, name, dim)
    return rows


def read_bytes(value: Array, name: str) -> Input:
    """Small non-negative integers (codes, signs, packed bytes) as contiguous uint8.
    Errors: TypeError (no array of integers), ValueError (below 0 or above 255)."""
    array, dtype = to_numpy(value, name)
    if array.dtype.kind not in "iu" or dtype == "bfloat16":
        raise TypeError(f"{name}: dtype {dtype} is not supported, expected integers (uint8)")
    if dtype != "uint8":
        wrong = (array < 0) | (array > 255)
        if wrong.any():
            at = first_true(wrong)
            raise ValueError(f"{place(name, at)} is {array[at]}, expected 0..255")
    return Input(name, np.ascontiguousarray(array, np.uint8).reshape(array.shape), _lib.U8, value)


def read_scalars(value: Array, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Contiguous float32 of exactly `shape`. Errors: as read; ValueError (shape)."""
    scalars = read(value, name, floating=True)
    if scalars.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {scalars.shape}")
    return np.ascontiguousarray(scalars.floats()).reshape(shape)


def read_norms(value: Array, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """read_scalars of lengths. Errors: as there; ValueError (negative, NaN, infinity; named)."""
    norms = read_scalars(value, name, shape)
    wrong = ~((norms >= 0) & np.isfinite(norms))
    if wrong.any():
        at = first_true(wrong)
        raise ValueError(f"{place(name, at)} is {norms[at]}, expected a finite number of 0 or more")
    return norms


def place(name: str, index: tuple[int, ...]) -> str:
    """An element or a vector of an array as the caller would write it: "x[0, 7]"."""
    return f"{name}{list(index)}" if index else name


def first_true(mask: np.ndarray) -> tuple[int, ...]:
    """Index of the first true element of a mask that has one."""
    return tuple(int(i) for i in np.unravel_index(np.argmax(mask), mask.shape))


def check_last(shape: tuple[int, ...], name: str, dim: int) -> None:
    if not shape or shape[-1] != dim:
        raise ValueError(f"{name}: expected shape (..., {dim}), got {shape}")


# ---- Writing and calling ----------------------------------------------------------------------

def contiguous_rows(array: np.ndarray) -> np.ndarray:
    """array, or a copy of it if its last dimension is not contiguous or a stride is not a whole
    number of elements."""
    size = array.itemsize
    if array.ndim and ((array.shape[-1] > 1 and array.strides[-1] != size)
                       or any(stride % size for stride in array.strides)):
        return np.ascontiguousarray(array)
    return array


def c_view(array: np.ndarray, dtype: int) -> _lib.Array:
    """The quash_array of an array of at most 4 dimensions, which stays alive as long as it does."""
    view = _lib.Array(data=array.ctypes.data, dtype=dtype, ndim=array.ndim)
    for i, (size, stride) in enumerate(zip(array.shape, array.strides)):
        view.shape[i] = size
        view.stride[i] = stride // array.itemsize if array.size else 1  # NumPy's are arbitrary then
    view.keep = array
    return view


def new(shape: Iterable[int], dtype: int = _lib.F32) -> np.ndarray:
    """Memory for a floating-point result."""
    return np.empty(tuple(shape), _STORED_AS[dtype])


def call(function: Callable[..., int], *arguments: Any,
         explain: Iterable[Callable[[], None]] = ()) -> None:
    """Calls a C function. If it refuses an argument, the checks `explain` run before its error is
    raised: what one of them raises speaks of the caller's array and index, not of rows of a
    reshaped one."""
    status = function(*arguments)
    if status != 0:
        error = _lib.error(status)  # first: a check that calls the library replaces its message
        if status == _lib.ARGUMENT:
            for check in explain:
                check()
        raise error


# ---- Arrays that no input determines ----------------------------------------------------------

class Constant(np.ndarray):
    """A NumPy array which torch functions and operators take for a tensor on the same memory, so
    that `x @ quantizer.Pi.T` works for x of either kind."""

    @classmethod
    def __torch_function__(cls, function: Callable[..., Any], types: Any, args: Any = (),
                           kwargs: Any = None) -> Any:
        return function(*_tensors(args), **{k: _tensors(v) for k, v in (kwargs or {}).items()})


def _tensors(value: Any) -> Any:
    if isinstance(value, Constant):
        return sys.modules["torch"].from_dlpack(np.asarray(value))
    if type(value) in (list, tuple):
        return type(value)(_tensors(item) for item in value)
    return value


def constant(array: np.ndarray) -> Constant:
    return array.view(Constant)
