"""``analyze results``: what a job found."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import click

from producer.cli.context import App, Numbers, pass_app, print_json
from producer.cli.jobs import job_argument


@click.command()
@job_argument
@click.option("--layer", help="Only this layer: 5, conv5 or features.10.")
@click.option("--units", type=Numbers(), help="Only these units: 0-15,40.")
@click.option("--format", "form", default="table", show_default=True, type=click.Choice(["table", "json", "csv"]))
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@click.option(
    "--best", type=click.IntRange(1), help="Instead, the so many units whose images agree most on a class."
)
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with the contact sheets."
)
@pass_app
def results(
    app: App,
    job_id: int,
    layer: str | None,
    units: list[int] | None,
    form: str,
    best: int | None,
    html: Path | None,
) -> None:
    """Print what a job found: for a search, the top images of every unit; for a training run, its epochs."""
    from producer.progress import job_progress

    if html:
        from producer.report import write_report

        write_report(app.database, app.store, job_id, html)
        click.echo(html)
        return
    if job_progress(app.database, job_id).job.kind == "train":
        rows = _epochs(app, job_id)
    elif best:
        from producer.reading import best_units

        rows = [vars(summary) for summary in best_units(app.database, job_id, best, layer)]
    else:
        from producer.reading import top_rows

        rows = top_rows(app.database, job_id, layer, units)
    _print_rows(app, rows, form)


def _epochs(app: App, job_id: int) -> list[dict[str, Any]]:
    from sqlalchemy import select

    from shared.models import Epoch

    columns = ("epoch", "phase", "loss", "accuracy", "learning_rate", "images", "seconds")
    with app.database.read() as session:
        query = select(Epoch).where(Epoch.job_id == job_id).order_by(Epoch.epoch, Epoch.phase)
        return [{column: getattr(epoch, column) for column in columns} for epoch in session.scalars(query)]


def _print_rows(app: App, rows: list[dict[str, Any]], form: str) -> None:
    if form == "json":
        print_json(rows)
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, rows[0] if rows else [], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        app.out.print(table(rows) if rows else "No rows yet.")


def table(rows: list[dict[str, Any]]) -> Any:
    """Rows as a table for people; paths are left to --json and --csv."""
    from rich.table import Table

    shown = [name for name in rows[0] if not name.endswith("_path") or name == "image_path"]
    result = Table(*shown, box=None)
    for row in rows:
        result.add_row(*(f"{row[name]:.6g}" if isinstance(row[name], float) else str(row[name]) for name in shown))
    return result
