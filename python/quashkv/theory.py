# SPDX-License-Identifier: Apache-2.0
"""What the paper proves about its quantizers (arXiv 2504.19874, Theorems 1-3), for vectors of
length 1. d and bits are integers: TypeError otherwise; NaN where they are out of range."""
from __future__ import annotations

import math
from typing import Any

from . import _check
from ._lib import lib

_INT32_MAX = 2**31 - 1


def mse_bound(bits: int) -> float:
    """No larger E|x - decoded|^2 for any x: sqrt(3)*pi/2 * 4^-bits (Theorem 1). bits: 0 or more."""
    return _call(lib.quash_theory_mse_bound, bits=bits)


def mse_lower_bound(bits: int) -> float:
    """No quantizer does better for every x: 4^-bits (Theorem 3)."""
    return _call(lib.quash_theory_mse_lower_bound, bits=bits)


def product_bound(d: int, bits: int) -> float:
    """No larger E(estimate - <q, x>)^2 for any x and q, total bits >= 1: sqrt(3)*pi^2/d * 4^-bits
    (Theorem 2)."""
    return _call(lib.quash_theory_product_bound, d=d, bits=bits)


def product_lower_bound(d: int, bits: int) -> float:
    """No quantizer does better for every x and q: 4^-bits / d (Theorem 3)."""
    return _call(lib.quash_theory_product_lower_bound, d=d, bits=bits)


def product_variance(d: int, bits: int) -> float:
    """Variance of InnerProductQuantizer for q uniform on the sphere, total bits 1..4, d >= 2."""
    return _call(lib.quash_theory_product_variance, d=d, bits=bits)


def _call(function: Any, **arguments: int) -> float:
    numbers = [_check.index(name, value) for name, value in arguments.items()]
    if any(abs(number) > _INT32_MAX for number in numbers):  # ctypes would cut them to 32 bits
        return math.nan
    return function(*numbers)
