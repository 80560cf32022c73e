# SPDX-License-Identifier: Apache-2.0
"""Input that cannot be used: every message, exit code, and that no output is left."""
import struct

from harness import Case, crc32c, floats, header, npy, vecs, wave

SIX = floats(range(6))
NAN = float("nan")
INF = float("inf")


def bad_npy():
    """name -> bytes of a .npy file that encode must refuse."""
    many = bytearray(struct.pack("<4e", 1, 2, 3, 4) * 5000001)  # in the second of two pieces
    many[8 * 5000000 + 4:8 * 5000000 + 6] = struct.pack("<e", NAN)
    return {
        "empty": b"",
        "other-magic": b"PK\x03\x04 and more bytes",
        "version-9": npy(header(), SIX, version=(9, 0)),
        "version-1-1": npy(header(), SIX, version=(1, 1)),
        "no-length": b"\x93NUMPY\x01\x00v",
        "cut-header": npy(header())[:40],
        "huge-header": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{",
        "zero-byte": npy(header() + "\0"),
        "not-a-dictionary": npy("[1, 2]"),
        "no-colon": npy("{'descr' '<f4'}"),
        "no-comma": npy("{'descr': '<f4' 'fortran_order': False, 'shape': (2, 3)}"),
        "open-quote": npy("{'descr': '<f4, 'fortran_order': False, 'shape': (2, 3)"),
        "no-shape": npy("{'descr': '<f4', 'fortran_order': False}"),
        "key-twice": npy("{'descr': '<f4', 'descr': '<f4', 'shape': (2, 3)}"),
        "unknown-key": npy("{'descr': '<f4', 'colour': False, 'shape': (2, 3)}"),
        "order-maybe": npy(header(order="Maybe")),
        "more-after": npy(header() + " 1"),
        "fortran": npy(header(order="True"), SIX),
        "big-endian": npy(header(">f4"), SIX),
        "objects": npy(header("|O"), SIX),
        "record": npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3)}"),
        "complex": npy(header("<c8"), SIX),
        "int64": npy(header("<i8"), SIX),
        "0-dimensions": npy(header(shape="()"), SIX),
        "5-dimensions": npy(header(shape="(1, 1, 1, 2, 3)"), SIX),
        "negative": npy(header(shape="(-2, 3)"), SIX),
        "fraction": npy(header(shape="(2.0, 3)"), SIX),
        "beyond-64-bits": npy(header(shape="(18446744073709551617, 3)"), SIX),
        "product": npy(header(shape="(4294967296, 4294967296, 3)"), SIX),
        "product-of-bytes": npy(header(shape="(1152921504606846976, 8)"), SIX),
        "no-columns": npy(header(shape="(2, 0)")),
        "many-columns": npy(header(shape="(2, 16385)")),
        "truncated": npy(header(), SIX[:-1]),
        "trailing": npy(header(), SIX + b"x"),
        "nan": npy(header(), floats([0, 1, 2, 3, NAN, 5])),
        "minus-infinity-f16": npy(header("<f2", "(6,)"), struct.pack("<6e", 0, 1, -INF, 3, 4, 5)),
        "infinity-f64": npy(header("<f8"), struct.pack("<6d", 0, 1, 2, 3, INF, 5)),
        "beyond-f32": npy(header("<f8"), struct.pack("<6d", 0, 1, 2, 3, 4, -1e39)),
        "nan-in-row-5000000": npy(header("<f2", "(5000001, 4)"), bytes(many)),
    }


def bad_vecs():
    """name -> bytes of a .fvecs or .bvecs file that encode must refuse."""
    return {
        "empty.fvecs": b"",
        "cut-dim.fvecs": b"\x02\x00",
        "no-dim.fvecs": vecs([[]]),
        "negative.bvecs": struct.pack("<i", -3) + b"abc",
        "huge.bvecs": struct.pack("<i", 2**30) + b"abc",
        "changes.fvecs": vecs([[1, 2], [3, 4, 5], [6, 7]]),
        "changes.bvecs": vecs([b"ab"] * 9 + [b"a"], "B"),
        "cut-row.fvecs": vecs([[1, 2], [3, 4]])[:-1],
        "cut-second-dim.bvecs": vecs([b"ab", b"cd"], "B")[:-5],
        "nan.fvecs": vecs([[1, 2], [NAN, 4]]),
    }


class BadNumbers(Case):
    def check(self, expected, files, format_of):
        text = ""
        for name, data in files.items():
            self.write(name, data)
            text += self.transcript("encode", name, "out.qrows") + "\n"
            self.assertEqual(self.files(), [name])
            # The same bytes from a pipe: a length is then known only at the end.
            piped = self.quash("encode", "-", "out.qrows", "--format", format_of(name), stdin=data)
            text += "from a pipe: " + piped.stderr.decode() + "\n"
            self.assertEqual((piped.returncode, piped.stdout), (3, b""), name)
            self.assertEqual(self.files(), [name])
            (self.work / name).unlink()
        self.compare(expected, text)
        self.assertEqual(text.count("exit 3\n"), len(files))

    def test_npy(self):
        self.check("bad_npy.txt", {f"{name}.npy": data for name, data in bad_npy().items()},
                   lambda name: "npy")

    def test_vecs(self):
        self.check("bad_vecs.txt", bad_vecs(), lambda name: name.split(".")[1])

    def test_scale_beyond_f16(self):
        rows = wave(1, 64) * 20000
        rows[64 * 17000:64 * 17001] = [1e6] * 64
        self.write("large.npy", npy(header("<f4", "(20000, 64)"), floats(rows)))
        self.compare("bad_scale.txt",
                     self.transcript("encode", "large.npy", "out.qrows", "--scale", "f16"))
        self.assertEqual(self.files(), ["large.npy"])
        self.ok("encode", "large.npy", "out.qrows", "--scale", "f32")

    def test_missing_files(self):
        folder = self.work / "folder"
        folder.mkdir()
        lines = [
            ("encode", "none.npy", "out.qrows"), ("encode", "folder", "out.qrows", "-f", "npy"),
            ("decode", "none.qrows", "out.npy"), ("inspect", "none.npy"), ("kv", "none"),
            ("kv", "folder"), ("kv", "--keys", "none.npy", "--values", "none.npy"),
            ("search", "--base", "none.npy", "--queries", "none.npy"),
            ("encode", "data/sift/base.bvecs", "none/out.qrows"),
            ("encode", "data/sift/base.bvecs", "folder"),
        ]
        self.compare("missing.txt", "\n".join(self.transcript(*line) for line in lines))
        self.assertEqual(self.files(), ["folder"])

    def test_inspect_counts_instead_of_refusing(self):
        self.write("a.npy", npy(header(), floats([NAN, 1, INF, 3, 0, 4])))
        self.write("b.npy", npy(header(shape="(1, 3)"), floats([NAN, NAN, -INF])))
        self.compare("inspect_nan.txt", self.transcript("inspect", "a.npy") + "\n" +
                     self.transcript("inspect", "a.npy", "--json") + "\n" +
                     self.transcript("inspect", "b.npy") + "\n" +
                     self.transcript("inspect", "b.npy", "--json"))


class BadLayers(Case):
    def layer(self, name, shape, values=None, descr="<f4"):
        count = shape[0] * shape[1] * shape[2]
        return self.write(name, npy(header(descr, str(shape)), floats(values or wave(1, count))))

    def test_kv(self):
        k = self.layer("k.npy", (2, 4, 8))
        v = self.layer("v.npy", (2, 4, 8))
        bad = wave(1, 64)
        bad[21] = NAN
        runs = [
            (k, self.layer("v-other.npy", (2, 3, 8)), None),
            (self.layer("k-12.npy", (1, 2, 12)), self.layer("v-12.npy", (1, 2, 12)), None),
            (self.write("k-2d.npy", npy(header("<f4", "(4, 8)"), floats(wave(4, 8)))), v, None),
            (self.write("k-u1.npy", npy(header("|u1", "(2, 4, 8)"), bytes(64))), v, None),
            (self.write("k-0.npy", npy(header("<f4", "(2, 0, 8)"))), v, None),
            (self.layer("k-nan.npy", (2, 4, 8), bad), v, None),
            (k, self.layer("v-large.npy", (2, 4, 8), [1e30] * 64), None),
            (k, v, self.layer("q-heads.npy", (3, 4, 8))),
            (k, v, self.layer("q-long.npy", (2, 5, 8))),
            (k, v, self.layer("q-dim.npy", (2, 4, 16))),
        ]
        text = ""
        for keys, values, queries in runs:
            more = ("--queries", queries) if queries else ()
            text += self.transcript("kv", "--keys", keys, "--values", values, *more) + "\n"
        self.compare("bad_kv.txt", text)
        self.assertEqual(text.count("exit 3\n"), len(runs))

    def test_search(self):
        self.write("base.fvecs", vecs([[1, 2, i] for i in range(30)]))
        self.write("zero.fvecs", vecs([[1, 2, i] for i in range(20)] + [[0, 0, 0]] * 4))
        self.write("query.fvecs", vecs([[1, 2, 3]]))
        self.write("other.fvecs", vecs([[1, 2, 3, 4]]))
        self.write("nan.fvecs", vecs([[1, 2, NAN]]))
        self.write("none.npy", npy(header("<f4", "(0, 3)")))
        few = "--centre-rows", "8"
        runs = [
            ("base.fvecs", "other.fvecs", *few), ("base.fvecs", "nan.fvecs", *few),
            ("base.fvecs", "none.npy", *few), ("base.fvecs", "query.fvecs", *few, "-k", "31"),
            ("base.fvecs", "query.fvecs"), ("zero.fvecs", "query.fvecs", *few),
            ("base.fvecs", "zero.fvecs", *few),
        ]
        text = ""
        for base, queries, *more in runs:
            text += self.transcript("search", "--base", base, "--queries", queries, *more) + "\n"
        self.compare("bad_search.txt", text)
        self.assertEqual(text.count("exit 3\n"), len(runs))
        self.ok("search", "--base", "zero.fvecs", "--queries", "query.fvecs", *few,
                "--metric", "l2")


class DamagedRows(Case):
    def setUp(self):
        super().setUp()
        self.write("a.npy", npy(header("<f4", "(50, 16)"), floats(wave(50, 16))))
        self.ok("encode", "a.npy", "good.qrows")
        self.good = self.read("good.qrows")
        (self.work / "a.npy").unlink()
        (self.work / "good.qrows").unlink()

    def damaged(self):
        """name -> bytes that decode and inspect must refuse."""
        good = self.good
        row_bytes = (len(good) - 72) // 50

        def flip(at):
            return good[:at] + bytes([good[at] ^ 1]) + good[at + 1:]

        def with_crcs(data):
            """data with checksums that fit: what remains is its meaning."""
            data = data[:60] + struct.pack("<I", crc32c(data[:60])) + data[64:]
            return data[:-8] + struct.pack("<I", crc32c(data[64:-8])) + data[-4:]

        self.assertEqual(with_crcs(good), good)
        row_7 = 64 + 7 * row_bytes
        nan = good[:row_7] + floats([NAN]) + good[row_7 + 4:]
        many = good[:32] + struct.pack("<Q", 2**56) + good[40:]
        return {
            "empty": b"", "short": good[:63], "other": b"PK\x03\x04" * 40,
            "magic": flip(0), "version": flip(8), "header": flip(12), "header-end": flip(63),
            "first-code": flip(70), "last-code": flip(len(good) - 9),
            "checksum": flip(len(good) - 8), "trailer": flip(len(good) - 1),
            "truncated": good[:-20], "no-trailer": good[:-8], "trailing": good + b"x",
            "rows": with_crcs(many), "bits": with_crcs(good[:16] + b"\x09" + good[17:]),
            "nan-scale": with_crcs(nan),
        }

    def test_damaged(self):
        text = ""
        for name, data in self.damaged().items():
            self.write("bad.qrows", data)
            text += f"# {name}\n" + self.transcript("decode", "bad.qrows", "out.npy") + "\n"
            self.assertEqual(self.files(), ["bad.qrows"], name)
            piped = self.quash("decode", "-", "out.npy", stdin=data)
            text += "from a pipe: " + piped.stderr.decode() + "\n"
            self.assertEqual((piped.returncode, piped.stdout), (4, b""), name)
            self.assertEqual(self.files(), ["bad.qrows"], name)
        self.compare("damaged_decode.txt", text)

    def test_inspect_damaged(self):
        text = ""
        for name, data in self.damaged().items():
            self.write("bad.qrows", data)
            text += f"# {name}\n" + self.transcript("inspect", "bad.qrows") + "\n"
            # inspect does not decode, so it accepts what only decoding finds.
            code = 0 if name == "nan-scale" else 4
            self.assertEqual(self.quash("inspect", "bad.qrows").returncode, code, name)
        self.compare("damaged_inspect.txt", text)

    def test_every_flipped_byte_is_found(self):
        for at in range(len(self.good)):
            data = bytearray(self.good)
            data[at] ^= 0x10
            result = self.quash("decode", "-", "out.npy", stdin=bytes(data))
            self.assertEqual(result.returncode, 4, at)
            self.assertEqual(self.files(), [], at)
