"""A store with files, and the rows of its database."""

from __future__ import annotations

import os
import time
from pathlib import Path

from shared.database.connection import Database
from shared.database.datasets import Dataset
from shared.jobs.tables import Artifact
from shared.store.store import StoredFile
from tests.integration.ledger.helpers import SHA256

DAY = 86_400


def add_dataset(database: Database) -> None:
    """Add data set 1, which jobs need."""
    with database.write() as session:
        session.add(
            Dataset(id=1, name="voc", kind="voc", root="/", options={}, fingerprint=SHA256, class_names=["cat"])
        )


def register(database: Database, *stored: StoredFile) -> None:
    with database.write() as session:
        for file in stored:
            session.add(Artifact(path=file.path, sha256=file.sha256, bytes=file.bytes))


def files(root: Path) -> set[str]:
    """Return all files below the root, including the identity file."""
    return {str(file.relative_to(root)) for file in root.rglob("*") if file.is_file()}


def grow_old(root: Path, days: float = 2) -> None:
    for path in files(root):
        os.utime(root / path, (time.time() - days * DAY,) * 2)
