# SPDX-License-Identifier: Apache-2.0
"""Checks of arguments that are not arrays. Each returns the value in the type that C takes."""
from __future__ import annotations

import operator
from typing import Any

import numpy as np

from .constants import SUPPORTED_BITS

DIM_MAX = 16384  # QUASH_DIM_MAX


def integer(name: str, value: Any, low: int, high: int) -> int:
    """value as an int in low..high. Errors: TypeError (no integer), ValueError (out of range)."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}") from None
    if not low <= number <= high:
        raise ValueError(f"{name} is {number}, expected {low}..{high}")
    return number


def seed(value: Any) -> int:
    return integer("seed", value, 0, 2**64 - 1)


def bits(value: Any) -> int:
    """Bits of a scalar codebook."""
    number = operator.index(value) if hasattr(value, "__index__") else None
    if number not in SUPPORTED_BITS:
        raise ValueError(f"bits must be in {{1, 2, 3, 4}}, got {value}")
    return number


def device(value: Any) -> str:
    """"cpu" for a string or torch.device that means the CPU.
    Errors: NotImplementedError, naming the device."""
    if str(value) != "cpu":
        raise NotImplementedError(f"device {str(value)!r} is not supported: this build computes on "
                                  "'cpu' only")
    return "cpu"


def itemsize(dtype: Any) -> int:
    """Bytes of one element of a NumPy dtype (or what np.dtype takes) or torch dtype."""
    size = getattr(dtype, "itemsize", None)
    return size if isinstance(size, int) else np.dtype(dtype).itemsize
