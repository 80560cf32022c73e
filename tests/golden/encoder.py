# SPDX-License-Identifier: Apache-2.0
"""Encodes rows files and cache tiles, written from doc/format.md alone; standard library only.

    python3 tests/golden/encoder.py --example    print the worked example of doc/format.md

The section numbers below are those of doc/format.md.
"""
import math
import struct
import sys

from decoder import (END, HEADER, INTEGERS, MAGIC, STEP, UPPER, VERSION, Rotation, crc32c,
                     decode_vector, f32, f32s, near_one, packed_bytes, tile_bytes)


class EncodeError(ValueError):
    """A row that cannot be encoded."""


# ---- 1. Numbers ------------------------------------------------------------------------------

def lane_sum(terms):
    lanes = [0.0] * 16
    for start in range(0, len(terms), 16):
        piece = terms[start:start + 16]
        lanes[:len(piece)] = f32s([a + b for a, b in zip(lanes, piece)])
    half = 8
    while half:
        lanes = f32s([lanes[j] + lanes[j + half] for j in range(half)])
        half //= 2
    return lanes[0]


def to_f16(value):
    """The two bytes of a binary16; raises EncodeError when it would be infinite."""
    try:
        return struct.pack("<e", value)  # to nearest even, also from binary64
    except OverflowError:
        raise EncodeError("a scale of %r exceeds binary16" % value) from None


# ---- 4. Levels -------------------------------------------------------------------------------

FACTORS = {0: [1.0],
           1: [float.fromhex(h) for h in ("0x1p0", "0x1.dc28f6p-1", "0x1.147ae2p+0")],
           2: [float.fromhex(h) for h in ("0x1p0", "0x1.b851ecp-1", "0x1.dc28f6p-1",
                                          "0x1.11eb86p+0", "0x1.23d70ap+0")]}


def thresholds(bits, factor):
    upper = UPPER[bits]
    return [f32(f32((a + b) / 2 * STEP[bits]) * factor) for a, b in zip(upper, upper[1:])]


# ---- 5. Encoding a vector --------------------------------------------------------------------

LEAST_SQUARES, NORM, UNBIASED, RAW_NORM = range(4)


def quantize(u, bits, limits):
    """(codes, dot, squares)"""
    half = 1 << (bits - 1)
    codes = []
    for v in u:
        m = sum(limit <= abs(v) for limit in limits)
        codes.append(half - 1 - m if v < 0 else half + m)
    integers = [INTEGERS[bits][code] for code in codes]
    dot = lane_sum(f32s([a * b for a, b in zip(u, integers)]))
    return codes, dot, sum(v * v for v in integers)


def policy_scale(policy, norm, root, dim, dot, squares, step):
    raw = f32(norm / root)
    if policy == NORM:
        return f32(norm / f32(step * f32(math.sqrt(f32(squares)))))
    if policy == UNBIASED:
        return f32(raw * f32(dim / f32(dot * step)))
    if policy == RAW_NORM:
        return raw
    return f32(raw * f32(dot / f32(f32(squares) * step)))


def encode_vector(x, bits, policy, search_level, rotation, trace=None):
    """(codes, scale) of dim binary32 numbers. trace receives the intermediate values."""
    root = f32(math.sqrt(rotation.dim))
    power = near_one(max(abs(v) for v in x))
    x = f32s([v * (1 / power) for v in x])
    rotation.apply(x)
    norm = f32(math.sqrt(lane_sum(f32s([v * v for v in x]))))
    gain = f32(root / norm) if norm > 0 else 0.0
    u = f32s([v * gain for v in x])
    best = None
    for factor in FACTORS[0 if policy == RAW_NORM else search_level]:
        trial = quantize(u, bits, thresholds(bits, factor))
        if best is None or (f32(f32(trial[1] * trial[1]) * f32(best[2])) >
                            f32(f32(best[1] * best[1]) * f32(trial[2]))):
            best = trial
        if trace is not None:
            trace("factor", factor, *trial)
    codes, dot, squares = best
    scale = 0.0
    if norm > 0:
        scale = f32(policy_scale(policy, norm, root, rotation.dim, dot, squares, STEP[bits]) * power)
    if trace is not None:
        trace("rest", power, x, norm, gain, u, codes, scale)
    return codes, scale


# ---- 7. Packed codes, 8. Canonical row -------------------------------------------------------

def pack_plane(values, width):
    data = bytearray((len(values) * width + 7) // 8)
    for i, value in enumerate(values):
        data[i * width // 8] |= value << i * width % 8
    return bytes(data)


def pack_codes(codes, bits):
    if bits != 3:
        return pack_plane(codes, bits)
    return pack_plane([c & 3 for c in codes], 2) + pack_plane([c >> 2 for c in codes], 1)


def canonical_row(codes, scale, bits, scale_f16):
    if math.isinf(scale):
        raise EncodeError("a scale exceeds binary32")
    return (to_f16(scale) if scale_f16 else struct.pack("<f", scale)) + pack_codes(codes, bits)


# ---- 9. Rows file ----------------------------------------------------------------------------

def encode_rows(rows, dim, bits, policy, scale_f16, search_level, rounds, seed):
    """The bytes of a rows file. Raises EncodeError."""
    rotation = Rotation(dim, rounds, seed)
    row_bytes = (2 if scale_f16 else 4) + packed_bytes(dim, bits)
    header = HEADER.pack(MAGIC, VERSION, dim, bits, scale_f16, policy, search_level, rounds, b"",
                         seed, len(rows), row_bytes, b"", 0)[:60]
    body = b"".join(
        canonical_row(*encode_vector(row, bits, policy, search_level, rotation), bits, scale_f16)
        for row in rows)
    return (header + struct.pack("<I", crc32c(header)) + body + struct.pack("<I", crc32c(body)) +
            END)


# ---- 10. Cache tile --------------------------------------------------------------------------

def put_unit_code(unit, bits, lane, element, code):
    """Writes a code where there are zeros."""
    column = 4 * lane + element % 4
    register = element // 4
    if bits == 4:
        unit[64 * (register // 2) + column] |= code << 4 * (register % 2)
    elif bits == 2:
        unit[64 * (register // 4) + column] |= code << 2 * (register % 4)
    elif register < 6:
        unit[64 * (register // 2) + column] |= code << 4 * (register % 2)
    else:
        for row in range(3):
            unit[64 * row + column] |= (code >> 2 - row & 1) << (3 if register == 6 else 7)


def write_tile(keys, values, head_dim, key_bits, value_bits):
    """The bytes of a tile of up to 64 (scale, codes) keys and as many values."""
    key_dims, value_dims = -(-head_dim // 32) * 32, -(-head_dim // 16) * 16
    tile = bytearray(tile_bytes(head_dim, key_bits, value_bits))
    values_at = 64 * key_dims * key_bits // 8
    scales_at = values_at + 64 * value_dims * value_bits // 8

    def put(start, bits, number, lane, element, code):
        size = 64 * bits
        unit = tile[start + number * size:start + (number + 1) * size]
        put_unit_code(unit, bits, lane, element, code)
        tile[start + number * size:start + (number + 1) * size] = unit

    for slot, ((key_scale, key), (value_scale, value)) in enumerate(zip(keys, values)):
        for dim in range(head_dim):
            put(0, key_bits, slot // 16 * (key_dims // 32) + dim // 32, slot % 16, dim % 32,
                key[dim])
            put(values_at, value_bits, 2 * (dim // 16) + slot // 32, dim % 16, slot % 32,
                value[dim])
        tile[scales_at + 2 * slot:scales_at + 2 * slot + 2] = to_f16(key_scale)
        tile[scales_at + 128 + 2 * slot:scales_at + 130 + 2 * slot] = to_f16(value_scale)
    return bytes(tile)


# ---- Worked example --------------------------------------------------------------------------

def example():
    x = [1.0, 2.0, -3.0, 0.5, 0.0]
    rotation = Rotation(5, 2, 42)
    print("x          ", x)
    print("signs      ", [a[1] for a in rotation.actions if a])

    def trace(what, *values):
        if what == "factor":
            print("factor %.2f codes %s dot %s squares %d" % (
                values[0], values[1], values[2].hex(), values[3]))
            return
        power, rotated, norm, gain, u, codes, scale = values
        print("power      ", power)
        print("rotated    ", [v.hex() for v in rotated])
        print("norm       ", norm.hex(), "gain", gain.hex())
        print("u          ", ["%.6f" % v for v in u])
        print("codes      ", codes, "scale", scale.hex(), "%.6f" % scale)
        print("row        ", canonical_row(codes, scale, 3, 0).hex(" "))
        print("decoded    ", ["%s %.6f" % (v.hex(), v) for v in
                              decode_vector(codes, scale, 3, rotation)])

    encode_vector(x, 3, LEAST_SQUARES, 1, rotation, trace)


if __name__ == "__main__":
    if sys.argv[1:] != ["--example"]:
        print(__doc__)
        sys.exit(2)
    example()
