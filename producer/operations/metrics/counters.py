"""Metrics from the table ``counters``. They survive every process, and are the same in all exporters."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy import select
from sqlalchemy.orm import Session

from producer.operations.metrics.families import PREFIX, all_stages
from shared.jobs.counters import SHARD_SECONDS_BOUNDS, range_counter
from shared.jobs.tables import Counter

COUNTERS = {
    "leases_lost": "Shards whose lease expired because their worker stopped sending heartbeats",
    "late_writes_refused": "Writes refused because the shard had been leased to another worker",
    "messages_ignored": "Messages ignored because their shard was finished or leased by another worker",
    "attempts_failed": "Attempts that ended with an error",
    "work_done": "Work done by finished shards, in images or what the stage counts",
}


def counter_metrics(session: Session) -> Iterator[Metric]:
    """Return all counters for each kind and stage, also for those whose events have not happened yet."""
    rows = session.execute(select(Counter.name, Counter.kind, Counter.stage, Counter.value))
    values = {(name, kind, stage): value for name, kind, stage, value in rows}
    stages = sorted({*all_stages(), *((kind, stage) for _, kind, stage in values)})  # kinds that were removed, too
    for name, help_text in COUNTERS.items():
        family = CounterMetricFamily(PREFIX + name, help_text, labels=["kind", "stage"])
        for kind, stage in stages:
            family.add_metric([kind, stage], values.get((name, kind, stage), 0))
        yield family
    seconds = HistogramMetricFamily(
        f"{PREFIX}shard_seconds", "Duration of the successful attempts at shards", labels=["kind", "stage"]
    )
    for kind, stage in stages:
        of_stage = {name: value for (name, *labels), value in values.items() if labels == [kind, stage]}
        seconds.add_metric([kind, stage], _buckets(of_stage), of_stage.get("shard_seconds", 0))
    yield seconds


def _buckets(counters: dict[str, float]) -> list[tuple[str, float]]:
    """Return (upper bound, number of shards up to it). The last bucket has all shards, including those that were
    done before the ranges were counted."""
    buckets, total = [], 0.0
    for bound in SHARD_SECONDS_BOUNDS[:-1]:
        total += counters.get(range_counter(bound), 0)
        buckets.append((str(bound), total))
    return [*buckets, ("+Inf", counters.get("shards_done", 0))]
