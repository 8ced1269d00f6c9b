"""``analyze query``: run SQL on a read-only connection."""

from __future__ import annotations

import click

from producer.cli.context import App, pass_app
from producer.cli.printing import format_options, print_rows

# Seconds after which the process is ended, beyond the query's own time limit.
SQLITE_GRACE = 2.0
POSTGRESQL_GRACE = 60.0  # the server enforces the limit itself, at any point of a query


@click.command()
@click.argument("sql")
@click.option(
    "--limit",
    default=1000,
    show_default=True,
    type=click.IntRange(1, 10_000_000),
    help="Maximum number of rows.",
)
@click.option(
    "--seconds",
    default=30.0,
    show_default=True,
    type=click.FloatRange(0.1, 3600),
    help="Time limit, in seconds.",
)
@format_options
@pass_app
def query(app: App, sql: str, limit: int, seconds: float, form: str) -> None:
    """Run one SELECT statement on a read-only connection, and print the rows.

    On PostgreSQL the connection is that of ANALYZE_QUERY_DATABASE_URL, if it is set.

    \b
    analyze query "SELECT unit, activation FROM top_activations WHERE job_id = 2 AND rank = 1"
    """
    from producer.results.query import run_query
    from producer.results.query_limits import memory_limit, time_limit

    database = app.query_database
    process_limit = seconds + (SQLITE_GRACE if database.is_sqlite else POSTGRESQL_GRACE)
    message = f"analyze: The query was refused: it took more than {seconds:g} s"
    with time_limit(process_limit, message), memory_limit():
        answer = run_query(database, sql, limit=limit, seconds=seconds)
    if answer.cut:
        app.err.print(f"These are the first {limit} rows. Raise --limit to print more.")
    print_rows(app, answer.columns, answer.rows, form)
