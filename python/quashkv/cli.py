# SPDX-License-Identifier: Apache-2.0
"""The command `quashkv`: what this package is and runs on, and benchmarks.

Exit codes, as those of the tool `quash`: 0 success, 1 failure of input or output or of memory, 2
mistake on the command line, 3 input that cannot be used.
"""
from __future__ import annotations

import argparse
import os
import sys
from typing import Any, Sequence

from . import __version__, describe, devices
from .bench import latency, plot, quality, search
from .bench.report import CommandError, Report, text_width

EXIT_FAILURE, EXIT_USAGE, EXIT_INPUT = 1, 2, 3

BENCHES = {
    "quality": (quality, "error, cosine and size of quantizers and caches, beside theory"),
    "search": (search, "recall, time and size of a compressed vector index"),
    "latency": (latency, "attention on a compressed cache, beside NumPy and torch on float32"),
}

OVERVIEW = """\
quashkv {version}: vectors and KV caches at 1-4 bits per coordinate, computed on as they are
library: {library}
devices: {devices}

commands (each has --help with examples):
{commands}

The tool `quash`, which comes with this package, encodes files and measures captured caches.
"""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=text_width())


def overview() -> str:
    """What `quashkv` alone prints."""
    commands = "\n".join(f"  quashkv bench {name:8} {what}" for name, (_, what) in BENCHES.items())
    return OVERVIEW.format(version=__version__, library=describe(), devices=", ".join(devices()),
                           commands=commands)


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quashkv", formatter_class=_Formatter,
        description="Vectors and KV caches at 1-4 bits per coordinate, computed on as they are.\n"
                    "Without a command: version, CPU level, devices and the list of commands.",
        epilog="exit codes: 0 success, 1 failure of input, output or memory, 2 mistake on the\n"
               "command line, 3 input that cannot be used")
    parser.add_argument("--version", action="version", version=f"quashkv {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    bench = commands.add_parser("bench", help="measure on this machine", formatter_class=_Formatter,
                                description="Measures on this machine.")
    benches = bench.add_subparsers(title="benchmarks", metavar="NAME", required=True, dest="name")
    for name, (module, what) in BENCHES.items():
        one = benches.add_parser(name, help=what, formatter_class=_Formatter,
                                 description=module.DESCRIPTION,
                                 epilog=f"examples:\n{module.EXAMPLES}")
        module.add_arguments(one)
        one.add_argument("--seed", type=natural, default=42, metavar="N",
                         help="of data and rotations (default 42)")
        one.add_argument("--json", metavar="FILE",
                         help="write the figures as JSON too; -: to the output, in place of tables")
        one.add_argument("--plot", metavar="FILE.png",
                         help="draw them (needs matplotlib: pip install 'quashkv[bench]')")
        one.set_defaults(run=module.run)
    return parser


def natural(text: str) -> int:
    """The type of arguments that are integers from 0 on."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is below 0")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code. argv: without the name; None: sys.argv."""
    options = make_parser().parse_args(argv)
    try:
        if options.command is None:
            sys.stdout.write(overview())
        else:
            _bench(options)
        sys.stdout.flush()
    except CommandError as error:
        return _fail(error, error.exit_code)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    except (OSError, MemoryError, ImportError) as error:
        return _fail(error, EXIT_FAILURE)
    except (ValueError, TypeError) as error:
        return _fail(error, EXIT_INPUT)
    except KeyboardInterrupt:
        return 130
    return 0


def _bench(options: Any) -> None:
    if options.plot:
        plot.require()  # before the work: a missing matplotlib is said at once
    report: Report = options.run(options)
    if options.json != "-":
        sys.stdout.write(report.text())
    if options.json:
        report.write_json(options.json)
    if options.plot:
        plot.draw(report, options.plot)


def _fail(error: BaseException, code: int) -> int:
    print(f"quashkv: {str(error) or type(error).__name__}", file=sys.stderr)
    return code
