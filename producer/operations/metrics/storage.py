"""Metrics of the database's size, and of the artifact store and its disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import Metric
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from producer.operations.metrics.families import gauge
from shared.jobs.tables import Artifact

SQLITE_SIZE = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
POSTGRESQL_SIZE = "SELECT pg_database_size(current_database())"


def size_metrics(session: Session) -> Iterator[Metric]:
    """Measure the database, and sum the files that it lists."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    size = session.scalars(text(SQLITE_SIZE if is_sqlite else POSTGRESQL_SIZE)).one()
    yield gauge("database_size_bytes", "Size of the database", size)
    files, stored = session.execute(select(func.count(), func.coalesce(func.sum(Artifact.bytes), 0))).one()
    yield gauge("store_files", "Files of the artifact store, as the database lists them", files)
    yield gauge("store_bytes", "Size of these files", float(stored))


def disk_metrics(store: Path, stored_file: str | None) -> Iterator[Metric]:
    """Measure the disk of the store, if the store can be seen from here.

    Without its mount the folder is an empty one on another disk. So it has to have ``stored_file``, which the
    database lists.
    """
    if not store.is_dir() or (stored_file and not (store / stored_file).exists()):
        return
    disk = shutil.disk_usage(store)
    yield gauge("store_disk_free_bytes", "Free space on the disk of the artifact store", disk.free)
    yield gauge("store_disk_size_bytes", "Size of the disk of the artifact store", disk.total)
