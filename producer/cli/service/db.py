"""``analyze db``: upgrade, show, back up and vacuum the database."""

from __future__ import annotations

from pathlib import Path

import click

from producer.cli.context import App, pass_app
from producer.cli.options import new_file
from producer.cli.printing import json_option, print_json

MB = 10**6


@click.group()
def db() -> None:
    """Manage the database."""


@db.command()
@pass_app
def upgrade(app: App) -> None:
    """Upgrade the schema to the version that this program needs. SQLite databases are upgraded automatically."""
    from shared.database.connection import Database
    from shared.database.schema import current_revision
    from shared.database.schema import upgrade as run_upgrade

    database = Database(app.settings.resolved_database_url)
    before = current_revision(database)
    run_upgrade(database)
    app.err.print(f"{database}: schema {before or 'none'} -> {current_revision(database)}")


@db.command()
@json_option
@pass_app
def version(app: App, as_json: bool) -> None:
    """Show the version of the database's schema, and the version that this program needs."""
    from shared.database.connection import Database
    from shared.database.schema import NEWEST_REVISION, current_revision

    database = Database(app.settings.resolved_database_url)
    revision = current_revision(database)
    if as_json:
        print_json({"database": str(database), "found": revision, "needed": NEWEST_REVISION})
    else:
        app.out.print(f"{database}: schema {revision or 'none'}, needed {NEWEST_REVISION}")


@db.command()
@new_file
@pass_app
def backup(app: App, target: Path) -> None:
    """Copy the SQLite database to FILE. Workers can keep running.

    Copy the artifact store afterwards, not before. Use pg_dump for a PostgreSQL database.
    """
    from producer.operations.backup import back_up

    size = back_up(app.database, target)
    app.err.print(f"{target}: {size / 1e6:.1f} MB. Now copy the artifact store {app.settings.resolved_store}.")


@db.command("adopt-store")
@click.option("--yes", is_flag=True, help="Don't ask.")
@pass_app
def adopt_store(app: App, yes: bool) -> None:
    """Make the artifact store belong to this database.

    A store belongs to the database whose program first wrote to it, and commands and workers with another database
    are refused. Use this command if the store is to change its database, such as after jobs were moved from SQLite
    to PostgreSQL, or if the database is to change its store, such as after its files were lost.

    The command asks first; without a terminal it needs --yes. It changes no artifact.
    """
    from producer.cli.asking import confirm
    from shared.store.ownership import adopt_store as adopt
    from shared.store.ownership import sample_of_files

    root = app.settings.resolved_store
    sample, known = sample_of_files(app.database, root)
    files = f"of {sample} of its files that were looked up, the database knows {known}" if sample else "it is empty"
    confirm(
        f"The store {root} will belong to the database {app.database}: {files}. Programs with another database or "
        "another store will be refused, and `analyze gc` will regard files that this database does not know as "
        "garbage.",
        "Go on?",
        yes=yes,
    )
    adopt(app.database, root)
    app.err.print(f"{root} belongs to {app.database}.")


@db.command()
@json_option
@pass_app
def vacuum(app: App, as_json: bool) -> None:
    """Free the space of removed jobs and data sets.

    SQLite rewrites the file of the database, which requires that no job is running. PostgreSQL makes the space
    available to new rows while jobs run; its autovacuum usually does so already.
    """
    from producer.operations.vacuum import vacuum as run_vacuum

    done = run_vacuum(app.database)
    if as_json:
        print_json(vars(done))
    else:
        app.out.print(f"{app.database}: {done.before / MB:.1f} MB before, {done.after / MB:.1f} MB after.")
