"""Interleaved timing of variants of the same work, rows of results, and a description of the machine."""

from __future__ import annotations

import multiprocessing
import platform
import re
import statistics
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
import torch

from unitscope.cores import usable_cores


@dataclass(frozen=True)
class Timed:
    """Duration and result of one run of a variant."""

    seconds: float
    result: Any = None


Variant = Callable[[], Timed]


def timed(work: Callable[[], Any], device: str = "cpu") -> Variant:
    """Return a variant that times ``work``, including the completion of its GPU kernels."""

    def variant() -> Timed:
        _synchronize(device)
        began = time.perf_counter()
        result = work()
        _synchronize(device)
        return Timed(time.perf_counter() - began, result)

    return variant


def in_fresh_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of a function call in a new process."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
        return fresh.submit(function, *arguments).result()


def _synchronize(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


@dataclass(frozen=True)
class Timings:
    """Seconds of each variant in each round, and its result in the last round, both by the variant's name."""

    seconds: dict[str, list[float]]
    results: dict[str, Any]


def time_interleaved(variants: Mapping[str, Variant], rounds: int) -> Timings:
    """Time the variants in one warm-up round and ``rounds`` timed rounds, in each of which every variant runs
    once.

    Each round starts with a different variant, so that no variant always follows the same one.
    """
    timings = Timings({name: [] for name in variants}, {})
    for number in range(rounds + 1):
        run_round(variants, timings, number, f"round {number} of {rounds}")
    return timings


def run_round(
    variants: Mapping[str, Variant], timings: Timings, number: int, title: str, warm: Collection[str] = ()
) -> None:
    """Run each variant once and record it in ``timings``.

    Round 0 is the warm-up round: its times are not recorded, and variants in ``warm`` are skipped.
    """
    names = list(variants)
    first = number % len(names)
    for name in names[first:] + names[:first]:
        if not number and name in warm:
            continue
        timed_run = variants[name]()
        timings.results[name] = timed_run.result
        if number:
            timings.seconds[name].append(timed_run.seconds)
        click.echo(f"  {title if number else 'warm-up'}, {name}: {timed_run.seconds:.4g} s", err=True)


@dataclass(frozen=True)
class Goal:
    """Threshold for a ratio: the minimum speed relative to the peer, or, with ``at_most``, the maximum time
    relative to it."""

    number: float
    at_most: bool = False

    def __str__(self) -> str:
        return f"at most {self.number:g}x" if self.at_most else f"at least {self.number:g}x"


@dataclass(frozen=True)
class Row:
    """A row of the result table.

    ``ours`` and ``peer`` hold one measurement per round, in ``unit``. Without a peer there is no ratio.
    """

    group: str
    work: str
    ours: list[float]
    against: str = ""
    peer: list[float] = field(default_factory=list)
    goal: Goal | None = None
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    unit: str = "s"
    judged: bool = True  # False: measured on a machine for which the goal is not defined

    @property
    def ratios(self) -> list[float]:
        """The ratio of each round."""
        pairs = list(zip(self.ours, self.peer, strict=True)) if self.peer else []
        if self.goal and self.goal.at_most:
            return [ours / peer for ours, peer in pairs]
        return [peer / ours for ours, peer in pairs]

    @property
    def ratio(self) -> float | None:
        return statistics.median(self.ratios) if self.peer else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met, or None if there is no applicable goal."""
        if self.goal is None or self.ratio is None or not self.judged:
            return None
        return self.ratio <= self.goal.number if self.goal.at_most else self.ratio >= self.goal.number

    @property
    def goal_text(self) -> str:
        """The goal in words; empty without a goal."""
        if self.goal is None:
            return ""
        return f"{self.goal} the time" if self.goal.at_most and self.unit == "s" else str(self.goal)

    def as_json(self) -> dict[str, Any]:
        judged = {"goal_text": self.goal_text, "ratio": self.ratio, "met": self.met}
        return {**asdict(self), **judged}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Row:
        values = {name: value for name, value in record.items() if name in cls.__dataclass_fields__}
        return cls(**{**values, "goal": Goal(**record["goal"]) if record["goal"] else None})


def _processor() -> str:
    """Return the processor's name, or an empty text."""
    file = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.+)$", file.read_text(), re.MULTILINE) if file.is_file() else None
    return found[1].strip() if found else ""


def describe_machine(device: str) -> dict[str, Any]:
    """Return the properties of the machine and of torch that affect timings, without host names."""
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": None if device == "cpu" else torch.cuda.get_device_name(),
        "torch": torch.__version__.partition("+")[0],
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }
