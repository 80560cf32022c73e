#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the golden files against the Python encoder and decoder, and against built programs.

    python3 tests/golden/check_golden.py [--make GOLDEN_MAKE] [--cli QUASH] [BUILD_FOLDER ...]

For each case of tests/golden/vectors: the Python decoder gives the stored output bit for bit, and the
Python encoder gives the stored rows bit for bit; for each index, the same scores and order. Test values of doc/format.md, cache tiles and damaged
files are checked too. --make runs the given golden_make, which must write every file of the folder
again, byte for byte; --cli encodes and decodes every case with the given command-line tool. A build
folder stands for the golden_make and the quash below it, whichever are there.
"""
import argparse
import json
import os
import struct
import subprocess
import sys
import tempfile

import decoder
import encoder
import searcher

HERE = os.path.dirname(os.path.abspath(__file__))
VECTORS = os.path.join(HERE, "vectors")
POLICIES = ["least-squares", "norm", "unbiased", "raw-norm"]

passed = 0
failed = 0


def check(ok, what):
    global passed, failed
    if ok:
        passed += 1
    else:
        failed += 1
        print("FAILED: " + what)


def read(*path):
    with open(os.path.join(*path), "rb") as file:
        return file.read()


# ---- Test values of doc/format.md ------------------------------------------------------------

WORDS = [(0, 0, 0xE220A8397B1DCDAF, 0xA706DD2F4D197E6F, 0xB382A305F4414F5E),
         (0, 1, 0x6E789E6AA1B965F4, 0x46B73E79F0C37C00, 0x374327C63D0CC8A6),
         (42, 0, 0xBDD732262FEB6E95, 0x57E1FABA65107204, 0xF4ABD143FEB24055),
         (42, 1, 0x28EFE333B266F103, 0xFC991BCA1A1AA1AE, 0x4F0482A72B57EE7D),
         (42, 5, 0xDE4431FA3C80DB06, 0x10F2C5A401ED042A, 0x9EFA10CD8EE92088),
         (2 ** 64 - 1, 0, 0xE4D971771B652C20, 0x5DC20AA7B2A27137, 0xBDA5668A01D7049C)]

UNITS = {4: ("C0F3265955 99DD11".replace(" ", ""), 0x469522BF),
         3: ("C0F32ED1DD11DD11", 0x69619D72),
         2: ("00FFAA5555555555", 0x89230918)}

# head_dim, key bits, value bits, CRC-32C of a tile of 50 tokens as check_tiles fills it; from the C
# library.
TILES = [(40, 2, 4, 0xC42A5F82), (80, 2, 4, 0x5CB95694), (40, 3, 3, 0xABB14F65),
         (80, 3, 3, 0x4388CDD2), (40, 4, 2, 0x6A7301D0), (80, 4, 2, 0xE28F356E)]

THRESHOLDS = {1: [], 2: ["1.f6aaf4p-1"], 3: ["1.fdcad2p-2", "1.09844ep+0", "1.be1178p+0"],
              4: ["1.133b96p-2", "1.133b96p-1", "1.9cd962p-1", "1.18f77ep+0", "1.6efa1ep+0",
                  "1.d63076p+0", "1.32c516p+1"]}


def check_values():
    check(decoder.crc32c(b"123456789") == 0xE3069283, "CRC-32C of 123456789")
    for seed, stream, key, first, second in WORDS:
        got = decoder.random_key(seed, stream)
        check((got, decoder.random_word(got, 0), decoder.random_word(got, 1)) ==
              (key, first, second), "random words of seed %d, stream %d" % (seed, stream))
    check(encoder.pack_codes([1, 2, 3, 4, 7], 3) == bytes.fromhex("390318"), "3-bit planes")
    check(encoder.f32(0.5 ** 0.5) == decoder.HALF_ROOT, "1/sqrt(2)")
    for bits in range(1, 5):
        check(encoder.thresholds(bits, 1.0) == [float.fromhex("0x" + h) for h in THRESHOLDS[bits]],
              "thresholds of %d bits" % bits)
        for n in range(1, 34):
            codes = [(5 * i + n) % (1 << bits) for i in range(n)]
            data = encoder.pack_codes(codes, bits)
            check(len(data) == decoder.packed_bytes(n, bits) and
                  decoder.unpack_codes(data, n, bits) == codes, "%d packed codes" % n)


def check_tiles():
    for bits, (first, crc) in UNITS.items():
        unit = bytearray(64 * bits)
        codes = [[(5 * lane + 3 * e + lane * e) % (1 << bits) for e in range(32)]
                 for lane in range(16)]
        for lane in range(16):
            for e in range(32):
                encoder.put_unit_code(unit, bits, lane, e, codes[lane][e])
        check(unit[:8].hex().upper() == first and decoder.crc32c(unit) == crc,
              "unit of %d bits" % bits)
        check(codes == [[decoder.unit_code(unit, bits, lane, e) for e in range(32)]
                        for lane in range(16)], "unit of %d bits, unpacked" % bits)
    for head_dim, key_bits, value_bits, crc in TILES:
        keys = [(1 + t / 1024, [(7 * t + 3 * d + t * d) % (1 << key_bits) for d in range(head_dim)])
                for t in range(50)]
        values = [(2 + t / 512, [(5 * t + d + t * d) % (1 << value_bits) for d in range(head_dim)])
                  for t in range(50)]
        tile = encoder.write_tile(keys, values, head_dim, key_bits, value_bits)
        name = "tile of head_dim %d, %d and %d bits" % (head_dim, key_bits, value_bits)
        check(decoder.crc32c(tile) == crc, name)
        empty = [(0.0, [0] * head_dim)] * 14
        check(decoder.read_tile(tile, head_dim, key_bits, value_bits) ==
              (keys + empty, values + empty), name + ", unpacked")


# ---- Golden files ----------------------------------------------------------------------------

def read_manifest():
    return json.loads(read(VECTORS, "manifest.json"))


def rows_of(data, dim):
    values = decoder.f32_from_bytes(data)
    return [values[at:at + dim] for at in range(0, len(values), dim)]


def check_case(case):
    name = case["name"]
    data = read(VECTORS, name + ".qrows")
    check(decoder.crc32c(data) == int(case["crc32c"], 16), name + ": checksum of the manifest")
    header, decoded = decoder.decode_rows(data)
    policy, scale_f16 = POLICIES.index(case["policy"]), int(case["scale"] == "f16")
    check((header["scale_f16"], header["policy"]) == (scale_f16, policy) and
          all(header[k] == case[k] for k in ("rows", "dim", "bits", "search_level", "rounds",
                                             "seed")), name + ": fields of the header")
    check(b"".join(map(decoder.f32_bytes, decoded)) == read(VECTORS, name + ".out.f32"),
          name + ": decoded by Python")
    encoded = encoder.encode_rows(rows_of(read(VECTORS, name + ".in.f32"), case["dim"]),
                                  case["dim"], case["bits"], policy, scale_f16,
                                  case["search_level"], case["rounds"], case["seed"])
    check(encoded == data, name + ": encoded by Python")


def check_index_case(case):
    name, dim = case["name"], case["dim"]
    scores, ids = searcher.search(
        rows_of(read(VECTORS, name + ".in.f32"), dim),
        rows_of(read(VECTORS, name + ".queries.f32"), dim), case["bits"], case["metric"],
        case["search_level"], case["centre_rows"], case["seed"])
    check(decoder.f32_bytes(scores) == read(VECTORS, name + ".scores.f32"), name + ": scores")
    check(struct.pack("<%dq" % len(ids), *ids) == read(VECTORS, name + ".ids.i64"), name + ": ids")


def check_manifest(cases, index_cases):
    expected = {"manifest.json"}
    for case in index_cases:
        expected |= {case["name"] + suffix
                     for suffix in (".in.f32", ".queries.f32", ".scores.f32", ".ids.i64")}
    for case in cases:
        expected |= {case["name"] + suffix for suffix in (".qrows", ".in.f32", ".out.f32")}
    check(set(os.listdir(VECTORS)) == expected, "the manifest names every file, and no other")
    check(len(cases) >= 30, "30 cases or more")


def refused(data):
    try:
        decoder.decode_rows(data)
    except decoder.FormatError:
        return True
    return False


def check_damage(name):
    """Every changed bit and every cut of a small file is refused."""
    data = read(VECTORS, name + ".qrows")
    check(not refused(data), name + ": accepted")
    bits = [i for i in range(8 * len(data)) if not refused(
        data[:i // 8] + bytes([data[i // 8] ^ 1 << i % 8]) + data[i // 8 + 1:])]
    check(not bits, name + ": changed bits %s" % bits)
    cuts = [n for n in range(len(data)) if not refused(data[:n])]
    check(not cuts, name + ": cut to %s bytes" % cuts)
    for scale in (b"\0\0\x80\xff", b"\0\0\x80\x7f", b"\0\0\xc0\x7f", b"\0\0\x80\xbf"):
        body = scale + data[68:-8]
        check(refused(data[:64] + body + struct.pack("<I", decoder.crc32c(body)) + b"QEND"),
              name + ": a scale of bytes " + scale.hex())


def check_overflow():
    """Scales that a row cannot hold are an error of the encoder."""
    for rows, scale_f16 in (([[65520.0]], 1), ([[decoder.FLT_MAX]], 0)):
        try:
            # One bit: the unbiased scale of one coordinate is |x| / step, above |x|.
            encoder.encode_rows(rows, 1, 1, encoder.UNBIASED, scale_f16, 0, 1, 42)
            check(False, "a scale above the range is refused")
        except encoder.EncodeError:
            check(True, "")


# ---- Built programs --------------------------------------------------------------------------

def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode != 0:
        print("%s: exit code %d\n%s" % (" ".join(command), done.returncode,
                                        done.stdout.decode(errors="replace")))
    return done.returncode == 0


def check_make(program):
    with tempfile.TemporaryDirectory() as folder:
        check(run([program, folder]), program)
        for name in sorted(os.listdir(VECTORS)):
            path = os.path.join(folder, name)
            check(os.path.exists(path) and read(path) == read(VECTORS, name),
                  "%s: %s differs" % (program, name))
        check(len(os.listdir(folder)) == len(os.listdir(VECTORS)), program + ": other files")


def npy(data, rows, dim):
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (rows, dim)
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


def npy_data(data):
    return data[10 + struct.unpack_from("<H", data, 8)[0]:]


def check_cli(program, case):
    name = case["name"]
    with tempfile.TemporaryDirectory() as folder:
        source, coded, back = (os.path.join(folder, f) for f in ("in.npy", "out.qrows", "out.npy"))
        with open(source, "wb") as file:
            file.write(npy(read(VECTORS, name + ".in.f32"), case["rows"], case["dim"]))
        ok = run([program, "encode", source, coded, "--bits", str(case["bits"]),
                  "--scale-policy", case["policy"], "--scale", case["scale"],
                  "--search-level", str(case["search_level"]), "--rounds", str(case["rounds"]),
                  "--seed", str(case["seed"])])
        check(ok and read(coded) == read(VECTORS, name + ".qrows"), "%s: encode %s" % (program, name))
        ok = run([program, "decode", os.path.join(VECTORS, name + ".qrows"), back])
        check(ok and npy_data(read(back)) == read(VECTORS, name + ".out.f32"),
              "%s: decode %s" % (program, name))


def find(folders, name):
    found = []
    for folder in folders:
        for path, _, files in os.walk(folder):
            found += [os.path.join(path, f) for f in files
                      if f == name and os.access(os.path.join(path, f), os.X_OK)]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--make", action="append", default=[], metavar="GOLDEN_MAKE")
    parser.add_argument("--cli", action="append", default=[], metavar="QUASH")
    parser.add_argument("folders", nargs="*", metavar="BUILD_FOLDER")
    arguments = parser.parse_args()

    manifest = read_manifest()
    cases = manifest["rows"]
    check_values()
    check_tiles()
    check_manifest(cases, manifest["index"])
    for case in cases:
        check_case(case)
    for case in manifest["index"]:
        check_index_case(case)
    for name in ("02-edges-2b-2", "50-gauss-3b-16384"):
        check_damage(name)
    check_overflow()
    for program in arguments.make + find(arguments.folders, "golden_make"):
        check_make(program)
    for program in arguments.cli + find(arguments.folders, "quash"):
        for case in cases:
            check_cli(program, case)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
