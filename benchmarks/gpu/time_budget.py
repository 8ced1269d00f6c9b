"""Time limits: rounds are added while time remains, and running work is interrupted at the limit."""

from __future__ import annotations

import signal
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from benchmarks.timing import Timings, Variant, run_round

REPEAT_SECONDS = 20.0  # the alarm is repeated, since an exception raised in a destructor is lost


class OutOfTime(Exception):
    """The time limit has been reached."""


class TimeBudget:
    """A number of seconds, counted from now or from ``began`` (``time.monotonic``)."""

    def __init__(self, seconds: float, began: float | None = None) -> None:
        self.seconds = seconds
        self.began = time.monotonic() if began is None else began
        self._enforced = False

    @property
    def remaining(self) -> float:
        """Remaining seconds, at least 0."""
        return max(0.0, self.seconds - self.elapsed)

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def share(self, share: float) -> TimeBudget:
        """Return a budget for a share of the whole time, at most the remaining time."""
        return TimeBudget(min(self.remaining, share * self.seconds))

    @contextmanager
    def enforce(self) -> Iterator[None]:
        """Raise ``OutOfTime`` in the main thread at the time limit, if the ``with`` block is still running."""

        def end(number: int, frame: FrameType | None) -> None:
            if self._enforced:
                raise OutOfTime

        before = signal.signal(signal.SIGALRM, end)
        self._enforced = True
        signal.setitimer(signal.ITIMER_REAL, max(self.remaining, 1e-3), REPEAT_SECONDS)
        try:
            yield
        finally:
            self._enforced = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def time_interleaved(
    variants: Mapping[str, Variant], budget: TimeBudget, rounds: int, warm: Collection[str] = ()
) -> Timings:
    """Time the variants as ``timing.time_interleaved`` does, but only as many rounds as the budget allows.

    After the warm-up round at least one round is timed.

    Parameters
    ----------
    rounds
        maximum number of timed rounds.
    warm
        variants that need no warm-up.
    """
    timings = Timings({name: [] for name in variants}, {})
    for number in range(rounds + 1):
        began = time.monotonic()
        run_round(variants, timings, number, f"round {number}", warm)
        if number and time.monotonic() - began > budget.remaining:
            break
    return timings
