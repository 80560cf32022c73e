# SPDX-License-Identifier: Apache-2.0
"""Round trips through files and pipes, and what happens to outputs when something goes wrong."""
import errno
import os
import resource
import signal
import struct
import subprocess
import time
import unittest

from harness import Case, floats, header, npy, parse_npy, vecs, wave

KEYS = "data/kv-smollm2/layer14.k.npy"
SIFT = "data/sift/base.bvecs"


class RoundTrips(Case):
    def test_files_and_pipes_agree(self):
        for source, format_name in (KEYS, "npy"), (SIFT, "bvecs"):
            data = self.read(source)
            self.ok("encode", source, "file.qrows", "--bits", "3")
            result = self.quash("encode", "-", "-", "--format", format_name, "--bits", "3",
                                stdin=data)
            self.assertEqual(result.returncode, 0)
            self.assertEqual(result.stdout, self.read("file.qrows"))
            self.assertIn(b"ratio", result.stderr)  # figures, where the codes are not
            self.ok("decode", "file.qrows", "file.npy")
            decoded = self.quash("decode", "-", "-", stdin=result.stdout)
            self.assertEqual(decoded.returncode, 0)
            self.assertEqual(decoded.stdout, self.read("file.npy"))
        self.assertEqual(self.files(), ["file.npy", "file.qrows"])

    def test_a_slow_pipe(self):
        data = self.read(KEYS)
        self.ok("encode", KEYS, "file.qrows")
        process = self.start("encode", "-", "-", "--format", "npy", stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
        for at in range(0, 5000, 777):
            process.stdin.write(data[at:at + 777] if at + 777 < 5000 else data[at:])
            process.stdin.flush()
            time.sleep(0.01)
        process.stdin.close()
        self.assertEqual(process.stdout.read(), self.read("file.qrows"))
        self.assertEqual(process.wait(), 0)

    def test_error_of_every_setting(self):
        rows, dim = 200, 64
        values = wave(rows, dim)
        self.write("a.npy", npy(header("<f4", f"({rows}, {dim})"), floats(values)))
        energy = sum(x * x for x in values)
        for bits, most in (1, 0.40), (2, 0.13), (3, 0.04), (4, 0.012):
            for policy in "least-squares", "norm", "raw-norm":
                # The raw norm fits no step size but the first.
                level = 0 if policy == "raw-norm" else 2
                for scale in "f32", "f16":
                    self.ok("encode", "a.npy", "a.qrows", "--bits", bits, "--scale-policy", policy,
                            "--scale", scale, "--rounds", "1" if scale == "f16" else "2",
                            "--search-level", level, "--seed", "7")
                    self.ok("decode", "a.qrows", "b.npy")
                    text, decoded = parse_npy(self.read("b.npy"))
                    self.assertEqual(text, "{'descr': '<f4', 'fortran_order': False, "
                                           f"'shape': ({rows}, {dim}), }}")
                    error = sum((x - y) ** 2 for x, y in zip(values, decoded)) / energy
                    self.assertLess(error, most * (1 if policy == "least-squares" else 1.6))

    def test_kinds_of_npy(self):
        values = [float(i % 7 - 3) for i in range(48)]
        plain = npy(header("<f4", "(4, 12)"), floats(values))
        same = {
            "f8": npy(header("<f8", "(4, 12)"), struct.pack("<48d", *values)),
            "f2": npy(header("<f2", "(4, 12)"), struct.pack("<48e", *values)),
            "i1": npy(header("|i1", "(4, 12)"), struct.pack("<48b", *map(int, values))),
            "3d": npy(header("<f4", "(2, 2, 12)"), floats(values)),
            "4d": npy(header("<f4", "(2, 1, 2, 12)"), floats(values)),
            "version-2": npy(header("<f4", "(4, 12)"), floats(values), version=(2, 0)),
            "version-3": npy(header("<f4", "(4, 12)"), floats(values), version=(3, 0)),
            "python-2": npy(header("<f4", "(4L, 12L)"), floats(values)),
            "spacing": npy('{"shape":(4,12),\n\t"descr" :"<f4" , "fortran_order":False}',
                           floats(values)),
        }
        self.write("plain.npy", plain)
        self.ok("encode", "plain.npy", "plain.qrows")
        for name, data in same.items():
            with self.subTest(name):
                self.write("other.npy", data)
                self.ok("encode", "other.npy", "other.qrows")
                self.assertEqual(self.read("other.qrows"), self.read("plain.qrows"))
        self.write("a.fvecs", vecs([values[i:i + 12] for i in range(0, 48, 12)]))
        self.ok("encode", "a.fvecs", "other.qrows")
        self.assertEqual(self.read("other.qrows"), self.read("plain.qrows"))
        # One dimension is one row.
        self.write("row.npy", npy(header("<f4", "(48,)"), floats(values)))
        self.ok("encode", "row.npy", "row.qrows")
        self.ok("decode", "row.qrows", "row-out.npy")
        self.assertIn("'shape': (1, 48)", parse_npy(self.read("row-out.npy"))[0])

    def test_no_rows(self):
        self.write("a.npy", npy(header("<f4", "(3, 0, 5)")))
        self.ok("encode", "a.npy", "a.qrows")
        self.ok("decode", "a.qrows", "b.npy")
        text, decoded = parse_npy(self.read("b.npy"))
        self.assertEqual((text.endswith("'shape': (0, 5), }"), decoded), (True, ()))
        self.ok("inspect", "b.npy")
        self.ok("inspect", "a.qrows", "--json")

    def test_f16_is_rounded_f32(self):
        self.ok("encode", KEYS, "a.qrows")
        self.ok("decode", "a.qrows", "32.npy")
        self.ok("decode", "a.qrows", "16.npy", "--dtype", "f16")
        wide = parse_npy(self.read("32.npy"))[1]
        text, narrow = parse_npy(self.read("16.npy"))
        self.assertIn("'<f2'", text)
        self.assertEqual(struct.pack(f"<{len(wide)}e", *wide),
                         struct.pack(f"<{len(narrow)}e", *narrow))


class Outputs(Case):
    def test_full_device(self):
        self.compare("full_device.txt", "\n".join([
            self.transcript("encode", SIFT, "/dev/full"),
            self.transcript("encode", KEYS, "/dev/full", "--json")]))
        self.ok("encode", KEYS, "a.qrows")
        result = self.quash("decode", "a.qrows", "/dev/full")
        self.assertEqual(result.returncode, 1)

    def test_full_device_as_stdout(self):
        for command in ["inspect", KEYS], ["--help"], ["version"], ["encode", KEYS, "a.qrows"]:
            with open("/dev/full", "wb") as full:
                result = self.quash(*command, stdout=full)
            self.assertEqual(result.returncode, 1)
            self.assertIn(b"<stdout>: cannot write: No space left on device\n", result.stderr)

    def test_file_beyond_the_limit(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (100000, 100000))
        self.write("old.qrows", b"old")
        for name in "new.qrows", "old.qrows":
            result = self.quash("encode", SIFT, name, preexec_fn=limit)
            self.assertEqual(result.returncode, 1)
            self.assertEqual(result.stderr.decode(), f"quash encode: {name}: cannot write: "
                                                     f"{os.strerror(errno.EFBIG)}\n")
        self.assertEqual(self.files(), ["old.qrows"])
        self.assertEqual(self.read("old.qrows"), b"old")

    def test_closed_pipe(self):
        self.ok("encode", SIFT, "a.qrows")
        for command in (["decode", "a.qrows", "-"], ["encode", SIFT, "-"]):
            process = self.start(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.assertEqual(len(process.stdout.read(10)), 10)
            process.stdout.close()
            self.assertEqual(process.stderr.read().decode(),
                             f"quash {command[0]}: <stdout>: cannot write: Broken pipe\n")
            self.assertEqual(process.wait(), 1)
        # A report may be cut short without a word, but not without an exit code.
        ours, theirs = os.pipe()
        os.close(ours)
        result = self.quash("inspect", "a.qrows", stdout=theirs)
        os.close(theirs)
        self.assertEqual((result.returncode, result.stderr), (1, b""))

    def wait_for_temporary(self, process):
        deadline = time.monotonic() + 30
        name = f"out.qrows.{process.pid}.part"
        while time.monotonic() < deadline:
            if name in self.files() and (self.work / name).stat().st_size > 0:
                return name
            self.assertIsNone(process.poll())
            time.sleep(0.01)
        self.fail("no temporary file appeared")

    def stopped(self, number, old):
        """Sends a signal while out.qrows is written; returns the names that are left."""
        if old is not None:
            self.write("out.qrows", old)
        process = self.start(  # SIGQUIT would leave a core
            "encode", "-", "out.qrows", "--format", "npy", stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)))
        process.stdin.write(self.read(KEYS)[:1000])
        process.stdin.flush()
        name = self.wait_for_temporary(process)
        process.send_signal(number)
        self.assertEqual(process.wait(), -number)
        self.assertEqual(process.stderr.read(), b"")
        if old is not None:
            self.assertEqual(self.read("out.qrows"), old)
            (self.work / "out.qrows").unlink()
        return [other.replace(name, "PART") for other in self.files()]

    def test_signals(self):
        for number in signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT:
            for old in None, b"old":
                with self.subTest(number=number, old=old):
                    self.assertEqual(self.stopped(number, old), [])

    def test_kill(self):
        """Not even SIGKILL leaves half a file under the final name; what it leaves harms nobody."""
        for old in None, b"old":
            self.assertEqual(self.stopped(signal.SIGKILL, old), ["PART"])
            self.ok("encode", KEYS, "out.qrows")
            self.assertEqual(len(self.files()), 2)
            for path in self.work.glob("out.qrows*"):
                path.unlink()

    def test_signals_at_any_time(self):
        """The old file or the new one, and nothing else."""
        self.ok("encode", SIFT, "new.qrows")
        new = self.read("new.qrows")
        seen = set()
        start = time.monotonic()
        self.ok("encode", SIFT, "new.qrows")
        whole = time.monotonic() - start
        for i in range(40):
            self.write("out.qrows", b"old")
            process = self.start("encode", SIFT, "out.qrows", stdout=subprocess.DEVNULL)
            time.sleep(whole * 1.2 * i / 40)
            process.send_signal(signal.SIGTERM)
            self.assertIn(process.wait(), (0, -signal.SIGTERM))
            self.assertEqual(self.files(), ["new.qrows", "out.qrows"])
            self.assertIn(self.read("out.qrows"), (b"old", new))
            seen.add(self.read("out.qrows"))
        self.assertIn(b"old", seen)

    def test_ignored_signal_stays_ignored(self):
        process = self.start("encode", "-", "out.qrows", "--format", "npy",
                             stdout=subprocess.DEVNULL,
                             preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        data = self.read(KEYS)
        process.stdin.write(data[:1000])
        process.stdin.flush()
        self.wait_for_temporary(process)
        process.send_signal(signal.SIGHUP)
        process.stdin.write(data[1000:])
        process.stdin.close()
        self.assertEqual(process.wait(), 0)
        self.assertEqual(self.files(), ["out.qrows"])

    @unittest.skipIf(os.geteuid() == 0, "root may write anywhere")
    def test_read_only_directory(self):
        folder = self.work / "locked"
        folder.mkdir()
        folder.chmod(0o555)
        result = self.quash("encode", KEYS, "locked/out.qrows")
        folder.chmod(0o755)
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr.decode(), "quash encode: locked/out.qrows: cannot create a "
                                                 "file in its directory: Permission denied\n")
        self.assertEqual(list(folder.iterdir()), [])

    def test_permissions(self):
        for mask, mode in (0o027, 0o640), (0o022, 0o644), (0o077, 0o600):
            old_mask = os.umask(mask)
            try:
                self.ok("encode", KEYS, f"{mode}.qrows")
            finally:
                os.umask(old_mask)
            self.assertEqual((self.work / f"{mode}.qrows").stat().st_mode & 0o777, mode)
        self.write("old.qrows", b"")
        (self.work / "old.qrows").chmod(0o604)
        self.ok("encode", KEYS, "old.qrows")
        self.assertEqual((self.work / "old.qrows").stat().st_mode & 0o777, 0o604)

    def test_links(self):
        """A link stays, whether what it leads to is there already or not."""
        self.ok("encode", KEYS, "plain.qrows")
        (self.work / "folder").mkdir()
        (self.work / "first.qrows").symlink_to("folder/second.qrows")
        (self.work / "folder" / "second.qrows").symlink_to("../target")
        for old in None, b"old":
            if old is not None:
                self.write("target", old)
            self.ok("encode", KEYS, "first.qrows")
            self.assertTrue((self.work / "first.qrows").is_symlink())
            self.assertTrue((self.work / "folder" / "second.qrows").is_symlink())
            self.assertFalse((self.work / "target").is_symlink())
            self.assertEqual(self.read("target"), self.read("plain.qrows"))
        self.assertEqual(self.files(), ["first.qrows", "folder", "plain.qrows", "target"])
        (self.work / "a").symlink_to("b")
        (self.work / "b").symlink_to("a")
        result = self.quash("encode", KEYS, "a")
        self.assertEqual((result.returncode, result.stderr.decode()),
                         (1, "quash encode: a: cannot resolve: "
                             "Too many levels of symbolic links\n"))

    def test_long_name(self):
        name = "n" * 255
        self.ok("encode", KEYS, name)
        self.assertEqual(self.files(), [name])

    def test_descriptors(self):
        """What is open already is written where it stands, and never replaced."""
        self.ok("encode", KEYS, "plain.qrows")
        for name in "-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1":
            with self.subTest(name):
                self.write("out.qrows", b"before")
                inode = (self.work / "out.qrows").stat().st_ino
                with open(self.work / "out.qrows", "ab") as out:
                    result = self.quash("encode", KEYS, name, stdout=out)
                self.assertEqual(result.returncode, 0)
                self.assertIn(b"ratio", result.stderr)
                self.assertEqual(self.read("out.qrows"), b"before" + self.read("plain.qrows"))
                self.assertEqual((self.work / "out.qrows").stat().st_ino, inode)
        result = self.quash("encode", KEYS, "/dev/fd/77")
        self.assertEqual((result.returncode, result.stderr.decode()),
                         (1, "quash encode: /dev/fd/77: cannot open: Bad file descriptor\n"))
        os.mkfifo(self.work / "fifo")
        with subprocess.Popen(["cat", "fifo"], cwd=self.work, stdout=subprocess.PIPE) as reader:
            self.ok("encode", KEYS, "fifo")
            self.assertEqual(reader.stdout.read(), self.read("plain.qrows"))
        self.assertEqual(self.files(), ["fifo", "out.qrows", "plain.qrows"])

    def test_same_file(self):
        self.write("a.npy", npy(header(), floats(range(1, 7))))
        (self.work / "b.npy").hardlink_to(self.work / "a.npy")
        before = self.read("a.npy")
        for out in "a.npy", "b.npy", "./a.npy":
            result = self.quash("encode", "a.npy", out)
            self.assertEqual((result.returncode, result.stderr.decode()),
                             (2, f"quash encode: {out}: input and output are the same file\n"))
        with open(self.work / "a.npy", "ab") as out:
            result = self.quash("encode", "a.npy", "-", stdout=out)
        self.assertEqual((result.returncode, result.stderr.decode()),
                         (2, "quash encode: <stdout>: input and output are the same file\n"))
        self.assertEqual(self.read("a.npy"), before)

    def test_full_disk(self):
        """A file system of 200 kB, in a name space of its own, for an output of 306 kB."""
        self.ok("encode", SIFT, "whole.qrows")
        (self.work / "disk").mkdir()
        script = ("mount -t tmpfs -o size=200k tmpfs disk || exit 77\n"
                  "printf old > disk/old.qrows\n"
                  "for name in new old; do $QUASH encode $SIFT disk/$name.qrows; echo $?; done\n"
                  "$QUASH decode whole.qrows disk/new.npy; echo $?; ls -A disk; cat disk/old.qrows")
        command = "unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script
        try:
            result = subprocess.run(command, cwd=self.work, capture_output=True, timeout=120,
                                    env=dict(self.env, QUASH=self.dir / "bin" / "quash", SIFT=SIFT))
        except FileNotFoundError:
            self.skipTest("no unshare")
        if result.stdout == b"":
            self.skipTest("no mount in a name space: " + result.stderr.decode())
        self.assertEqual(result.stdout, b"1\n1\n1\nold.qrows\nold")
        self.assertEqual(result.stderr.decode().count("cannot write: No space left on device\n"), 3)

    def test_no_room_for_the_spool(self):
        """Only a pipe needs it: a file gets its header at the end."""
        self.ok("encode", SIFT, "plain.qrows")
        self.env["TMPDIR"] = str(self.dir / "none")
        self.ok("encode", "-", "out.qrows", "--format", "bvecs", stdin=self.read(SIFT))
        self.assertEqual(self.read("out.qrows"), self.read("plain.qrows"))
        result = self.quash("encode", "-", "-", "--format", "bvecs", stdin=self.read(SIFT))
        self.assertEqual((result.returncode, result.stdout), (1, b""))
        self.assertIn(b"cannot create a temporary file", result.stderr)
