# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the file readers' fuzz targets: corpus/npy and corpus/vecs beside this file.

    python3 make_corpus.py
"""
import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent


def npy(header, data=b"", version=1, length=None):
    text = header.encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    length = len(text) if length is None else length
    size = struct.pack("<H" if version == 1 else "<I", length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def header(descr="<f4", shape="(2, 3)", order="False"):
    return f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"


def records(rows, pack):
    return b"".join(struct.pack("<i", dim) + pack(values) for dim, values in rows)


def floats(values):
    return struct.pack(f"<{len(values)}f", *values)


def main():
    numbers = struct.pack("<6f", *range(6))
    files = {
        "npy/f4": npy(header(), numbers),
        "npy/f2": npy(header("<f2"), struct.pack("<6e", *range(6))),
        "npy/f8": npy(header("<f8"), struct.pack("<6d", *range(6))),
        "npy/f8-beyond-f32": npy(header("<f8", "(3,)"), struct.pack("<3d", 0, 1e300, 1)),
        "npy/i1-1d": npy(header("|i1", "(6,)"), bytes(range(6))),
        "npy/u1-4d": npy(header("|u1", "(2, 2, 2, 3)"), bytes(range(24))),
        "npy/many-rows": npy(header("|u1", "(29, 2)"), bytes(range(58))),
        "npy/version-2": npy(header(), numbers, version=2),
        "npy/version-3": npy(header(), numbers, version=3),
        "npy/python-2": npy(header(shape="(2L, 3L)"), numbers),
        "npy/other-order": npy("{\"shape\":(2,3),'descr' : \"<f4\",'fortran_order':False}", numbers),
        "npy/no-rows": npy(header(shape="(0, 9223372036854775807, 3)")),
        "npy/overflow": npy(header(shape="(4611686018427387904, 4, 3)")),
        "npy/beyond-64-bits": npy(header(shape="(99999999999999999999, 3)")),
        "npy/negative": npy(header(shape="(-2, 3)"), numbers),
        "npy/fortran": npy(header(order="True"), numbers),
        "npy/big-endian": npy(header(">f4"), numbers),
        "npy/objects": npy(header("|O"), numbers),
        "npy/record": npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }"),
        "npy/truncated": npy(header(), numbers[:-1]),
        "npy/trailing": npy(header(), numbers + b"x"),
        "npy/header-cut": npy(header(), length=1000),
        "npy/header-huge": npy(header(), version=2, length=0xFFFFFFFF),
        "npy/zero-byte": npy(header() + "\0", numbers),
        "npy/open-quote": npy("{'descr': '<f4"),
        "npy/empty": b"",
        "npy/magic-only": b"\x93NUMPY",
        "vecs/f": b"f" + records([(2, [1, 2]), (2, [3, 4])], floats),
        "vecs/b": b"a" + records([(5, b"abcde")] * 7, bytes),
        "vecs/dim-changes": b"f" + records([(2, [1, 2]), (3, [3, 4, 5])], floats),
        "vecs/dim-zero": b"f" + records([(0, [])], floats),
        "vecs/dim-negative": b"a" + records([(-1, b"x")], bytes),
        "vecs/dim-huge": b"a" + records([(2**31 - 1, b"x")], bytes),
        "vecs/truncated-row": b"f" + records([(2, [1, 2]), (2, [3])], floats),
        "vecs/truncated-dim": b"a" + records([(2, b"ab")], bytes) + b"\x02\x00",
        "vecs/empty": b"f",
    }
    for name, data in files.items():
        path = HERE / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    main()
