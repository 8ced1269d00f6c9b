"""The schema's version: create, upgrade and check it, with Alembic."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from sqlalchemy import inspect, text

from shared.database.connection import CONNECT_SECONDS, Database
from shared.database.identity import identity
from shared.errors import SchemaTooNew, SchemaTooOld

if TYPE_CHECKING:
    from alembic.config import Config

UPGRADE_LOCK = 8_206_113_105  # an arbitrary key for PostgreSQL's advisory lock
UPGRADE_WAIT_SECONDS = 60  # for each lock that another session holds


def _migrations() -> Path:
    """Return the folder of the package ``migrations``, without importing it, since it needs Alembic."""
    spec = importlib.util.find_spec("migrations")
    if spec is None or spec.origin is None:
        raise RuntimeError("the package 'migrations' is not installed")
    return Path(spec.origin).parent


# Migrations are named REVISION_WORDS.py, and their revisions sort in order.
NEWEST_REVISION = max(file.name.partition("_")[0] for file in _migrations().glob("versions/[0-9]*_*.py"))


def open_database(url: str, connect_seconds: int = CONNECT_SECONDS) -> Database:
    """Connect and check that the schema is the one that this version needs.

    A SQLite file is created or upgraded if necessary; a PostgreSQL database is upgraded only by
    ``analyze db upgrade``, since other processes may be using it.

    Raises
    ------
    DatabaseUnreachable, SchemaTooOld, SchemaTooNew
    """
    database = Database(url, connect_seconds)
    if current_revision(database) == NEWEST_REVISION:
        return database
    if database.is_sqlite and not _is_newer(database):
        upgrade(database)
    check(database)
    return database


def check(database: Database) -> None:
    """Raise ``SchemaTooOld`` or ``SchemaTooNew`` unless the schema is the newest one."""
    revision = current_revision(database)
    if revision == NEWEST_REVISION:
        return
    error = SchemaTooNew if _is_newer(database) else SchemaTooOld
    raise error(url=database, found=revision or "none", needed=NEWEST_REVISION)


def upgrade(database: Database) -> None:
    """Upgrade the schema to the newest version in one transaction.

    Raises
    ------
    SchemaTooNew
        a newer version of unitscope made the schema; nothing is changed.
    DatabaseLocked
        another session holds a lock for more than ``UPGRADE_WAIT_SECONDS``; nothing is changed.
    """
    if _is_newer(database):
        check(database)
    if database.is_sqlite and database.url.database:
        with FileLock(f"{database.url.database}.upgrade.lock"):
            _run_upgrade(database)
    else:
        _run_upgrade(database)


def _run_upgrade(database: Database) -> None:
    from alembic import command

    config = _config()
    with database.write() as session:
        if not database.is_sqlite:  # one upgrade at a time; those that waited find the schema upgraded
            session.execute(text(f"SET LOCAL lock_timeout = '{UPGRADE_WAIT_SECONDS}s'"))
            session.execute(text(f"SELECT pg_advisory_xact_lock({UPGRADE_LOCK})"))
        config.attributes["connection"] = session.connection()
        command.upgrade(config, "head")


def current_revision(database: Database) -> str | None:
    """Return the schema's version in the database, or None for an empty database."""
    with database.read() as session:
        if not inspect(session.connection()).has_table("alembic_version"):
            return None
        revision: str | None = session.scalar(text("SELECT version_num FROM alembic_version"))
        return revision


def database_identity(database: Database) -> str:
    """Return the UUID that was created with the database's schema. Copies and restored backups have the same."""
    with database.read() as session:
        return identity(session)


def _is_newer(database: Database) -> bool:
    from alembic.script import ScriptDirectory

    revision = current_revision(database)
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    return revision is not None and revision not in known


def _config() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_migrations()).replace("%", "%%"))
    return config
