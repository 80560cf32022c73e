# SPDX-License-Identifier: Apache-2.0
"""Figures for a person (aligned text) and for a program (JSON), from one description."""
from __future__ import annotations

import json
import math
import os
import platform
import shutil
import sys
import textwrap
import time
from dataclasses import dataclass, field
from typing import Any, Iterable, Iterator, TypeVar

import numpy as np

from .. import __version__, describe

NOTE_COLUMNS = 100

Value = Any  # str, int, float or None
_Item = TypeVar("_Item")


class CommandError(Exception):
    """Ends a command with a message and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class Column:
    """key: in JSON. title: head of the column, lines separated by newlines. digits: decimals of its
    numbers; None: text."""
    key: str
    title: str
    digits: int | None = None

    def show(self, value: Value) -> str:
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return "-"
        return str(value) if self.digits is None else f"{value:.{self.digits}f}"


@dataclass
class Plot:
    """What to draw of a table: y columns over the column x, one line for each value of `by`."""
    x: str
    y: list[str]
    by: str | None = None
    logarithmic: bool = False


@dataclass
class Table:
    """name: in JSON. title: one line above. notes: below, each wrapped."""
    name: str
    title: str
    columns: list[Column]
    rows: list[dict[str, Value]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    plot: Plot | None = None

    def add(self, **values: Value) -> None:
        """A row. A column left out has no value there."""
        unknown = set(values) - {column.key for column in self.columns}
        assert not unknown, unknown
        self.rows.append(values)

    def text(self) -> str:
        heads = [column.title.split("\n") for column in self.columns]
        lines = max(map(len, heads))
        heads = [[""] * (lines - len(head)) + head for head in heads]
        cells = [[column.show(row.get(column.key)) for row in self.rows]
                 for column in self.columns]
        widths = [max(map(len, head + cell)) for head, cell in zip(heads, cells)]
        left = [column.digits is None for column in self.columns]
        shown = [self.title]
        for line in zip(*(head + cell for head, cell in zip(heads, cells))):
            shown.append("  ".join(text.ljust(width) if at_left else text.rjust(width)
                                   for text, width, at_left in zip(line, widths, left)).rstrip())
        for note in self.notes:
            shown += textwrap.wrap(note, NOTE_COLUMNS)
        return "\n".join(shown) + "\n"

    def as_json(self) -> list[dict[str, Value]]:
        return [{column.key: _plain(row.get(column.key)) for column in self.columns}
                for row in self.rows]


@dataclass
class Report:
    """command: such as "bench search". facts: what was measured, in the order to print. library:
    `describe()` where it was measured."""
    command: str
    facts: dict[str, Value]
    tables: list[Table]
    library: str = field(default_factory=describe)

    def text(self) -> str:
        head = [f"quashkv {__version__}, {self.command}: {self.library}", f"CPU: {cpu_model()}"]
        head += [f"{name.replace('_', ' ')}: {value}" for name, value in self.facts.items()]
        return "\n".join(head) + "\n\n" + "\n".join(table.text() for table in self.tables)

    def as_json(self) -> dict[str, Any]:
        return {
            "command": self.command, "version": __version__, "library": self.library,
            "cpu": cpu_model(),
            "facts": {name: _plain(value) for name, value in self.facts.items()},
            "tables": {table.name: table.as_json() for table in self.tables},
        }

    def write_json(self, path: str) -> None:
        """path "-": the standard output."""
        text = json.dumps(self.as_json(), indent=1, allow_nan=False) + "\n"
        if path == "-":
            sys.stdout.write(text)
        else:
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(text)


def _plain(value: Value) -> Value:
    """value as JSON has it: numbers of Python, null for what is no number."""
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def cpu_model() -> str:
    """The name of the processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as stream:
            for line in stream:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def text_width() -> int:
    """Columns for help texts."""
    return min(100, shutil.get_terminal_size().columns)


def progress(items: Iterable[_Item], what: str) -> Iterator[_Item]:
    """items, with a line about the current one on standard error if that is a terminal."""
    terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    for item in items:
        if terminal:
            sys.stderr.write(f"\r\033[K{what} {item}")
            sys.stderr.flush()
        yield item
    if terminal:
        sys.stderr.write("\r\033[K")


def seconds(call: Any) -> tuple[float, Any]:
    """Time of one call, and its result."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def bit_list(text: str) -> list[int]:
    """The type of --bits: for example "2,3,4". Errors: ValueError."""
    numbers = [int(part) for part in text.replace(" ", ",").split(",") if part]
    if not numbers or any(not 1 <= number <= 4 for number in numbers):
        raise ValueError
    return sorted(set(numbers))


bit_list.__name__ = "list of 1..4"  # what argparse says of a wrong one
