"""``analyze query``: SQL on a connection that can only read."""

from __future__ import annotations

import click

from producer.cli.context import App, pass_app
from producer.cli.printing import format_options, print_rows


@click.command()
@click.argument("sql")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 10_000_000), help="Rows at most.")
@click.option("--seconds", default=30.0, show_default=True, type=click.FloatRange(0.1, 3600), help="Time at most.")
@format_options
@pass_app
def query(app: App, sql: str, limit: int, seconds: float, form: str) -> None:
    """Run one SELECT and print the rows. The connection can't write.

    \b
    analyze query "SELECT unit, activation FROM top_activations WHERE job_id = 2 AND rank = 1"
    """
    from producer.querying import run_query

    answer = run_query(app.database, sql, limit=limit, seconds=seconds)
    if answer.cut:
        app.talk.print(f"Only the first {limit} rows: --limit gives more.")
    print_rows(app, answer.columns, answer.rows, form)
