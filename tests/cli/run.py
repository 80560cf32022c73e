# SPDX-License-Identifier: Apache-2.0
"""Tests of the command-line tool from outside: exact output, exit codes, files left behind.

    python3 tests/cli/run.py QUASH [DATA] [--update] [NAME...]

QUASH is the program, DATA the repository's data/ (found by itself). Texts are compared with the
files in expected/; --update writes those instead. NAME runs only the tests that contain it. All
runs use QUASH_CPU=c, so that floating-point figures are the same on every machine, and two threads.
"""
import argparse
import pathlib
import sys
import unittest

import harness
import test_bad_input
import test_bulk
import test_figures
import test_files
import test_man
import test_usage


def select(suite, names):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from select(test, names)
        elif not names or any(name in test.id() for name in names):
            yield test


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("quash", type=pathlib.Path)
    parser.add_argument("data", type=pathlib.Path, nargs="?",
                        default=pathlib.Path(__file__).resolve().parents[2] / "data")
    parser.add_argument("--update", action="store_true")
    parser.add_argument("-k", dest="names", action="append", metavar="NAME",
                        help="run only tests whose name contains this")
    options = parser.parse_args()
    harness.QUASH = options.quash.resolve()
    harness.DATA = options.data.resolve()
    harness.UPDATE = options.update
    for path in harness.QUASH, harness.DATA:
        if not path.exists():
            sys.exit(f"{path}: not found")
    loader = unittest.TestLoader()
    modules = (test_usage, test_man, test_files, test_bad_input, test_bulk, test_figures)
    suite = unittest.TestSuite(select(map(loader.loadTestsFromModule, modules), options.names))
    if suite.countTestCases() == 0:
        sys.exit("no test has such a name")
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    sys.exit(0 if result.wasSuccessful() else 1)


if __name__ == "__main__":
    main()
