# SPDX-License-Identifier: Apache-2.0
"""Packing of codes into bytes along the last dimension: code i of a row at bit i*bits, least
significant bit first (1 bit: 8 codes in a byte, 2 bits: 4, 3 bits: 8 codes in 3 bytes, 4 bits: the
low nibble first). Rows are padded to whole bytes."""
from __future__ import annotations

import math

import numpy as np

from . import _array, _check, _lib
from ._array import Array

_DIM_MAX = 2**31 - 1


def packed_size(d: int, bits: int) -> int:
    """Bytes of a packed row of d codes. Errors: TypeError (no integers), ValueError (bits not in
    1..4 or 8; d < 1)."""
    if _check.index("bits", bits) not in (1, 2, 3, 4, 8):
        raise ValueError(f"Unsupported bits: {bits}")
    return (_check.integer("d", d, 1, _DIM_MAX) * bits + 7) // 8


def pack_bits(indices: Array, bits: int) -> Array:
    """indices (..., d), integers below 2^bits -> uint8 (..., packed_size(d, bits)).
    Errors: TypeError (no integers), ValueError (bits; shape; an index that is too large,
    named)."""
    codes = _array.read_bytes(indices, "indices")
    if not codes.shape or codes.shape[-1] == 0:
        raise ValueError(f"indices: expected shape (..., d) with d of 1 or more, got {codes.shape}")
    d = codes.shape[-1]
    packed = np.empty(codes.shape[:-1] + (packed_size(d, bits),), np.uint8)
    _array.call(_lib.lib.quash_pack_bits, codes.array.ctypes.data, math.prod(codes.shape[:-1]), d,
                bits, packed.ctypes.data, explain=[lambda: codes.check_below(1 << bits)])
    return codes.wrap(packed)


def unpack_bits(packed: Array, bits: int, d: int) -> Array:
    """packed uint8 (..., packed_size(d, bits)) -> uint8 (..., d), the inverse of pack_bits.
    Errors: TypeError (no integers), ValueError (bits, d, shape)."""
    size = packed_size(d, bits)
    given = _array.read_bytes(packed, "packed")
    _array.check_last(given.shape, "packed", size)
    codes = np.empty(given.shape[:-1] + (d,), np.uint8)
    _array.call(_lib.lib.quash_unpack_bits, given.array.ctypes.data, math.prod(given.shape[:-1]), d,
                bits, codes.ctypes.data)
    return given.wrap(codes)
