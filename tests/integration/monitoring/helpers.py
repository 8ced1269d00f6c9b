"""Reading of metrics with Prometheus' parser."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from producer.operations.metrics.collector import Metrics
from shared.database.connection import Database
from shared.jobs.broker import Broker
from shared.jobs.ledger import Ledger

NO_REDIS = Broker("redis://127.0.0.1:1/0")
NO_STORE = Path("/no/such/store")


def samples(text: str) -> dict[str, float]:
    """Return the value of every sample by ``name label=value ...``, with sorted labels."""
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def exposition(url: str, store: Path = NO_STORE, seconds: float = 60, broker: Broker = NO_REDIS) -> str:
    """Return the metrics of a database as Prometheus reads them."""
    registry = CollectorRegistry()
    registry.register(Metrics(url, broker, store, seconds))
    return generate_latest(registry).decode()


def url_of(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)


def read(ledger: Ledger, store: Path = NO_STORE) -> dict[str, float]:
    return samples(exposition(url_of(ledger.database), store))
