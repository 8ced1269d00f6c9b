"""Running of steps one after the other; the failure of a step is recorded and does not stop the others."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import click
import torch

from benchmarks.gpu.report import Finding, Outcome, Report
from benchmarks.gpu.time_budget import OutOfTime, TimeBudget

TRACEBACK_LINES = 25
MIN_STEP_SECONDS = 2.0  # a step is not started with less time remaining

SettingT = TypeVar("SettingT")


class StepFailed(Exception):
    """A step finished with a negative result."""


class StepTimedOut(Exception):
    """A step stopped early because its share of the time limit was used up."""


class StepSkipped(Exception):
    """A step can't run on this machine."""


@dataclass(frozen=True)
class Step(Generic[SettingT]):
    """A test or benchmark to run.

    Parameters
    ----------
    share
        share of the time limit during which rounds are added. At least one round runs, even if it takes longer.
    measure
        yields results one by one; each is written to the report immediately.
    """

    name: str
    title: str
    share: float
    measure: Callable[[SettingT, TimeBudget], Iterator[Finding]]


def run(
    steps: Sequence[Step[SettingT]], setting: SettingT, budget: TimeBudget, report: Report
) -> list[Step[SettingT]]:
    """Run the steps in order until the time limit.

    Returns
    -------
    the steps that this process can't run because an error has made its CUDA context unusable.
    """
    outcomes = [Outcome(step.name, step.title) for step in steps]
    report.outcomes += outcomes
    report.write()
    for number, (step, outcome) in enumerate(zip(steps, outcomes, strict=True)):
        if budget.remaining < MIN_STEP_SECONDS:
            outcome.state, outcome.reason = "timed out", "not started"
            continue
        click.secho(f"{step.title} ({budget.remaining:.0f} s left)", bold=True, err=True)
        _run(step, outcome, setting, budget, report)
        if not _release_memory():
            report.outcomes = [o for o in report.outcomes if o not in outcomes[number + 1 :]]
            report.write()
            return list(steps[number + 1 :])
    report.write()
    return []


def _run(step: Step[SettingT], outcome: Outcome, setting: SettingT, budget: TimeBudget, report: Report) -> None:
    outcome.state = "running"
    report.write()
    own = TimeBudget(budget.remaining)
    try:
        with budget.enforce():
            for finding in step.measure(setting, budget.share(step.share)):
                outcome.add(finding)
                outcome.seconds = own.elapsed
                report.write()
        outcome.state = "done"
    except OutOfTime:
        outcome.state, outcome.reason = "timed out", f"after {len(outcome.rows)} rows"
    except StepTimedOut as reason:
        outcome.state, outcome.reason = "timed out", str(reason)
    except StepSkipped as reason:
        outcome.state, outcome.reason = "skipped", str(reason)
    except StepFailed as failure:
        outcome.state, outcome.reason = "failed", str(failure)
    except Exception as error:  # any error: the other steps must still run
        outcome.state = "failed"
        outcome.reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        outcome.traceback = "\n".join(traceback.format_exc().strip().splitlines()[-TRACEBACK_LINES:])
        click.secho(f"  {outcome.reason}", fg="red", err=True)
    outcome.seconds = own.elapsed
    outcome.peak_memory = _peak_memory()
    report.write()


def _peak_memory() -> int | None:
    """Return the peak of allocated device memory in bytes since the previous step, or None without CUDA."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else None


def _release_memory() -> bool:
    """Free the device memory of a step. Returns False if CUDA no longer works in this process."""
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
