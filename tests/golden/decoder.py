# SPDX-License-Identifier: Apache-2.0
"""Decodes rows files and cache tiles, written from doc/format.md alone; standard library only.

    python3 tests/golden/decoder.py FILE.qrows OUT.f32

The section numbers below are those of doc/format.md. Numbers are Python floats (binary64) that hold
binary32 values; f32() and f32s() round the result of each single operation.
"""
import math
import struct
import sys

FLT_MAX = float.fromhex("0x1.fffffep127")


class FormatError(ValueError):
    """Stored bytes that a reader must refuse."""


# ---- 1. Numbers ------------------------------------------------------------------------------

def f32s(values):
    """The values, each rounded to binary32; too large ones become infinite."""
    form = "<%df" % len(values)
    try:
        return list(struct.unpack(form, struct.pack(form, *values)))
    except OverflowError:  # Python refuses what C rounds to infinity
        return [f32(v) for v in values]


def f32(value):
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


def f32_bytes(values):
    return struct.pack("<%df" % len(values), *values)


def f32_from_bytes(data):
    return list(struct.unpack("<%df" % (len(data) // 4), data))


def f16_from_bytes(data):
    return struct.unpack("<e", data)[0]


# ---- 2. Random words -------------------------------------------------------------------------

MASK = (1 << 64) - 1
GAMMA = 0x9E3779B97F4A7C15


def mix(z):
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def random_key(seed, stream):
    return mix(seed + GAMMA * (stream + 1) & MASK)


def random_word(key, index):
    return mix(key + GAMMA * (index + 1) & MASK)


# ---- 3. Rotation -----------------------------------------------------------------------------

HALF_ROOT = float.fromhex("0x1.6a09e6p-1")


class Rotation:
    def __init__(self, dim, rounds, seed):
        self.dim = dim
        log = dim.bit_length() - 1
        self.width = 1 << log
        self.factor = 2.0 ** -(log // 2) * (HALF_ROOT if log % 2 else 1.0)
        whole = self.width == dim
        last = dim - self.width
        starts = [0] * rounds if whole else [0, last] * 3
        # What is done in order: (start of the window, its signs), or None for the half butterfly.
        self.actions = []
        for step, start in enumerate(starts):
            self.actions.append((start, self.signs(seed, step)))
            if not whole and step in (1, 3):
                self.actions.append(None)
        self.lower = []  # for each stride the indices whose bit `stride` is 0
        stride = 1
        while stride < self.width:
            self.lower.append((stride, [i for i in range(self.width) if not i & stride]))
            stride *= 2

    def signs(self, seed, step):
        key = random_key(seed, step)
        words = [random_word(key, i) for i in range((self.width + 63) // 64)]
        return [words[i // 64] >> i % 64 & 1 for i in range(self.width)]

    def hadamard(self, x):
        for stride, lower in self.lower:
            sums = f32s([x[i] + x[i + stride] for i in lower])
            differences = f32s([x[i] - x[i + stride] for i in lower])
            for i, a, b in zip(lower, sums, differences):
                x[i] = a
                x[i + stride] = b
        return f32s([v * self.factor for v in x])

    def half_butterfly(self, x):
        pairs = self.dim // 2
        upper = self.dim - pairs
        low, high = x[:pairs], x[upper:]
        sums = f32s([a + b for a, b in zip(low, high)])
        differences = f32s([a - b for a, b in zip(low, high)])
        x[:pairs] = f32s([v * HALF_ROOT for v in sums])
        x[upper:] = f32s([v * HALF_ROOT for v in differences])

    def apply(self, x):
        for action in self.actions:
            if action is None:
                self.half_butterfly(x)
                continue
            start, signs = action
            window = slice(start, start + self.width)
            x[window] = self.hadamard([-v if s else v for v, s in zip(x[window], signs)])

    def undo(self, x):
        for action in reversed(self.actions):
            if action is None:
                self.half_butterfly(x)
                continue
            start, signs = action
            window = slice(start, start + self.width)
            x[window] = [-v if s else v for v, s in zip(self.hadamard(x[window]), signs)]


# ---- 4. Levels -------------------------------------------------------------------------------

UPPER = {1: [1], 2: [3, 10], 3: [3, 9, 16, 26], 4: [3, 9, 15, 21, 28, 36, 46, 61]}
STEP = {1: float.fromhex("0x1.988462p-1"), 2: float.fromhex("0x1.355582p-3"),
        3: float.fromhex("0x1.53dc8cp-4"), 4: float.fromhex("0x1.6efa1ep-5")}
INTEGERS = {bits: [-v for v in reversed(upper)] + upper for bits, upper in UPPER.items()}


# ---- 6. Decoding a vector --------------------------------------------------------------------

def near_one(magnitude):
    """The power of two that brings the magnitude near 1."""
    if magnitude == 0:
        return 1.0
    return 2.0 ** min(max(math.frexp(magnitude)[1], -126), 126)


def decode_vector(codes, scale, bits, rotation):
    power = near_one(scale)
    gain = f32(f32(scale / power) * STEP[bits])
    x = f32s([gain * INTEGERS[bits][code] for code in codes])
    rotation.undo(x)
    return [min(max(v, -FLT_MAX), FLT_MAX) for v in f32s([v * power for v in x])]


# ---- 7. Packed codes -------------------------------------------------------------------------

def unpack_plane(data, n, width):
    mask = (1 << width) - 1
    return [data[i * width // 8] >> i * width % 8 & mask for i in range(n)]


def packed_bytes(n, bits):
    return (n + 3) // 4 + (n + 7) // 8 if bits == 3 else (n * bits + 7) // 8


def unpack_codes(data, n, bits):
    if bits != 3:
        return unpack_plane(data, n, bits)
    low = unpack_plane(data, n, 2)
    high = unpack_plane(data[(n + 3) // 4:], n, 1)
    return [a | b << 2 for a, b in zip(low, high)]


# ---- 9. Rows file ----------------------------------------------------------------------------

def crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


CRC_TABLE = crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


MAGIC, END, VERSION = b"QUASHROW", b"QEND", 0
HEADER = struct.Struct("<8sIIBBBBB3sQQI16sI")  # 64 bytes
FIELDS = (("dim", 1, 16384), ("bits", 1, 4), ("scale_f16", 0, 1), ("policy", 0, 3),
          ("search_level", 0, 2), ("rounds", 1, 2))


def read_header(data):
    """The fields of a header, as a dict. Raises FormatError."""
    if len(data) < HEADER.size:
        raise FormatError("shorter than a header")
    (magic, version, dim, bits, scale_f16, policy, level, rounds, zeros, seed, rows, row_bytes,
     more_zeros, checksum) = HEADER.unpack_from(data)
    if magic != MAGIC:
        raise FormatError("not a rows file")
    if version != VERSION:
        raise FormatError("version %d" % version)
    if checksum != crc32c(data[:60]):
        raise FormatError("checksum of the header")
    header = {"dim": dim, "bits": bits, "scale_f16": scale_f16, "policy": policy,
              "search_level": level, "rounds": rounds, "seed": seed, "rows": rows}
    for name, low, high in FIELDS:
        if not low <= header[name] <= high:
            raise FormatError("%s is %d" % (name, header[name]))
    if any(zeros) or any(more_zeros):
        raise FormatError("bytes of the header that must be 0")
    if row_bytes != (2 if scale_f16 else 4) + packed_bytes(dim, bits):
        raise FormatError("row bytes is %d" % row_bytes)
    if rows * row_bytes > (2 ** 63 - 1) // 2:
        raise FormatError("%d rows" % rows)
    header["row_bytes"] = row_bytes
    return header


def read_rows(data):
    """(header, [(scale, codes)]) of a whole rows file. Raises FormatError."""
    header = read_header(data)
    end = HEADER.size + header["rows"] * header["row_bytes"]
    if len(data) != end + 8 or data[end + 4:] != END:
        raise FormatError("the trailer is missing or damaged")
    if struct.unpack_from("<I", data, end)[0] != crc32c(data[HEADER.size:end]):
        raise FormatError("checksum of the rows")
    rows = []
    for at in range(HEADER.size, end, header["row_bytes"]):
        row = data[at:at + header["row_bytes"]]
        if header["scale_f16"]:
            scale, codes = f16_from_bytes(row[:2]), row[2:]
        else:
            scale, codes = f32_from_bytes(row[:4])[0], row[4:]
        if not 0 <= scale < math.inf:
            raise FormatError("a scale of %r" % scale)
        rows.append((scale, unpack_codes(codes, header["dim"], header["bits"])))
    return header, rows


def decode_rows(data):
    """The header and the decoded rows, each a list of dim numbers. Raises FormatError."""
    header, rows = read_rows(data)
    rotation = Rotation(header["dim"], header["rounds"], header["seed"])
    return header, [decode_vector(codes, scale, header["bits"], rotation) for scale, codes in rows]


# ---- 10. Cache tile --------------------------------------------------------------------------

def unit_code(unit, bits, lane, element):
    column = 4 * lane + element % 4
    register = element // 4
    if bits == 4:
        return unit[64 * (register // 2) + column] >> 4 * (register % 2) & 15
    if bits == 2:
        return unit[64 * (register // 4) + column] >> 2 * (register % 4) & 3
    if register < 6:
        return unit[64 * (register // 2) + column] >> 4 * (register % 2) & 7
    bit = 3 if register == 6 else 7
    return sum((unit[64 * row + column] >> bit & 1) << 2 - row for row in range(3))


def tile_bytes(head_dim, key_bits, value_bits):
    key_dims, value_dims = -(-head_dim // 32) * 32, -(-head_dim // 16) * 16
    return 64 * (key_dims * key_bits // 8 + value_dims * value_bits // 8 + 4)


def read_tile(tile, head_dim, key_bits, value_bits):
    """([(scale, codes)] of 64 keys, likewise of 64 values)."""
    key_dims, value_dims = -(-head_dim // 32) * 32, -(-head_dim // 16) * 16
    values_at = 64 * key_dims * key_bits // 8
    scales_at = values_at + 64 * value_dims * value_bits // 8
    assert len(tile) == scales_at + 256

    def unit(start, bits, number):
        return tile[start + number * 64 * bits:start + (number + 1) * 64 * bits]

    def scale(number):
        return f16_from_bytes(tile[scales_at + 2 * number:scales_at + 2 * number + 2])

    keys, values = [], []
    for slot in range(64):
        keys.append((scale(slot), [
            unit_code(unit(0, key_bits, slot // 16 * (key_dims // 32) + dim // 32), key_bits,
                      slot % 16, dim % 32) for dim in range(head_dim)]))
        values.append((scale(64 + slot), [
            unit_code(unit(values_at, value_bits, 2 * (dim // 16) + slot // 32), value_bits,
                      dim % 16, slot % 32) for dim in range(head_dim)]))
    return keys, values


def main(arguments):
    if len(arguments) != 2:
        print(__doc__)
        return 2
    with open(arguments[0], "rb") as file:
        header, rows = decode_rows(file.read())
    with open(arguments[1], "wb") as file:
        for row in rows:
            file.write(f32_bytes(row))
    print(header)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
