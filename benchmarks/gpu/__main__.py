"""``python -m benchmarks.gpu``: the machine, the tests marked ``gpu``, the benchmarks, and profiles."""

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
    from benchmarks.gpu.report import Finding
    from benchmarks.gpu.setting import Setting
    from benchmarks.gpu.steps import Step
    from benchmarks.gpu.time_budget import TimeBudget

BEGAN = time.monotonic()
NO_DEVICE = 2  # exit code
MODULE = "benchmarks.gpu"
HANG_GRACE_SECONDS = 60.0  # after the time limit, until the process is ended

# name: module, title, share of the time limit. Ordered by importance, since the last steps are skipped if time
# runs out.
STEPS = {
    "tests": ("marked_tests", "Tests marked gpu", 0.30),
    "search": ("search", "Search compared with the forward pass", 0.08),
    "screening": ("screening", "Search with screening compared with float32", 0.08),
    "decoding": ("decoding", "Search from JPEG files, and image decoders", 0.08),
    "projection": ("projection", "Projections compared with Captum", 0.06),
    "job": ("job", "Job compared with the same functions", 0.16),
    "occlusion": ("occlusion", "Occlusion compared with plain batching", 0.14),
    "training": ("training", "Training compared with the plain loop and the bare step", 0.12),
    "precision": ("precision", "TF32 and bfloat16 compared with float32", 0.03),
    "profile": ("profiling", "Profiles", 0.03),
}


def make_step(name: str, chosen: Collection[str]) -> Step[Setting]:
    """Create a step. Its module is imported when the step runs, so that an import error fails only this step."""
    from benchmarks.gpu.steps import Step

    module, title, share = STEPS[name]

    def measure(setting: Setting, budget: TimeBudget) -> Iterator[Finding]:
        yield from importlib.import_module(f"{MODULE}.{module}").measure(setting, budget)

    return Step(name, title, share / sum(STEPS[other][2] for other in chosen), measure)


@click.command()
@click.option(
    "--minutes",
    default=8.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Time limit for all steps. If it is too short, the last steps are skipped.",
)
@click.option(
    "--images",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="VOC data set or folder of JPEG files.  [default: generated objects]",
)
@click.option(
    "--output",
    default="gpu-report",
    show_default=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write gpu.json and gpu.md to.",
)
@click.option(
    "--device",
    default="cuda",
    show_default=True,
    type=click.Choice(["cuda", "cpu"]),
    help="With cpu, run a trial with small sizes. Set CUDA_VISIBLE_DEVICES to select a GPU.",
)
@click.option("--only", multiple=True, type=click.Choice(list(STEPS)), help="Run only this step. May be repeated.")
@click.option(
    "--resume", is_flag=True, hidden=True, help="Keep the results of other steps in the folder's report."
)
def main(
    minutes: float, images: Path | None, output: Path, device: str, only: tuple[str, ...], resume: bool
) -> None:
    """Run the GPU tests, benchmarks and profiles, and write a report that is updated after each result.

    Exit codes: 0 success (also if the time limit was reached), 1 a step failed, 2 no CUDA device.
    """
    from producer.service.supervisor import MALLOC

    if not MALLOC.items() <= os.environ.items():  # the workers' settings; glibc reads them only at program start
        _restart(sys.argv[1:], MALLOC)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # runs the cleanup of servers
    seconds = 60 * minutes
    faulthandler.dump_traceback_later(seconds + HANG_GRACE_SECONDS, exit=True)
    remaining = _measure(seconds, images, output, device, only, resume)
    if remaining:
        click.echo("CUDA no longer works in this process. A new process runs the remaining steps.", err=True)
        minutes_left = (seconds - (time.monotonic() - BEGAN)) / 60
        options = [f"--output={output}", f"--device={device}", "--resume", f"--minutes={max(minutes_left, 0.01)}"]
        options += [f"--images={images}"] if images else []
        _restart([*options, *(f"--only={name}" for name in remaining)], {})


def _restart(arguments: list[str], variables: dict[str, str]) -> None:
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, "-m", MODULE, *arguments], {**os.environ, **variables})  # noqa: S606


def _measure(
    seconds: float, images: Path | None, output: Path, device: str, only: tuple[str, ...], resume: bool
) -> list[str]:
    """Run the steps and exit, or return the names of the steps that a new process has to run."""
    from benchmarks.gpu import machine, steps
    from benchmarks.gpu.report import Report
    from benchmarks.gpu.setting import Setting, Sizes
    from benchmarks.gpu.time_budget import TimeBudget
    from worker.arithmetic import configure_determinism

    if device != "cpu" and (reason := machine.why_no_device()):
        click.echo(
            f"{reason} Use `--device cpu` for a trial of all steps but the tests, with small sizes.", err=True
        )
        sys.exit(NO_DEVICE)
    configure_determinism(None)
    facts = machine.describe(device)
    click.echo("\n".join(f"{name}: {fact}" for name, fact in facts.items()), err=True)
    settings: dict[str, Any] = {"minutes": seconds / 60, "device": device, "images": str(images or "generated")}
    report = Report(output, facts, settings)
    if resume:
        report.read()
    reserve = min(10.0, 0.05 * seconds)  # for stopping servers and removing files
    budget = TimeBudget(seconds - reserve, began=BEGAN)
    with tempfile.TemporaryDirectory(prefix="unitscope-gpu-") as folder:
        sizes, torch_device = (Sizes.small(), "cpu") if device == "cpu" else (Sizes(), "cuda:0")
        setting = Setting(torch_device, Path(folder), sizes, images)
        chosen = [name for name in STEPS if not only or name in only]
        remaining = steps.run([make_step(name, chosen) for name in chosen], setting, budget, report)
    if remaining:
        return [step.name for step in remaining]
    click.echo(report.page())
    sys.exit(int(any(outcome.state == "failed" for outcome in report.outcomes)))


if __name__ == "__main__":
    main()
