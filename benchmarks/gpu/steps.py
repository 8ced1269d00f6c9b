"""Steps, one after the other: one that fails is recorded, and the others go on."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import click
import torch

from benchmarks.gpu.clock import Clock, OutOfTime
from benchmarks.gpu.report import Finding, Outcome, Report

TRACEBACK_LINES = 25
LEAST_SECONDS = 2.0  # a step isn't begun with less

Set = TypeVar("Set")


class Failed(Exception):
    """A step ran to its end, and what it found is a failure."""


class Cut(Exception):
    """A step ended before its end, since its share of the time was over."""


class LeftOut(Exception):
    """A step says that it can't be done here, and why."""


@dataclass(frozen=True)
class Step(Generic[Set]):
    """Something to try.

    Parameters
    ----------
    share
        of the whole time: for so long it adds rounds. One round may take longer.
    measure
        gives its findings one by one, each of which is written at once.
    """

    name: str
    title: str
    share: float
    measure: Callable[[Set, Clock], Iterator[Finding]]


def run(steps: Sequence[Step[Set]], setting: Set, clock: Clock, report: Report) -> list[Step[Set]]:
    """Do the steps in their order until the time is over.

    Returns
    -------
    the steps that this process can't do any more, since an error spoilt its CUDA context.
    """
    outcomes = [Outcome(step.name, step.title) for step in steps]
    report.outcomes += outcomes
    report.write()
    for number, (step, outcome) in enumerate(zip(steps, outcomes, strict=True)):
        if clock.left < LEAST_SECONDS:
            outcome.state, outcome.reason = "cut", "not begun"
            continue
        click.secho(f"{step.title} ({clock.left:.0f} s left)", bold=True, err=True)
        _run(step, outcome, setting, clock, report)
        if not _release_memory():
            report.outcomes = [o for o in report.outcomes if o not in outcomes[number + 1 :]]
            report.write()
            return list(steps[number + 1 :])
    report.write()
    return []


def _run(step: Step[Set], outcome: Outcome, setting: Set, clock: Clock, report: Report) -> None:
    outcome.state = "running"
    report.write()
    own = Clock(clock.left)
    try:
        with clock.enforced():
            for finding in step.measure(setting, clock.share(step.share)):
                outcome.add(finding)
                outcome.seconds = own.elapsed
                report.write()
        outcome.state = "done"
    except OutOfTime:
        outcome.state, outcome.reason = "cut", f"{len(outcome.rows)} rows until then"
    except Cut as reason:
        outcome.state, outcome.reason = "cut", str(reason)
    except LeftOut as reason:
        outcome.state, outcome.reason = "left out", str(reason)
    except Failed as failure:
        outcome.state, outcome.reason = "failed", str(failure)
    except Exception as error:  # of whatever kind: the other steps are to run
        outcome.state = "failed"
        outcome.reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        outcome.traceback = "\n".join(traceback.format_exc().strip().splitlines()[-TRACEBACK_LINES:])
        click.secho(f"  {outcome.reason}", fg="red", err=True)
    outcome.seconds = own.elapsed
    outcome.peak_memory = _peak_memory()
    report.write()


def _peak_memory() -> int | None:
    """Bytes of tensors on the device, at most, since the step before."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else None


def _release_memory() -> bool:
    """Let go of what a step left on the device. False if the device answers this process no more."""
    gc.collect()
    if not torch.cuda.is_initialized():
        return True
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    except RuntimeError:
        return False
    return True
