# SPDX-License-Identifier: Apache-2.0
"""Drawings of reports, the only user of matplotlib."""
from __future__ import annotations

from typing import Any

from .report import CommandError, Plot, Report, Table


def require() -> Any:
    """matplotlib.pyplot, drawing to files only. Errors: CommandError (not installed)."""
    try:
        import matplotlib
    except ImportError as error:
        raise CommandError(f"--plot needs matplotlib: pip install 'quashkv[bench]' ({error})",
                           1) from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def draw(report: Report, path: str) -> None:
    """One panel for each table that says what to draw; the format follows from the name."""
    pyplot = require()
    drawn = [(table, table.plot) for table in report.tables if table.plot and table.rows]
    figure, panels = pyplot.subplots(1, len(drawn), squeeze=False,
                                     figsize=(6 * len(drawn), 4.5), layout="constrained")
    for (table, plot), axes in zip(drawn, panels[0]):
        _panel(table, plot, axes)
    figure.suptitle(f"quashkv, {report.command}")
    try:
        figure.savefig(path, dpi=150)
    except ValueError as error:  # an unknown format
        raise CommandError(f"{path}: {error}", 2) from error
    finally:
        pyplot.close(figure)


def _panel(table: Table, plot: Plot, axes: Any) -> None:
    titles = {column.key: column.title.replace("\n", " ") for column in table.columns}
    groups = dict.fromkeys(row.get(plot.by) for row in table.rows) if plot.by else [None]
    for y in plot.y:
        for group in groups:
            rows = [row for row in table.rows if plot.by is None or row.get(plot.by) == group]
            points = [(row[plot.x], row[y]) for row in rows if row.get(y) is not None]
            if points:
                label = titles[y] if group is None else f"{titles[y]}, {group}"
                axes.plot(*zip(*points), marker="o", label=label)
    if plot.logarithmic:
        axes.set_yscale("log")
    axes.set_xlabel(titles[plot.x])
    axes.set_title(table.title, fontsize="medium", wrap=True)
    axes.legend(fontsize="small")
    axes.grid(alpha=.3)
