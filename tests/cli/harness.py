# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command-line tool share: running it, comparing, making input files."""
import difflib
import os
import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

QUASH = DATA = None  # set by run.py
UPDATE = False
EXPECTED = pathlib.Path(__file__).resolve().parent / "expected"
COMMANDS = "encode", "decode", "inspect", "kv", "search", "theory", "bench", "version"


class Case(unittest.TestCase):
    """Each test has an empty folder of its own with data/, and runs `quash` in it."""

    maxDiff = None

    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="quash-cli-"))
        self.addCleanup(shutil.rmtree, self.dir)
        (self.dir / "data").symlink_to(DATA)
        (self.dir / "bin").mkdir()
        (self.dir / "bin" / "quash").symlink_to(QUASH)
        (self.dir / "tmp").mkdir()
        self.work = self.dir / "work"
        self.work.mkdir()
        (self.work / "data").symlink_to(DATA)
        self.env = dict(os.environ, QUASH_CPU="c", QUASH_THREADS="2", LC_ALL="C",
                        TMPDIR=str(self.dir / "tmp"),
                        PATH=f"{self.dir / 'bin'}:{os.environ.get('PATH', '')}")

    def quash(self, *args, stdin=b"", **more):
        """Runs quash to its end; the result has returncode, stdout, stderr (bytes)."""
        more.setdefault("stdout", subprocess.PIPE)
        return subprocess.run(["quash", *map(str, args)], executable=QUASH, cwd=self.work,
                              env=self.env, input=stdin, stderr=subprocess.PIPE, timeout=120,
                              **more)

    def start(self, *args, **more):
        """Starts quash and returns the process, which ends with the test."""
        process = subprocess.Popen(["quash", *map(str, args)], executable=QUASH, cwd=self.work,
                                   env=self.env, stdin=subprocess.PIPE, **more)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        process.kill()
        for stream in process.stdin, process.stdout, process.stderr:
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass
        process.wait()

    def ok(self, *args, stdin=b""):
        """Runs quash, which must succeed without a word on stderr; returns stdout."""
        result = self.quash(*args, stdin=stdin)
        self.assertEqual((result.returncode, result.stderr), (0, b""), args)
        return result.stdout

    def write(self, name, data):
        (self.work / name).write_bytes(data)
        return name

    def read(self, name):
        return (self.work / name).read_bytes()

    def files(self):
        """Names in the working folder, but data, and in TMPDIR."""
        names = [entry.name for entry in self.work.iterdir() if entry.name != "data"]
        return sorted(names + ["tmp/" + entry.name for entry in (self.dir / "tmp").iterdir()])

    def transcript(self, *args, stdin=b""):
        """One run as text: the command line, its exit code and what it printed."""
        result = self.quash(*args, stdin=stdin)
        text = f"$ quash {' '.join(map(str, args))}\nexit {result.returncode}\n"
        for name in "stdout", "stderr":
            printed = getattr(result, name).decode()
            if printed:
                text += f"--- {name}\n{printed}"
        return text

    def compare(self, name, text):
        """Compares text with expected/name, or writes it there."""
        path = EXPECTED / name
        if UPDATE:
            EXPECTED.mkdir(exist_ok=True)
            path.write_text(text)
            return
        if not path.exists():
            self.fail(f"expected/{name} is missing; --update writes it")
        expected = path.read_text()
        if expected != text:
            lines = difflib.unified_diff(expected.splitlines(), text.splitlines(),
                                         f"expected/{name}", "found", lineterm="")
            self.fail("\n".join(lines))


def header(descr="<f4", shape="(2, 3)", order="False"):
    return f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"


def npy(text, data=b"", version=(1, 0)):
    """A .npy file with a header of this text."""
    text = text.encode() if isinstance(text, str) else text
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    size = struct.pack("<H" if version[0] == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + size + text + data


def floats(values):
    return struct.pack(f"<{len(values)}f", *values)


def vecs(rows, kind="f"):
    """A .fvecs (kind f) or .bvecs (B) file."""
    return b"".join(struct.pack(f"<i{len(row)}{kind}", len(row), *row) for row in rows)


def parse_npy(data):
    """Header text and numbers of a file written by quash: f32 or f16, version 1.0."""
    assert data[:8] == b"\x93NUMPY\x01\x00"
    length = struct.unpack("<H", data[8:10])[0]
    assert (10 + length) % 64 == 0
    text = data[10:10 + length].decode()
    assert text.endswith("\n")
    code = "e" if "'<f2'" in text else "f"
    body = data[10 + length:]
    return text.strip(), struct.unpack(f"<{len(body) // struct.calcsize(code)}{code}", body)


def crc32c(data):
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def wave(rows, dim):
    """Numbers without a pattern that matters, the same everywhere: rows of dim."""
    state = 1
    values = []
    for _ in range(rows * dim):
        state = (state * 1103515245 + 12345) % 2**31
        values.append((state >> 8) / 2**22 - 1.0)
    return values
