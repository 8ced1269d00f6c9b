"""Metrics of Redis."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from producer.operations.metrics.families import gauges
from shared.jobs.broker import Broker
from shared.kinds.specification import QUEUES


def message_metrics(broker: Broker) -> Iterator[Metric]:
    """Count the messages in each queue.

    Raises
    ------
    BrokerUnreachable
    """
    depths: dict[tuple[str, ...], float] = {(queue,): broker.depth(queue) for queue in QUEUES}
    yield gauges("queue_messages", "Messages waiting in Redis", ["queue"], depths)
