"""``python -m benchmarks``: run all benchmark groups or the selected ones."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import click

from benchmarks.page import Results
from benchmarks.setting import Setting
from benchmarks.timing import describe_machine
from producer.service.supervisor import MALLOC

GROUPS = (
    "search",
    "screening",
    "projection",
    "occlusion",
    "training",
    "jobs",
    "whole_job",
    "merge",
    "find",
    "database",
    "load",
    "gallery",
)
WITHOUT_CROPS = ("merge", "find", "database", "load", "gallery")


@click.command()
@click.option("--only", multiple=True, type=click.Choice(GROUPS), help="Run only this group. May be repeated.")
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="VOC data set or folder of JPEG files.  [default: generated objects]",
)
@click.option(
    "--crops", "count", default=1600, show_default=True, type=click.IntRange(1), help="Number of images at most."
)
@click.option(
    "--weights", type=click.Path(path_type=Path, exists=True), help="ZFNet weights.  [default: He initialization]"
)
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Timed rounds.")
@click.option("--device", default="cpu", show_default=True, help="Torch device: cpu, cuda, cuda:1, ...")
@click.option(
    "--rows", default=10_000_000, show_default=True, help="database, load, gallery: number of result rows."
)
@click.option(
    "--shards", default=100_000, show_default=True, type=click.IntRange(1), help="load: number of queued shards."
)
@click.option(
    "--jobs", default=1000, show_default=True, type=click.IntRange(2), help="load, gallery: number of jobs."
)
@click.option(
    "--submits", default=200, show_default=True, type=click.IntRange(8), help="load: number of concurrent submits."
)
@click.option(
    "--screened", default=30_000, show_default=True, type=click.IntRange(1), help="screening: number of images."
)
@click.option(
    "--found", default=1_000_000, show_default=True, type=click.IntRange(10_000), help="find: number of images."
)
@click.option(
    "--memory-shards",
    default=1000,
    show_default=True,
    type=click.IntRange(10),
    help="load: number of shards after which the worker's memory is compared.",
)
@click.option(
    "--output",
    default="docs/benchmarks",
    show_default=True,
    type=click.Path(path_type=Path),
    help="Path without suffix: writes PATH.json and PATH.md, and keeps the results of other groups in them.",
)
def main(only: tuple[str, ...], output: Path, **options: object) -> None:
    """Run the benchmarks and write the tables of results."""
    if not MALLOC.items() <= os.environ.items():  # glibc reads these variables only at program start
        os.execve(  # noqa: S606
            sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]], {**os.environ, **MALLOC}
        )
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # runs the cleanup of servers
    with tempfile.TemporaryDirectory(prefix="unitscope-benchmarks-") as folder:
        setting = Setting(folder=Path(folder), **options)  # type: ignore[arg-type]
        for group in only or GROUPS:
            click.echo(group, err=True)
            module = importlib.import_module(f"benchmarks.{group}")
            rows = []
            for row in module.measure(setting):
                # The goals apply to a CPU with two cores.
                rows.append(row if setting.device == "cpu" else replace(row, judged=False))
                results = Results.read(output)  # written after each row: the next measurement may fail
                results.replace_group(
                    group,
                    rows,
                    module.METHOD,
                    describe_machine(setting.device),
                    setting.describe(group not in WITHOUT_CROPS),
                )
                results.write(output, GROUPS)
    click.echo(output.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
