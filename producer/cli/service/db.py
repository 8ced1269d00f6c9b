"""``analyze db``: upgrade, show, back up, restore and vacuum the database; its artifact store."""

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
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@pass_app
def restore(app: App, source: Path) -> None:
    """Restore a backup into an empty database.

    FILE is a copy by `analyze db backup` if the database is SQLite, or a dump by `pg_dump --format=custom` if it
    is PostgreSQL, which needs the program pg_restore. A database with data sets or jobs is refused, and so is one
    that workers use. Copy the artifact store, too.

    The tables are upgraded as soon as a command uses a SQLite database, and by `analyze db upgrade` in PostgreSQL.
    """
    from producer.operations.restore import restore as run_restore
    from shared.database.connection import Database
    from shared.database.schema import NEWEST_REVISION, current_revision

    database = Database(app.settings.resolved_database_url)
    run_restore(database, source)
    upgrade = "" if current_revision(database) == NEWEST_REVISION else "run `analyze db upgrade`, and "
    app.err.print(
        f"{database}: restored from {source}. Now {upgrade}copy the artifact store to "
        f"{app.settings.resolved_store}. `analyze doctor` checks that they belong together."
    )


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
    files = f"the database knows {known} of {sample} files that were looked up" if sample else "it is empty"
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
