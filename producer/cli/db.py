"""``analyze db``: the database's schema."""

from __future__ import annotations

import click

from producer.cli.context import App, pass_app
from producer.cli.printing import json_option, print_json


@click.group()
def db() -> None:
    """Look after the database's schema."""


@db.command()
@pass_app
def upgrade(app: App) -> None:
    """Bring the schema to the version this program needs. SQLite does it by itself."""
    from shared.database import Database
    from shared.schema import current_revision
    from shared.schema import upgrade as run_upgrade

    database = Database(app.settings.resolved_database_url)
    before = current_revision(database)
    run_upgrade(database)
    app.talk.print(f"{database}: schema {before or 'none'} -> {current_revision(database)}")


@db.command()
@json_option
@pass_app
def version(app: App, as_json: bool) -> None:
    """Show the schema's version, and the one this program needs."""
    from shared.database import Database
    from shared.schema import NEWEST_REVISION, current_revision

    database = Database(app.settings.resolved_database_url)
    found = current_revision(database)
    if as_json:
        print_json({"database": str(database), "found": found, "needed": NEWEST_REVISION})
    else:
        app.out.print(f"{database}: schema {found or 'none'}, needed {NEWEST_REVISION}")
