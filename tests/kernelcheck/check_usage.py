#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the command line of kernelcheck: options, exit codes, and that its JSON is JSON.

    python3 tests/kernelcheck/check_usage.py PROGRAM
"""
import json
import re
import subprocess
import sys
import unittest

PROGRAM = sys.argv[1]
BITS = "1", "2", "3", "4"


def run(*arguments):
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=100)


def listed(*arguments):
    """The names that --list prints, with the levels of each."""
    lines = run("--list", *arguments).stdout.splitlines()
    return {line.split()[0]: line.split()[1:] for line in lines}


class Usage(unittest.TestCase):
    def test_mistakes_exit_with_2_and_name_the_argument(self):
        for argument in ("--benchh", "multiply", "--cpu=sse2", "--cpu=", "--seed=x", "--seed=-1",
                         "--seed=18446744073709551616", "--seed=", "--json", "--function=fft"):
            result = run(argument)
            self.assertEqual(result.returncode, 2, argument)
            self.assertEqual(result.stdout, "")
            self.assertIn(argument.replace("--function=", ""), result.stderr)

    def test_help_names_every_option(self):
        result = run("--help")
        self.assertEqual((result.returncode, result.stderr), (0, ""))
        for option in ("--function=", "--cpu=", "--seed=", "--bench", "--json", "--list",
                       "--self-test", "--help", "examples:"):
            self.assertIn(option, result.stdout)

    def test_function_is_part_of_a_name_or_a_pattern(self):
        self.assertEqual(list(listed("--function=unpack")), ["unpack_" + b for b in BITS])
        self.assertEqual(list(listed("--function=pack_?")), ["pack_" + b for b in BITS])
        self.assertEqual(list(listed("--function=*_f16")),
                         ["load_f16", "store_f16", "find_nonfinite_f16"])
        self.assertTrue(all(levels[0] == "c" for levels in listed().values()))

    def test_seed_repeats_a_run(self):
        first = run("--function=store", "--cpu=c")
        seed = re.match(r"seed (\d+)\n", first.stdout).group(1)
        again = run("--function=store", "--cpu=c", "--seed=" + seed)
        self.assertEqual((first.returncode, again.stdout), (0, first.stdout))

    def test_a_run_that_compares_nothing_says_so(self):
        result = run("--function=store", "--cpu=c")
        self.assertEqual(result.returncode, 0)
        self.assertIn("NOTHING TO COMPARE", result.stdout)

    def test_a_level_of_another_machine_is_skipped(self):
        codes = {level: run("--cpu=" + level, "--function=multiply").returncode
                 for level in ("c", "avx2", "avx512", "neon", "dotprod")}
        self.assertEqual(codes["c"], 0)
        self.assertEqual(set(codes.values()), {0, 77})  # no machine has them all

    def test_bench_prints_one_json_document(self):
        result = run("--bench", "--json", "--function=multiply")
        self.assertEqual(result.returncode, 0, result.stderr)
        results = json.loads(result.stdout)["results"]
        levels = listed("--function=multiply")["multiply"]
        self.assertEqual({r["n"] for r in results if r["level"] == "c"}, {64, 128, 1536})
        for r in results:
            self.assertEqual(r["kernel"], "multiply")
            self.assertIn(r["level"], levels)
            self.assertGreater(r["ns"], 0)
            self.assertGreater(r["gb_per_s"], 0)
            self.assertGreater(r["speedup"], 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
