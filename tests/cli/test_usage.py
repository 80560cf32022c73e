# SPDX-License-Identifier: Apache-2.0
"""Help, examples, mistakes on the command line."""
import json
import os
import re
import subprocess

import harness
from harness import COMMANDS, Case


class Help(Case):
    def test_main_help(self):
        self.compare("help.txt", self.transcript("--help"))
        for other in "-h", "help":
            self.assertEqual(self.ok(other), self.ok("--help"))

    def test_command_help(self):
        for command in COMMANDS:
            with self.subTest(command):
                self.compare(f"help_{command}.txt", self.transcript(command, "--help"))
                self.assertEqual(self.ok(command, "-h"), self.ok(command, "--help"))

    def test_help_wins_over_mistakes(self):
        self.assertEqual(self.ok("kv", "--bits", "9", "--help"), self.ok("kv", "--help"))

    def test_help_fits_a_terminal(self):
        for command in COMMANDS:
            for line in self.ok(command, "--help").decode().splitlines():
                self.assertLessEqual(len(line), 92, line)

    def examples(self, command):
        text = self.ok(command, "--help").decode().split("\nexamples:\n")[1]
        return text.replace("\\\n", " ").splitlines()

    def test_examples_run(self):
        for command in COMMANDS:
            lines = self.examples(command)
            self.assertGreater(len(lines), 0)
            for line in lines:
                with self.subTest(line.strip()):
                    result = subprocess.run(line, shell=True, cwd=self.work, env=self.env,
                                            capture_output=True, timeout=300)
                    self.assertEqual(result.returncode, 0, result.stderr)

    def test_version(self):
        version = self.ok("--version").decode()
        self.assertRegex(version, r"\Aquash \d+\.\d+\.\d+\n\Z")
        number = version.split()[1]
        self.assertEqual(self.ok("version").decode(),
                         f"version  {number}\ncontext  quash {number} cpu=c workers=2\n")
        self.assertEqual(json.loads(self.ok("version", "--json")),
                         {"command": "version", "version": number,
                          "context": f"quash {number} cpu=c workers=2"})


    def test_every_cpu_works_unless_told_otherwise(self):
        for setting in None, "", "1", "7":
            self.env.pop("QUASH_THREADS", None)
            if setting is not None:
                self.env["QUASH_THREADS"] = setting
            workers = int(setting) if setting else len(os.sched_getaffinity(0))
            self.assertRegex(self.ok("version").decode(), f" workers={workers}\n")


class Mistakes(Case):
    def test_mistakes(self):
        sift = "data/sift/base.bvecs"
        both = "--base", sift, "--queries", "data/sift/queries.bvecs"
        lines = [
            (), ("encod",), ("frobnicate",), ("--verison",), ("-x",),
            ("encode",), ("encode", "a.npy"), ("encode", "a.npy", "b", "c"),
            ("encode", "--bit", "2"), ("encode", "--frobnicate"), ("encode", "-x"),
            ("encode", "--bits"), ("encode", "--bits", "5"), ("encode", "--bits=0"),
            ("encode", "--bits", "2x"), ("encode", "-b", "99999999999"), ("encode", "--bits", ""),
            ("encode", "--json=1"), ("encode", "--seed", "-1"),
            ("encode", "--seed", "18446744073709551616"),
            ("encode", "--scale-policy", "best"), ("encode", "--format", "csv"),
            ("encode", "a.csv", "b.qrows"), ("encode", "-", "b.qrows"), ("encode", "a", "b"),
            ("decode", "a.qrows"), ("decode", "a", "b", "--dtype", "f64"),
            ("inspect",), ("inspect", "a.csv"), ("inspect", "a", "b"),
            ("kv",), ("kv", "data/kv-smollm2", "--keys", "k.npy"), ("kv", "--keys", "k.npy"),
            ("kv", "data/kv-smollm2", "--bits", "2,5"), ("kv", "data/kv-smollm2", "--bits", "3,3"),
            ("kv", "data/kv-smollm2", "--bits", "3,"),
            ("kv", "data/kv-smollm2", "--key-bits", "3"),
            ("kv", "data/kv-smollm2", "--bits", "2", "--key-bits", "3", "--value-bits", "3"),
            ("search",), ("search", *both, "x"), ("search", *both, "--metric", "l1"),
            ("search", *both, "-k", "0"), ("search", *both, "--seeds", "0"),
            ("version", "x"),
        ]
        self.compare("mistakes.txt", "\n".join(self.transcript(*line) for line in lines))
        for line in lines:
            self.assertEqual(self.quash(*line).returncode, 2, line)
        self.assertEqual(self.files(), [])

    def test_every_form_of_an_option(self):
        data = "data/kv-smollm2/layer00.k.npy"
        forms = [("--bits", "2"), ("--bits=2",), ("-b", "2"), ("-b2",)]
        outputs = set()
        for i, form in enumerate(forms):
            self.ok("encode", *form, data, f"{i}.qrows")
            self.ok("encode", data, f"{i}.qrows", *form)
            outputs.add(self.read(f"{i}.qrows"))
        self.assertEqual(len(outputs), 1)
        self.ok("encode", "--bits", "4", "--bits", "2", data, "last.qrows")
        self.assertIn(self.read("last.qrows"), outputs)

    def test_two_dashes_end_options(self):
        self.write("--bits.npy", harness.npy(harness.header(), harness.floats(range(1, 7))))
        self.ok("encode", "--bits", "2", "--", "--bits.npy", "-out.qrows")
        self.assertEqual(self.files(), ["--bits.npy", "-out.qrows"])

    def test_unknown_cpu(self):
        self.env["QUASH_CPU"] = "abacus"
        result = self.quash("version")
        self.assertEqual((result.returncode, result.stdout), (2, b""))
        self.assertRegex(result.stderr.decode(), r"\Aquash version: .*abacus.*\n\Z")

    def test_unusable_numbers_of_threads(self):
        for text in "0", "-1", "1025", "two", "2 ":
            self.env["QUASH_THREADS"] = text
            result = self.quash("version")
            self.assertEqual((result.returncode, result.stdout), (2, b""))
            self.assertEqual(result.stderr.decode(), "quash version: QUASH_THREADS is "
                                                     f"\"{text}\", expected 1..1024\n")

    def test_control_characters_are_not_printed(self):
        result = self.quash("inspect", "a\x1b[31m\n.npy")
        self.assertEqual(result.stderr.decode(),
                         "quash inspect: a?[31m?.npy: cannot open: No such file or directory\n")

    def test_json_escapes_names(self):
        # Names reach JSON through the layers of kv.
        name = 'k"\\\n\t\udcff\u00e9'
        files = []
        for kind in "kv":
            data = harness.npy(harness.header("<f4", "(1, 2, 8)"), harness.floats(range(1, 17)))
            files.append(f"{name}.{kind}.npy")
            self.write(files[-1], data)
        text = self.ok("kv", "--keys", files[0], "--values", files[1], "--json").decode()
        layers = json.loads(text)["layers"]
        self.assertEqual({layer["layer"] for layer in layers}, {'k"\\\n\t\ufffd\u00e9'})
        self.assertIsNone(re.search(r"NaN|nan|inf", text))
