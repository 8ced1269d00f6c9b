"""``python -m benchmarks``: all groups of benchmarks, or some."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import click

from benchmarks.measuring import machine
from benchmarks.page import Results
from benchmarks.setting import Setting
from producer.service.supervisor import MALLOC

GROUPS = ("search", "projection", "occlusion", "jobs", "merge", "database", "load")
WITHOUT_CROPS = ("merge", "database", "load")


@click.command()
@click.option("--only", multiple=True, type=click.Choice(GROUPS), help="Run this group; may be repeated.")
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="VOC data set, or a folder of JPEG files.  [default: drawn objects]",
)
@click.option("--crops", "count", default=1600, show_default=True, type=click.IntRange(1))
@click.option(
    "--weights", type=click.Path(path_type=Path, exists=True), help="Of a ZFNet.  [default: He initialisation]"
)
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1))
@click.option("--device", default="cpu", show_default=True)
@click.option("--rows", default=10_000_000, show_default=True, help="Of the database, and under load.")
@click.option("--shards", default=100_000, show_default=True, type=click.IntRange(1), help="Queued under load.")
@click.option("--listed", default=1000, show_default=True, type=click.IntRange(2), help="Jobs under load.")
@click.option("--submits", default=200, show_default=True, type=click.IntRange(8), help="At once, under load.")
@click.option(
    "--worked",
    default=1000,
    show_default=True,
    type=click.IntRange(10),
    help="Shards of a worker, for its memory.",
)
@click.option(
    "--output",
    default="docs/benchmarks",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Without suffix: .json and .md are written. What is there of other groups is kept.",
)
def main(only: tuple[str, ...], output: Path, **options: object) -> None:
    """Measure, and write the table."""
    if not MALLOC.items() <= os.environ.items():  # read once, when a program starts
        os.execve(  # noqa: S606
            sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], {**os.environ, **MALLOC}
        )
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # servers are stopped then too
    with tempfile.TemporaryDirectory(prefix="unitscope-benchmarks-") as place:
        setting = Setting(place=Path(place), **options)  # type: ignore[arg-type]
        for group in only or GROUPS:
            click.echo(group, err=True)
            module = importlib.import_module(f"benchmarks.{group}")
            rows = []
            for row in module.measure(setting):
                # The goals are for two cores.
                rows.append(row if setting.device == "cpu" else replace(row, judged=False))
                results = Results.read(output)  # written each time: the next measurement may fail
                results.put(
                    group, rows, module.HOW, machine(setting.device), setting.described(group not in WITHOUT_CROPS)
                )
                results.write(output, GROUPS)
    click.echo(output.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
