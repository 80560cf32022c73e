#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Encodes a .npy file of 20 GB and decodes the result, checking bytes and memory; no part of the
tests, since it takes minutes.

    python3 scripts/encode_large.py QUASH [--rows N] [--dim N] [--bits N] [--folder DIR]

QUASH is the program, for example build/release/quash. The input is sparse: all rows are zero and
take no room on the disk, but for some real ones in front, at the end and around the borders of
pieces. The output takes N * (4 + dim * bits / 8) bytes in DIR and is removed at the end. Prints one
JSON line per run: peak memory as the system counts it, seconds, rates. Exit code 1: a run failed, a
row is not what it is when encoded alone, or the peak is beyond 256 MiB.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time

PEAK_MAX = 256 << 20


def header(rows, dim):
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dim}), }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def run(*command):
    """Runs a command to its end; returns its output, seconds and peak memory in bytes."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {process.returncode}")
    return output, time.monotonic() - start, usage.ru_maxrss * 1024


def measure(what, peaks, *command):
    """Runs quash with --json and prints what it took."""
    output, seconds, peak = run(*command, "--json")
    values = json.loads(output)
    print(json.dumps({"run": what, "rows": values["rows"], "dim": values["dim"],
                      "bytes_in": values["bytes_in"], "bytes_out": values["bytes_out"],
                      "peak_mib": round(peak / 2**20, 1), "seconds": round(seconds, 1),
                      "rows_per_second": round(values["rows"] / seconds),
                      "mb_per_second": round(values["mb_per_second"], 1)}), flush=True)
    peaks.append(peak)


def write_input(path, rows, dim):
    """Writes the sparse file; returns the real rows by their numbers."""
    generator = random.Random(1)
    piece = (32 << 20) // (4 * dim)  # rows; the tool's own measure, so that borders are covered
    numbers = {0, rows // 2, rows - 1} | {min(rows - 1, piece * k + d) for k in (1, 2, 7)
                                         for d in (-1, 0)}
    real = {n: struct.pack(f"<{dim}f", *(generator.gauss(0, 1) for _ in range(dim)))
            for n in sorted(numbers)}
    head = header(rows, dim)
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + rows * dim * 4)
        for number, data in real.items():
            file.seek(len(head) + number * dim * 4)
            file.write(data)
    return real


def check_rows(quash, folder, encoded, real, rows, dim, bits):
    """Compares the real rows, and the zero rows beside them, with what they are in a file alone."""
    with open(folder / "few.npy", "wb") as file:
        file.write(header(len(real) + 1, dim) + b"".join(real.values()) + bytes(dim * 4))
    run(quash, "encode", str(folder / "few.npy"), str(folder / "few.qrows"), "--bits", bits)
    few = (folder / "few.qrows").read_bytes()[64:-8]
    size = len(few) // (len(real) + 1)
    expected = dict(zip(real, (few[i:i + size] for i in range(0, len(few), size))))
    zero = few[-size:]
    if encoded.stat().st_size != 72 + rows * size:
        sys.exit(f"{encoded}: found {encoded.stat().st_size} bytes, expected {72 + rows * size}")
    with open(encoded, "rb") as file:
        for number in sorted({n for r in real for n in (r - 1, r, r + 1) if 0 <= n < rows}):
            file.seek(64 + number * size)
            if file.read(size) != expected.get(number, zero):
                sys.exit(f"{encoded}: row {number} is not what it is when encoded alone")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("quash")
    parser.add_argument("--rows", type=int, default=3255208)
    parser.add_argument("--dim", type=int, default=1536)
    parser.add_argument("--bits", default="4")
    parser.add_argument("--folder", default=None, help="where there is room (default: TMPDIR)")
    options = parser.parse_args()
    quash = os.path.abspath(options.quash)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="quash-large-", dir=options.folder))
    peaks = []
    try:
        source, encoded = folder / "large.npy", folder / "large.qrows"
        real = write_input(source, options.rows, options.dim)
        measure("encode", peaks, quash, "encode", str(source), str(encoded), "--bits", options.bits)
        check_rows(quash, folder, encoded, real, options.rows, options.dim, options.bits)
        measure("decode to /dev/null", peaks, quash, "decode", str(encoded), "/dev/null")
    finally:
        shutil.rmtree(folder)
    if max(peaks) > PEAK_MAX:
        sys.exit(f"peak memory: found {max(peaks) >> 20} MiB, expected at most {PEAK_MAX >> 20}")


if __name__ == "__main__":
    main()
