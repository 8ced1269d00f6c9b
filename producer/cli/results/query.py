"""``analyze query``: SQL on a connection that can only read."""

from __future__ import annotations

import click

from producer.cli.context import App, pass_app
from producer.cli.printing import format_options, print_rows

GRACE = 2.0  # seconds


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
    from producer.results.query import run_query
    from producer.results.query_limits import bounded_memory, bounded_time

    # PostgreSQL's server keeps the time itself, and stops wherever it is.
    at_most = seconds + (GRACE if app.database.is_sqlite else 60)
    words = f"analyze: The query was refused: it took more than {seconds:g} s"
    with bounded_time(at_most, words), bounded_memory():
        answer = run_query(app.database, sql, limit=limit, seconds=seconds)
    if answer.cut:
        app.talk.print(f"Only the first {limit} rows: --limit gives more.")
    print_rows(app, answer.columns, answer.rows, form)
