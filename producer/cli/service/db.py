"""``analyze db``: upgrade, show, back up and vacuum the database."""

from __future__ import annotations

import re
from pathlib import Path

import click

from producer.cli.context import App, pass_app
from producer.cli.options import new_file
from producer.cli.printing import json_option, print_json

MB = 10**6
ROLE_NAME = re.compile("[a-z_][a-z0-9_]{0,62}")


def _role_name(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if not ROLE_NAME.fullmatch(value) or value.startswith("pg_"):
        raise click.BadParameter("use lower-case letters, digits, and underscores")
    return value


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


@db.command("query-role")
@click.argument("name", default="unitscope_query", callback=_role_name)
def query_role(name: str) -> None:
    """Print the SQL that creates the role NAME for `analyze query` on PostgreSQL.

    With this role a query can read the tables and views, and nothing else. A superuser runs the SQL in the
    database, and again if it was restored from a dump. Then give the role a password, and set
    ANALYZE_QUERY_DATABASE_URL.

    \b
    analyze db query-role > query-role.sql
    """
    from producer.operations.query_role import query_role_sql

    click.echo(query_role_sql(name), nl=False)
