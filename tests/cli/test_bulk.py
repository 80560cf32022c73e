# SPDX-License-Identifier: Apache-2.0
"""Files of many pieces: bytes, memory, failures in the middle, progress at a terminal. A piece has
32 MiB: 131072 rows of 64 binary32 numbers."""
import json
import os
import pty
import re
import resource
import select
import struct
import subprocess
import time

import harness
from harness import Case, floats, header, npy, vecs, wave

MIB = 1 << 20
PIECE_ROWS = 131072
BLOCK = floats(wave(1000, 64))


class Pieces(Case):
    def test_pieces_do_not_matter(self):
        """Rows of a file of three pieces are the rows they would be in files of one."""
        many = npy(header("<f4", "(300000, 64)"), BLOCK * 300)
        self.write("one.npy", npy(header("<f4", "(1000, 64)"), BLOCK))
        self.write("many.npy", many)
        for name in "one", "many":
            self.ok("encode", f"{name}.npy", f"{name}.qrows")
            self.ok("decode", f"{name}.qrows", f"{name}-out.npy")
        self.assertEqual(self.read("many.qrows")[64:-8], self.read("one.qrows")[64:-8] * 300)
        self.assertEqual(self.read("many-out.npy")[128:], self.read("one-out.npy")[128:] * 300)
        piped = self.quash("encode", "-", "-", "--format", "npy", stdin=many)
        self.assertEqual(piped.stdout, self.read("many.qrows"))

    def test_last_piece_full_or_not(self):
        for rows in PIECE_ROWS - 1, PIECE_ROWS, PIECE_ROWS + 1, 2 * PIECE_ROWS:
            data = (BLOCK * (rows // 1000 + 1))[:256 * rows]
            self.write("a.npy", npy(header("<f4", f"({rows}, 64)"), data))
            self.ok("encode", "a.npy", "a.qrows", "--bits", "1")
            self.ok("inspect", "a.qrows")
            self.ok("decode", "a.qrows", "b.npy", "--dtype", "f16")
            self.assertEqual(len(self.read("b.npy")), 128 + 128 * rows)

    def test_vecs(self):
        """A length that is known at the end, over pieces and the smaller parts they are read in."""
        block = vecs([struct.unpack_from("<64f", BLOCK, 256 * i) for i in range(1000)])
        self.write("a.npy", npy(header("<f4", "(150000, 64)"), BLOCK * 150))
        self.write("a.fvecs", block * 150)
        self.ok("encode", "a.npy", "a.qrows")
        self.ok("encode", "a.fvecs", "b.qrows")
        self.assertEqual(self.read("b.qrows"), self.read("a.qrows"))
        self.ok("encode", "-", "b.qrows", "--format", "fvecs", stdin=block * 150)
        self.assertEqual(self.read("b.qrows"), self.read("a.qrows"))
        piped = self.quash("encode", "-", "-", "--format", "fvecs", stdin=block * 150)
        self.assertEqual(piped.stdout, self.read("a.qrows"))
        self.assertEqual(self.files(), ["a.fvecs", "a.npy", "a.qrows", "b.qrows"])

    def test_first_failure_of_the_file(self):
        """Damage in a later piece is found while an earlier one is encoded, but not reported."""
        data = bytearray(BLOCK * 400)
        data[256 * 1000:256 * 1000 + 4] = floats([float("inf")])
        self.write("a.npy", npy(header("<f4", "(400000, 64)"), bytes(data)))
        late = npy(header("<f4", "(400001, 64)"), bytes(data))
        expected = "row 1000, column 0: found infinity, expected a finite number\n"
        for _ in range(3):
            result = self.quash("encode", "a.npy", "a.qrows")
            self.assertEqual((result.returncode, result.stderr.decode()),
                             (3, f"quash encode: a.npy: {expected}"))
            result = self.quash("encode", "-", "a.qrows", "--format", "npy", stdin=late)
            self.assertEqual((result.returncode, result.stderr.decode()),
                             (3, f"quash encode: <stdin>: {expected}"))
        self.assertEqual(self.files(), ["a.npy"])

    def test_failure_while_a_pipe_is_silent(self):
        """A failure ends the run although the next piece has not come yet."""
        bad = bytearray(BLOCK * 150)
        bad[0:4] = floats([float("nan")])
        for data, code in (BLOCK * 150, 1), (bytes(bad), 3):
            process = self.start(
                "encode", "-", "out.qrows", "--format", "npy", stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)))
            try:
                process.stdin.write(npy(header("<f4", "(1000000, 64)"), data))
                process.stdin.flush()
            except BrokenPipeError:  # it has ended already
                pass
            self.assertEqual(process.wait(timeout=60), code)
            self.assertEqual(self.files(), [])


class Memory(Case):
    def setUp(self):
        super().setUp()
        program = harness.QUASH.read_bytes()
        if b"__asan_init" in program or b"__tsan_init" in program:
            self.skipTest("a sanitizer takes more address space than there is")

    def test_file_beyond_the_limit(self):
        """All memory together, stacks and libraries too, is less than the file."""
        size = 512 * MIB
        rows = size // 8 // 1024
        head = npy(header("<f8", f"({rows}, 1024)"))
        with open(self.work / "big.npy", "wb") as file:  # zeros, and not on the disk
            file.write(head)
            file.truncate(len(head) + size)
        self.env["QUASH_THREADS"] = "2"  # a stack each

        def limit():
            resource.setrlimit(resource.RLIMIT_AS, (384 * MIB, 384 * MIB))
        for command in (["encode", "big.npy", "big.qrows"], ["decode", "big.qrows", "/dev/null"]):
            result = self.quash(*command, "--json", preexec_fn=limit)
            self.assertEqual((result.returncode, result.stderr), (0, b""))
            self.assertEqual(json.loads(result.stdout)["rows"], rows)
        self.assertEqual((self.work / "big.qrows").stat().st_size, 72 + rows * (4 + 512))

    def test_no_memory(self):
        self.write("a.npy", npy(header("<f4", "(131073, 64)"), (BLOCK * 132)[:256 * 131073]))
        result = self.quash(
            "encode", "a.npy", "a.qrows",
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (60 * MIB, 60 * MIB)))
        self.assertEqual((result.returncode, result.stderr.decode()),
                         (1, "quash encode: a.npy: out of memory\n"))
        self.assertEqual(self.files(), ["a.npy"])


class Progress(Case):
    def open_terminal(self, *args):
        """Starts quash with a terminal as standard error: the process and the terminal."""
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        process = self.start(*args, stdout=subprocess.PIPE, stderr=theirs)
        os.close(theirs)
        return process, ours

    @staticmethod
    def shown(terminal, until=None):
        """What appears on the terminal, to its end or until something of it matches."""
        text = b""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (until and re.search(until, text)):
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    text += os.read(terminal, 4096)
                except OSError:  # the other end is closed
                    break
        return text

    def feed(self, process, *parts):
        for part in parts:
            process.stdin.write(part)
            process.stdin.flush()

    def test_rate_and_time_left(self):
        """Nothing for a second, then a line, and nothing of it at the end."""
        data = npy(header("<f4", "(200000, 64)"), BLOCK * 200)
        process, terminal = self.open_terminal("encode", "-", "a.qrows", "--format", "npy")
        self.feed(process, data[:10000])
        time.sleep(1.1)
        self.feed(process, data[10000:150000 * 256])
        line = (rb"\r\x1b\[K131072 of 200000 rows \(66 %\), \d+/s, \d+\.\d MB/s, \d+ s left")
        first = self.shown(terminal, line)
        self.assertRegex(first, rb"\A" + line + rb"\Z")
        self.feed(process, data[150000 * 256:])
        process.stdin.close()
        self.assertEqual(process.wait(), 0)
        self.assertRegex(self.shown(terminal), rb"\r\x1b\[K\Z")
        self.assertIn(b"ratio", process.stdout.read())

    def test_unknown_length(self):
        data = self.read("data/sift/base.bvecs")
        process, terminal = self.open_terminal("encode", "-", "a.qrows", "--format", "bvecs")
        self.feed(process, data[:1000])
        time.sleep(1.1)
        self.feed(process, data[1000:])
        process.stdin.close()
        self.assertEqual(process.wait(), 0)
        self.assertRegex(self.shown(terminal),
                         rb"\A\r\x1b\[K4500 rows, \d+/s, \d+\.\d MB/s\r\x1b\[K\Z")

    def test_quiet(self):
        data = self.read("data/sift/base.bvecs")
        for option in [], ["--json"]:
            process, terminal = self.open_terminal("encode", "-", "a.qrows", "--format", "bvecs",
                                                   "--quiet", *option)
            self.feed(process, data[:1000])
            time.sleep(1.1)
            self.feed(process, data[1000:])
            process.stdin.close()
            self.assertEqual(process.wait(), 0)
            self.assertEqual(self.shown(terminal), b"")
            printed = process.stdout.read()
            self.assertEqual(json.loads(printed)["rows"] if option else printed,
                             4500 if option else b"")
        self.assertEqual(self.ok("decode", "a.qrows", "a.npy", "-q"), b"")

    def test_signal_erases_the_line(self):
        data = npy(header("<f4", "(200000, 64)"), BLOCK * 200)
        process, terminal = self.open_terminal("encode", "-", "a.qrows", "--format", "npy")
        self.feed(process, data[:10000])
        time.sleep(1.1)
        self.feed(process, data[10000:150000 * 256])
        self.shown(terminal, rb" s left")
        process.terminate()
        process.wait()
        self.assertEqual(self.shown(terminal), b"\r\x1b[K")
        self.assertEqual(self.files(), [])
