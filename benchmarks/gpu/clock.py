"""The time that was given: rounds are added while they fit, and the end interrupts whatever runs."""

from __future__ import annotations

import signal
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from benchmarks.measuring import Turns, Way, run_round

AGAIN_SECONDS = 20.0  # the alarm comes again: an exception in a destructor is lost


class OutOfTime(Exception):
    """The time that was given is over."""


class Clock:
    """So many seconds, from now on or from when they ``began`` (``time.monotonic``)."""

    def __init__(self, seconds: float, began: float | None = None) -> None:
        self.seconds = seconds
        self.began = time.monotonic() if began is None else began
        self._enforced = False

    @property
    def left(self) -> float:
        """Seconds, not below zero."""
        return max(0.0, self.seconds - self.elapsed)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def share(self, share: float) -> Clock:
        """A clock for a share of the whole time, or for what is left of it."""
        return Clock(min(self.left, share * self.seconds))

    @contextmanager
    def enforced(self) -> Iterator[None]:
        """Raise ``OutOfTime`` in the main thread when the time is over, wherever it is then."""

        def end(number: int, frame: FrameType | None) -> None:
            if self._enforced:
                raise OutOfTime

        before = signal.signal(signal.SIGALRM, end)
        self._enforced = True
        signal.setitimer(signal.ITIMER_REAL, max(self.left, 1e-3), AGAIN_SECONDS)
        try:
            yield
        finally:
            self._enforced = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def in_turn(ways: Mapping[str, Way], clock: Clock, rounds: int, warm: Collection[str] = ()) -> Turns:
    """Time the ways as ``measuring.in_turn`` does: one round to warm up, then one, and more while they fit.

    Each round begins with another way, so that none always follows the same one.

    Parameters
    ----------
    rounds
        at most, after the one that warms up.
    warm
        ways that need no warming up.
    """
    turns = Turns({name: [] for name in ways}, {})
    for number in range(rounds + 1):
        began = time.monotonic()
        run_round(ways, turns, number, f"round {number}", warm)
        if number and time.monotonic() - began > clock.left:
            break
    return turns
