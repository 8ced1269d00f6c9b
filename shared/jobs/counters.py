"""Counters of events since the database was created, in the table ``counters``. ``analyze metrics`` exports them.

The durations of shards are counted as a histogram: one counter for each range of ``SHARD_SECONDS_BOUNDS``.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping

from sqlalchemy.orm import Session

from shared.database.connection import dialect_insert
from shared.jobs.tables import Counter

# Upper bounds of the ranges of durations, in seconds: shards of small stages take less than one, training days.
SHARD_SECONDS_BOUNDS = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10_000.0, 30_000.0, math.inf)


def raise_counter(session: Session, name: str, kind: str, stage: str, by: float = 1) -> None:
    """Add ``by`` to one counter: see ``raise_counters``."""
    raise_counters(session, kind, stage, {name: by})


def raise_counters(session: Session, kind: str, stage: str, increments: Mapping[str, float]) -> None:
    """Add to counters of a stage, by name, in one statement.

    All transactions contend for these rows, so call this last in a transaction. The rows are locked in the order
    of their names, so that two transactions don't deadlock.
    """
    rows = [{"name": name, "kind": kind, "stage": stage, "value": by} for name, by in sorted(increments.items())]
    upsert = dialect_insert(session, Counter).values(rows)
    upsert = upsert.on_conflict_do_update(
        index_elements=["name", "kind", "stage"], set_={"value": Counter.value + upsert.excluded.value}
    )
    session.execute(upsert)


def completion(seconds: float, work: int) -> dict[str, float]:
    """Return the increments for a shard that is done, after ``seconds``."""
    bound = SHARD_SECONDS_BOUNDS[bisect_left(SHARD_SECONDS_BOUNDS, seconds)]
    return {"shards_done": 1, "shard_seconds": seconds, "work_done": work, range_counter(bound): 1}


def range_counter(bound: float) -> str:
    """Return the name of the counter of the durations up to ``bound`` seconds and above the bound before it."""
    return f"shard_seconds_le_{bound:g}"
