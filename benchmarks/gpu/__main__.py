"""``python -m benchmarks.gpu``: what is there, the tests marked ``gpu``, the benchmarks, and where time goes."""

from __future__ import annotations

import faulthandler
import importlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from benchmarks.gpu.clock import Clock
    from benchmarks.gpu.report import Finding
    from benchmarks.gpu.setting import Setting
    from benchmarks.gpu.steps import Step

BEGAN = time.monotonic()
NO_DEVICE = 2  # exit code
MODULE = "benchmarks.gpu"
HANGING_SECONDS = 60.0  # beyond the time that was given

# name: module, title, share of the whole time. The most important first: a time limit cuts the others.
STEPS = {
    "tests": ("marked_tests", "Tests marked gpu", 0.30),
    "search": ("searching", "Search against the bare forward pass", 0.08),
    "decoding": ("decoding", "Search from JPEG files, and decoders", 0.08),
    "projection": ("projecting", "Projections against Captum", 0.06),
    "job": ("whole_job", "A whole job against its computing", 0.16),
    "occlusion": ("sweeping", "Occlusion against plain batching", 0.14),
    "training": ("training", "Training against the plain loop and the bare step", 0.12),
    "precision": ("precision", "TF32 and bfloat16 against float32", 0.03),
    "profile": ("profiling", "Where time goes", 0.03),
}


def step_of(name: str, chosen: Collection[str]) -> Step[Setting]:
    """A step of those that were chosen; its module is imported when it is its turn, and may fail then."""
    from benchmarks.gpu.steps import Step

    module, title, share = STEPS[name]

    def measure(setting: Setting, clock: Clock) -> Iterator[Finding]:
        yield from importlib.import_module(f"{MODULE}.{module}").measure(setting, clock)

    return Step(name, title, share / sum(STEPS[other][2] for other in chosen), measure)


@click.command()
@click.option(
    "--minutes",
    default=8.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="For everything; what doesn't fit is left out, the least important first.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="VOC data set, or a folder of JPEG files.  [default: drawn objects]",
)
@click.option(
    "--output",
    default="gpu-report",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for gpu.json and gpu.md.",
)
@click.option(
    "--device",
    default="cuda",
    show_default=True,
    type=click.Choice(["cuda", "cpu"]),
    help="cpu: a trial with small sizes. CUDA_VISIBLE_DEVICES chooses among several devices.",
)
@click.option("--only", multiple=True, type=click.Choice(list(STEPS)), help="This step; may be repeated.")
@click.option("--resume", is_flag=True, hidden=True, help="Keep what the folder's report says of other steps.")
def main(
    minutes: float, images: Path | None, output: Path, device: str, only: tuple[str, ...], resume: bool
) -> None:
    """Try everything that should run on a GPU, and write a report as it goes.

    Exit codes: 0 done, or as far as the time went; 1 something failed; 2 there is no CUDA device.
    """
    from producer.service.supervisor import MALLOC

    if not MALLOC.items() <= os.environ.items():  # as a worker has it; read once, when a program starts
        _begin_anew(sys.argv[1:], MALLOC)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # what was started is stopped
    seconds = 60 * minutes
    faulthandler.dump_traceback_later(seconds + HANGING_SECONDS, exit=True)
    left = _measure(seconds, images, output, device, only, resume)
    if left:
        click.echo("The device answers this process no more: another one goes on.", err=True)
        minutes_left = (seconds - (time.monotonic() - BEGAN)) / 60
        again = [f"--output={output}", f"--device={device}", "--resume", f"--minutes={max(minutes_left, 0.01)}"]
        again += [f"--images={images}"] if images else []
        _begin_anew([*again, *(f"--only={name}" for name in left)], {})


def _begin_anew(arguments: list[str], variables: dict[str, str]) -> None:
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-m", MODULE, *arguments], {**os.environ, **variables})  # noqa: S606


def _measure(
    seconds: float, images: Path | None, output: Path, device: str, only: tuple[str, ...], resume: bool
) -> list[str]:
    """Do the steps and end the program; or return the names of those that another process has to do."""
    from benchmarks.gpu import machine, steps
    from benchmarks.gpu.clock import Clock
    from benchmarks.gpu.report import Report
    from benchmarks.gpu.setting import Setting, Sizes
    from worker.arithmetic import settle_arithmetic

    if device != "cpu" and (why := machine.why_no_device()):
        click.echo(f"{why} `--device cpu` tries everything but the tests with small sizes.", err=True)
        sys.exit(NO_DEVICE)
    settle_arithmetic(None)
    facts = machine.described(device)
    click.echo("\n".join(f"{name}: {fact}" for name, fact in facts.items()), err=True)
    settings: dict[str, Any] = {"minutes": seconds / 60, "device": device, "images": str(images or "drawn")}
    report = Report(output, facts, settings)
    if resume:
        report.read()
    reserve = min(10.0, 0.05 * seconds)  # to stop what was started, and to remove files
    clock = Clock(seconds - reserve, began=BEGAN)
    with tempfile.TemporaryDirectory(prefix="unitscope-gpu-") as place:
        sizes, where = (Sizes.small(), "cpu") if device == "cpu" else (Sizes(), "cuda:0")
        setting = Setting(where, Path(place), sizes, images)
        chosen = [name for name in STEPS if not only or name in only]
        left = steps.run([step_of(name, chosen) for name in chosen], setting, clock, report)
    if left:
        return [step.name for step in left]
    click.echo(report.page())
    sys.exit(int(any(outcome.state == "failed" for outcome in report.outcomes)))


if __name__ == "__main__":
    main()
