"""When workers end by themselves, and durations on the command line."""

from __future__ import annotations

import click
import pytest

from producer.cli.service.services import Duration
from producer.service.lifetime import KILL_SECONDS, Lifetime


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("30 m", 1800), ("2h", 7200), ("1d", 86400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1w", "h", "1:30:00", "1e3", "nan", "inf"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a duration such as 90, 90s, 30m or 2h"):
        Duration().convert(text, None, None)


@pytest.mark.parametrize(
    ("max_idle", "idle_since", "ends"),
    [(None, 0.0, False), (0.0, None, False), (0.0, 100.0, True), (60.0, 41.0, False), (60.0, 40.0, True)],
)
def test_idle_workers_end(max_idle: float | None, idle_since: float | None, ends: bool) -> None:
    assert Lifetime(max_idle=max_idle).idle_too_long(idle_since, now=100.0) is ends


@pytest.mark.parametrize(
    ("now", "typical", "left"),
    [
        (0, 0, None),
        (3600 - KILL_SECONDS - 21, 0, None),
        (3600 - KILL_SECONDS - 20, 0, 20),  # the grace time is left
        (3600 - KILL_SECONDS - 300, 300, 300),  # a shard usually takes 300 s
        (2000, 10**6, None),  # not more than a quarter of the time is left unused
        (3600 - KILL_SECONDS - 900, 10**6, 900),
        (5000, 0, 0),
    ],
)
def test_no_shard_begins_that_would_not_end_in_time(now: float, typical: float, left: float | None) -> None:
    assert Lifetime(max_time=3600).finishing_seconds(0.0, now, typical) == left
    assert Lifetime().finishing_seconds(0.0, now, typical) is None
