"""Ways to do the same, timed against each other in turn; what comes of it; the machine it was measured on."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import click
import torch


@dataclass(frozen=True)
class Timed:
    """What a way took, and what it found."""

    seconds: float
    result: Any = None


Way = Callable[[], Timed]


def timed(work: Callable[[], Any], device: str = "cpu") -> Way:
    """The way that does ``work``, until a GPU has done it too."""

    def way() -> Timed:
        _settle(device)
        began = time.perf_counter()
        result = work()
        _settle(device)
        return Timed(time.perf_counter() - began, result)

    return way


def _settle(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize()


@dataclass(frozen=True)
class Turns:
    """By the name of each way: its seconds in each round, and its result in the last."""

    seconds: dict[str, list[float]]
    results: dict[str, Any]


def in_turn(ways: Mapping[str, Way], rounds: int) -> Turns:
    """Time the ways: one round to warm up, then ``rounds`` in which each runs once.

    Each round begins with another way, so that none always follows the same one.
    """
    turns = Turns({name: [] for name in ways}, {})
    for number in range(rounds + 1):
        run_round(ways, turns, number, f"round {number} of {rounds}")
    return turns


def run_round(ways: Mapping[str, Way], turns: Turns, number: int, title: str, warm: Collection[str] = ()) -> None:
    """Run each way once and add what it took to ``turns``; round 0 warms up the ways that are not ``warm``."""
    names = list(ways)
    first = number % len(names)
    for name in names[first:] + names[:first]:
        if not number and name in warm:
            continue
        found = ways[name]()
        turns.results[name] = found.result
        if number:
            turns.seconds[name].append(found.seconds)
        click.echo(f"  {title if number else 'warming up'}, {name}: {found.seconds:.4g} s", err=True)


@dataclass(frozen=True)
class Goal:
    """What a ratio is to reach: of the speeds, ours to the peer's, or of the times where it is ``at_most``."""

    number: float
    at_most: bool = False

    def __str__(self) -> str:
        return f"at most {self.number:g}x" if self.at_most else f"at least {self.number:g}x"


@dataclass(frozen=True)
class Row:
    """A line of the table. ``ours`` and ``peer`` are the seconds of each round, or whatever ``unit`` says; without
    a peer they are stated."""

    group: str
    work: str
    ours: list[float]
    against: str = ""
    peer: list[float] = field(default_factory=list)
    goal: Goal | None = None
    note: str = ""
    details: dict[str, Any] = field(default_factory=dict)
    unit: str = "s"
    judged: bool = True  # False: measured where the goal doesn't hold

    @property
    def ratios(self) -> list[float]:
        """Of each round."""
        pairs = list(zip(self.ours, self.peer, strict=True)) if self.peer else []
        if self.goal and self.goal.at_most:
            return [ours / peer for ours, peer in pairs]
        return [peer / ours for ours, peer in pairs]

    @property
    def ratio(self) -> float | None:
        return statistics.median(self.ratios) if self.peer else None

    @property
    def met(self) -> bool | None:
        """None where there is nothing to meet."""
        if self.goal is None or self.ratio is None or not self.judged:
            return None
        return self.ratio <= self.goal.number if self.goal.at_most else self.ratio >= self.goal.number

    @property
    def goal_text(self) -> str:
        """Empty without a goal."""
        if self.goal is None:
            return ""
        return f"{self.goal} the time" if self.goal.at_most and self.unit == "s" else str(self.goal)

    def as_json(self) -> dict[str, Any]:
        judged = {"goal_text": self.goal_text, "ratio": self.ratio, "met": self.met}
        return {**asdict(self), **judged}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Row:
        values = {name: value for name, value in kept.items() if name in cls.__dataclass_fields__}
        return cls(**{**values, "goal": Goal(**kept["goal"]) if kept["goal"] else None})


def machine(device: str) -> dict[str, Any]:
    """What the timings depend on, without names."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "gpu": None if device == "cpu" else torch.cuda.get_device_name(),
        "torch": torch.__version__.partition("+")[0],
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }
