"""``analyze db``: the schema of the database, a copy of it, and its size."""

from __future__ import annotations

from pathlib import Path

import click

from producer.cli.context import App, pass_app
from producer.cli.options import new_file
from producer.cli.printing import json_option, print_json

MB = 10**6


@click.group()
def db() -> None:
    """Look after the database."""


@db.command()
@pass_app
def upgrade(app: App) -> None:
    """Bring the schema to the version this program needs. SQLite does it by itself."""
    from shared.database.connection import Database
    from shared.database.schema import current_revision
    from shared.database.schema import upgrade as run_upgrade

    database = Database(app.settings.resolved_database_url)
    before = current_revision(database)
    run_upgrade(database)
    app.talk.print(f"{database}: schema {before or 'none'} -> {current_revision(database)}")


@db.command()
@json_option
@pass_app
def version(app: App, as_json: bool) -> None:
    """Show the schema's version, and the one this program needs."""
    from shared.database.connection import Database
    from shared.database.schema import NEWEST_REVISION, current_revision

    database = Database(app.settings.resolved_database_url)
    found = current_revision(database)
    if as_json:
        print_json({"database": str(database), "found": found, "needed": NEWEST_REVISION})
    else:
        app.out.print(f"{database}: schema {found or 'none'}, needed {NEWEST_REVISION}")


@db.command()
@new_file
@pass_app
def backup(app: App, target: Path) -> None:
    """Copy the SQLite database to FILE while workers go on. Copy the artifact store after it, not before.

    A PostgreSQL database is backed up by pg_dump.
    """
    from producer.operations.backup import back_up

    size = back_up(app.database, target)
    app.talk.print(f"{target}: {size / 1e6:.1f} MB. Now copy the store, {app.settings.resolved_store}.")


@db.command()
@json_option
@pass_app
def vacuum(app: App, as_json: bool) -> None:
    """Free the space of removed jobs and data sets.

    The file of a SQLite database is written anew, without that space; no job may run meanwhile. PostgreSQL makes
    the space available to new rows, while jobs go on; it also does so by itself.
    """
    from producer.operations.vacuum import vacuum as run_vacuum

    done = run_vacuum(app.database)
    if as_json:
        print_json(vars(done))
    else:
        app.out.print(f"{app.database}: {done.before / MB:.1f} MB before, {done.after / MB:.1f} MB now.")
