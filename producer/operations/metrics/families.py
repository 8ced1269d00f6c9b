"""Metric families: all are named ``unitscope_...``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import GaugeMetricFamily
from sqlalchemy import ColumnElement

from shared.database.connection import database_now
from shared.jobs.tables import Shard, ShardState
from shared.kinds.registry import kinds
from shared.text import printable

PREFIX = "unitscope_"


def gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    """Return a gauge with one sample without labels."""
    return GaugeMetricFamily(PREFIX + name, help_text, value=value)


def gauges(
    name: str, help_text: str, labels: list[str], samples: Mapping[tuple[str, ...], float]
) -> GaugeMetricFamily:
    """Return a gauge with one sample for each tuple of label values; these are the names of hosts, for example."""
    family = GaugeMetricFamily(PREFIX + name, help_text, labels=labels)
    for values, sample in samples.items():
        family.add_metric([printable(value) for value in values], sample)
    return family


def all_stages() -> Iterator[tuple[str, str]]:
    """Yield (kind, stage) of all stages of all kinds.

    Metrics with these labels have a sample for each from the start: Prometheus' ``increase`` does not count the
    step from no sample to the first one.
    """
    for name, kind in kinds().items():
        for stage in kind.stages:
            yield name, stage


def zeros() -> dict[tuple[str, ...], float]:
    """Return 0 for each (kind, stage)."""
    return dict.fromkeys(all_stages(), 0.0)


def is_held() -> ColumnElement[bool]:
    """Return the condition that a worker runs the shard: it was claimed, and its lease has not expired."""
    return (Shard.state == ShardState.RUNNING) & (Shard.lease_until >= database_now())
