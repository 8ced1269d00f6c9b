"""``analyze query``: SQL on a connection that can only read."""

from __future__ import annotations

import csv
import sys

import click

from producer.cli.context import App, pass_app, print_json


@click.command()
@click.argument("sql")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 10_000_000), help="Rows at most.")
@click.option("--seconds", default=30.0, show_default=True, type=click.FloatRange(0.1, 3600), help="Time at most.")
@click.option("--format", "form", default="table", show_default=True, type=click.Choice(["table", "json", "csv"]))
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@pass_app
def query(app: App, sql: str, limit: int, seconds: float, form: str) -> None:
    """Run one SELECT and print the rows. The connection can't write.

    \b
    analyze query "SELECT unit, activation FROM top_activations WHERE job_id = 2 AND rank = 1"
    """
    from rich.table import Table

    from producer.querying import run_query

    answer = run_query(app.database, sql, limit=limit, seconds=seconds)
    if answer.cut:
        app.talk.print(f"Only the first {limit} rows: --limit gives more.")
    if form == "json":
        print_json([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
    elif form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(answer.columns)
        writer.writerows(answer.rows)
    else:
        table = Table(*answer.columns, box=None)
        for row in answer.rows:
            table.add_row(*(str(value) for value in row))
        app.out.print(table)
