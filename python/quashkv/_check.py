# SPDX-License-Identifier: Apache-2.0
"""Checks of arguments that are not arrays. Each returns the value in the type that C takes."""
from __future__ import annotations

import operator
from typing import Any, Sequence, TypeVar

import numpy as np

from .constants import SUPPORTED_BITS

_T = TypeVar("_T")

DIM_MAX = 16384  # QUASH_DIM_MAX


def index(name: str, value: Any) -> int:
    """value as an int. Errors: TypeError (no integer)."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}") from None


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """value as an int in low..high; high None: without a limit. Errors: TypeError (no integer),
    ValueError (out of range)."""
    number = index(name, value)
    if number < low or (high is not None and number > high):
        expected = f"{low} or more" if high is None else f"{low}..{high}"
        raise ValueError(f"{name} is {number}, expected {expected}")
    return number


def seed(value: Any) -> int:
    return integer("seed", value, 0, 2**64 - 1)


def bits(value: Any) -> int:
    """Bits of a scalar codebook."""
    if not hasattr(value, "__index__") or operator.index(value) not in SUPPORTED_BITS:
        raise ValueError(f"bits must be in {{1, 2, 3, 4}}, got {value}")
    return operator.index(value)


def total_bits(name: str, value: Any, who: str) -> int:
    """Bits of a quantizer that has a sign bit in every coordinate. who: as errors name it."""
    number = index(name, value)
    if number < 2:
        raise ValueError(f"{who} needs at least 2 total bits")
    return integer(name, number, 2, 4)


def device(value: Any) -> str:
    """"cpu" for a string or torch.device that means the CPU, with an ordinal or without.
    Errors: NotImplementedError, naming the device."""
    if str(value).partition(":")[0] != "cpu":
        raise NotImplementedError(f"device {str(value)!r} is not supported: this build computes on "
                                  "'cpu' only")
    return "cpu"


def itemsize(name: str, dtype: Any) -> int:
    """Bytes of one element of a NumPy dtype (or what np.dtype takes) or torch dtype.
    Errors: TypeError (neither)."""
    size = getattr(dtype, "itemsize", None)
    if isinstance(size, int):
        return size
    try:
        return np.dtype(dtype).itemsize
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None


def instance(name: str, value: Any, kind: type[_T]) -> _T:
    """value, which is of this class. Errors: TypeError."""
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a {kind.__name__}, got {type(value).__name__}")
    return value


def item(name: str, items: Sequence[_T], position: int) -> _T:
    """items[position]. Errors: IndexError, TypeError, naming the argument."""
    try:
        return items[index(name, position)]
    except IndexError:
        raise IndexError(f"{name} is {position}, expected below {len(items)}") from None
