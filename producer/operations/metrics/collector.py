"""The collector of all metrics: it reads the database, Redis and the store's disk at each scrape.

All exporters of a database report the same values: what is counted, is counted in the database.
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import make_url, select

from producer.operations.metrics.background import BackgroundCall, Result
from producer.operations.metrics.counters import counter_metrics
from producer.operations.metrics.families import PREFIX, gauge
from producer.operations.metrics.jobs import job_metrics, running_metrics
from producer.operations.metrics.messages import message_metrics
from producer.operations.metrics.queues import queue_metrics
from producer.operations.metrics.storage import disk_metrics, size_metrics
from producer.operations.metrics.workers import worker_metrics
from shared.database.connection import Database
from shared.database.schema import NEWEST_REVISION, check
from shared.errors import DatabaseUnreachable, SchemaTooNew, SchemaTooOld
from shared.jobs.broker import Broker
from shared.jobs.tables import Artifact
from shared.settings import redacted
from shared.version import program_version
from unitscope.errors import UnitscopeError

SCRAPE_SECONDS = 5.0
LEAST_SECONDS = 0.5  # for what is asked after a server that hangs
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
    log_problems
        Log when a server stops answering, and when it answers again.
    """

    def __init__(
        self,
        database_url: str,
        broker: Broker,
        store: Path,
        seconds: float = SCRAPE_SECONDS,
        *,
        log_problems: bool = True,
    ) -> None:
        self.seconds, self.log_problems = seconds, log_problems
        self._database = BackgroundCall(lambda: read_database(database_url))
        self._redis = BackgroundCall(lambda: list(message_metrics(broker)))
        self._store = BackgroundCall(lambda: list(disk_metrics(store, self._stored_file)))
        self._stored_file: str | None = None
        self._problems: dict[str, str] = {}

    def describe(self) -> list[Metric]:
        """Return no metrics, so that registration doesn't query a database that may not answer."""
        return []

    def collect(self) -> Iterator[Metric]:
        deadline = time.monotonic() + self.seconds
        database, redis = self._database.start(), self._redis.start()
        build = {"version": program_version(), "python": platform.python_version(), "schema": NEWEST_REVISION}
        yield InfoMetricFamily(f"{PREFIX}build", "Versions of the exporter", value=build)
        if content := self._result("database", database, deadline):
            self._stored_file = content.stored_file
        yield gauge("database_up", "Whether the database answers and has the schema that this version needs",
                    content is not None)  # fmt: skip
        yield from content.families if content else self._other_schema(database)
        messages = self._result("redis", redis, deadline)
        yield gauge("redis_up", "Whether Redis answers", messages is not None)
        yield from messages or ()
        yield from self._result("store", self._store.start(), deadline) or ()

    def _result(self, name: str, call: Future[Result], deadline: float) -> Result | None:
        """Return a call's result, or None if it failed or does not end before the deadline."""
        try:
            result = call.result(max(deadline - time.monotonic(), LEAST_SECONDS))
        except TimeoutError:
            self._note(name, f"no answer within {self.seconds:g} seconds")
        except UnitscopeError as error:
            self._note(name, str(error))
        except Exception as error:  # such as a missing permission: the other metrics are still of use
            self._note(name, f"{type(error).__name__}: {error}")
        else:
            self._note(name, "")
            return result
        return None

    def _note(self, name: str, problem: str) -> None:
        """Log a problem when it begins, changes, or ends (an empty string); not at each scrape."""
        before = self._problems.get(name, "")
        self._problems[name] = problem
        if self.log_problems and problem != before:
            if problem:
                logger.warning("%s: %s", name, problem)
            else:
                logger.info("%s: ok again", name)

    def _other_schema(self, call: Future[DatabaseContent]) -> list[Metric]:
        """Describe the schema that a call has found, if it failed because of it."""
        error = call.exception() if call.done() else None
        if isinstance(error, SchemaTooOld | SchemaTooNew):
            return schema_metrics(str(error.details["found"]))
        return []


@dataclass(frozen=True)
class DatabaseContent:
    """What a scrape reads from the database. ``stored_file``: the path of a file that the store must have."""

    families: list[Metric]
    stored_file: str | None


def read_database(url: str) -> DatabaseContent:
    """Read all metrics of the database, on a new connection.

    The exporter only reads: a SQLite file is neither created nor upgraded.

    Raises
    ------
    DatabaseUnreachable, SchemaTooOld, SchemaTooNew
    """
    sqlite_file = make_url(url).database if url.startswith("sqlite") else None
    if sqlite_file and not Path(sqlite_file).is_file():
        raise DatabaseUnreachable(url=redacted(url), reason="the file does not exist (yet)")
    database = Database(url)
    try:
        check(database)
        with database.read() as session:
            families = [family for metrics in OF_THE_DATABASE for family in metrics(session)]
            file = session.scalar(select(Artifact.path).limit(1))
    finally:
        database.close()
    return DatabaseContent([*schema_metrics(NEWEST_REVISION), *families], file)


def schema_metrics(found: str) -> list[Metric]:
    """Describe the schema of the database."""
    matches = gauge(
        "schema_matches", "Whether the schema is the one that this version needs", found == NEWEST_REVISION
    )
    versions = {"found": found, "needed": NEWEST_REVISION}
    return [matches, InfoMetricFamily(f"{PREFIX}schema", "Version of the database's schema", value=versions)]
