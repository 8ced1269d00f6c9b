"""The schema's version: make it, upgrade it, refuse another one. Alembic does the work."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock

from shared.database import Database
from shared.errors import SchemaTooNew, SchemaTooOld


def open_database(url: str) -> Database:
    """Connect, and see that the schema is the one this program knows.

    A SQLite file is made or upgraded on the way; a PostgreSQL database is upgraded only by
    ``analyze db upgrade``, since others may be using it.

    Raises
    ------
    DatabaseOutOfReach, SchemaTooOld, SchemaTooNew
    """
    database = Database(url)
    if current_revision(database) == newest_revision():
        return database
    if database.is_sqlite and not _is_newer(database):
        upgrade(database)
    check(database)
    return database


def check(database: Database) -> None:
    """Raise ``SchemaTooOld`` or ``SchemaTooNew`` unless the schema is the newest one."""
    found = current_revision(database)
    if found == newest_revision():
        return
    error = SchemaTooNew if _is_newer(database) else SchemaTooOld
    raise error(url=database, found=found or "none", needed=newest_revision())


def upgrade(database: Database) -> None:
    """Bring the schema to the newest version, in one transaction.

    Raises
    ------
    SchemaTooNew
        a newer program made it: nothing is changed.
    """
    if _is_newer(database):
        check(database)
    if database.is_sqlite and database.url.database:
        with FileLock(f"{database.url.database}.upgrade.lock"):
            _run_upgrade(database)
    else:
        _run_upgrade(database)


def _run_upgrade(database: Database) -> None:
    config = _config()
    with database.write() as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, "head")


def current_revision(database: Database) -> str | None:
    """The schema's version in the database, None for an empty one."""
    with database.read() as session:
        return MigrationContext.configure(session.connection()).get_current_revision()


def newest_revision() -> str:
    """The schema's version this program needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:  # the package is broken
        raise RuntimeError("the package 'migrations' has no revision")
    return head


def _is_newer(database: Database) -> bool:
    found = current_revision(database)
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    return found is not None and found not in known


def _config() -> Config:
    spec = importlib.util.find_spec("migrations")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package 'migrations' is not installed")
    config = Config()
    config.set_main_option("script_location", str(Path(spec.origin).parent).replace("%", "%%"))
    return config
