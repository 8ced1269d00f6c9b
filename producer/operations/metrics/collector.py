"""The collector of all metrics: it reads the database, Redis and the store's disk at each scrape.

All exporters of a database report the same values: what is counted, is counted in the database.
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import make_url

from producer.operations.metrics.background import BackgroundCall
from producer.operations.metrics.counters import counter_metrics
from producer.operations.metrics.families import PREFIX, gauge
from producer.operations.metrics.jobs import job_metrics, running_metrics
from producer.operations.metrics.messages import message_metrics
from producer.operations.metrics.queues import queue_metrics
from producer.operations.metrics.storage import disk_metrics, size_metrics
from producer.operations.metrics.workers import worker_metrics
from shared.database.connection import Database
from shared.database.schema import NEWEST_REVISION, check
from shared.errors import DatabaseUnreachable, SchemaTooNew, SchemaTooOld, Unreachable
from shared.jobs.broker import Broker
from shared.settings import redacted
from shared.version import program_version

SCRAPE_SECONDS = 5.0
UP = {
    "database": "Whether the database answers and has the schema that this version needs",
    "redis": "Whether Redis answers",
}
OF_THE_DATABASE = (
    job_metrics, running_metrics, queue_metrics, worker_metrics, counter_metrics, size_metrics,
)  # fmt: skip

logger = logging.getLogger(__name__)


class Metrics(Collector):
    """The service's state as metric families, all named ``unitscope_...``.

    A scrape takes at most about ``seconds``: a server that has not answered by then is reported as not up. The
    servers may be away, and the database may have another schema, when the exporter starts and at any time later.

    Parameters
    ----------
    store
        Root folder of the artifact store. Metrics of its disk are left out if this machine does not have it.
    """

    def __init__(self, database_url: str, broker: Broker, store: Path, seconds: float = SCRAPE_SECONDS) -> None:
        self.seconds = seconds
        self._calls = {
            "database": BackgroundCall(lambda: read_database(database_url)),
            "redis": BackgroundCall(lambda: list(message_metrics(broker))),
            "store": BackgroundCall(lambda: list(disk_metrics(store))),
        }
        self._problems: dict[str, str] = {}

    def describe(self) -> list[Metric]:
        """Return no metrics, so that registration doesn't query a database that may not answer."""
        return []

    def collect(self) -> Iterator[Metric]:
        deadline = time.monotonic() + self.seconds
        calls = {name: call.start() for name, call in self._calls.items()}
        build = {"version": program_version(), "python": platform.python_version(), "schema": NEWEST_REVISION}
        yield InfoMetricFamily(f"{PREFIX}build", "Versions of the exporter", value=build)
        for name, call in calls.items():
            families, problem = self._outcome(call, deadline - time.monotonic())
            if name in UP:
                yield gauge(f"{name}_up", UP[name], not problem)
            yield from families
            self._log_change(name, problem)

    def _outcome(self, call: Future[list[Metric]], seconds: float) -> tuple[list[Metric], str]:
        """Return the families that a call made, and why it failed or an empty string."""
        try:
            return call.result(max(seconds, 0.0)), ""
        except (SchemaTooOld, SchemaTooNew) as error:
            return schema_metrics(str(error.details["found"])), str(error)
        except TimeoutError:
            return [], f"no answer within {self.seconds:g} seconds"
        except Unreachable as error:
            return [], str(error)
        except Exception as error:  # such as a missing permission: the other metrics are still of use
            return [], f"{type(error).__name__}: {error}"

    def _log_change(self, name: str, problem: str) -> None:
        """Log a problem when it begins, changes, or ends; not at each scrape."""
        if problem and problem != self._problems.get(name):
            logger.warning("%s: %s", name, problem)
        elif name in self._problems and not problem:
            logger.info("%s: ok again", name)
        self._problems = {**self._problems, name: problem}
        if not problem:
            del self._problems[name]


def read_database(url: str) -> list[Metric]:
    """Read all metrics of the database, on a new connection.

    The exporter only reads: a SQLite file is neither created nor upgraded.

    Raises
    ------
    DatabaseUnreachable, SchemaTooOld, SchemaTooNew
    """
    file = make_url(url).database if url.startswith("sqlite") else None
    if file and not Path(file).is_file():
        raise DatabaseUnreachable(url=redacted(url), reason="the file does not exist (yet)")
    database = Database(url)
    try:
        check(database)
        with database.read() as session:
            families = [family for metrics in OF_THE_DATABASE for family in metrics(session)]
    finally:
        database.close()
    return [*schema_metrics(NEWEST_REVISION), *families]


def schema_metrics(found: str) -> list[Metric]:
    """Describe the schema of the database."""
    matches = gauge(
        "schema_matches", "Whether the schema is the one that this version needs", found == NEWEST_REVISION
    )
    versions = {"found": found, "needed": NEWEST_REVISION}
    return [matches, InfoMetricFamily(f"{PREFIX}schema", "Version of the database's schema", value=versions)]
