"""Check of ``analyze doctor``: whether the artifact store belongs to the database."""

from __future__ import annotations

from pathlib import Path

from producer.operations.checks import Check
from shared.database.connection import Database
from shared.store.ownership import check_store


def store_identity_check(database: Database, root: Path) -> Check:
    """Return the passed check.

    Raises
    ------
    StoreNotUsable
        the store belongs to another database, or is not the one that workers of other machines have.
    """
    status = check_store(database, root)
    if status.content is None:
        return Check("store identity", True, f"{root} is not in use yet")
    return Check("store identity", True, f"{root} belongs to the database")
