"""``analyze results``: what a job found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from producer.cli.context import App, Numbers, pass_app
from producer.cli.jobs import job_argument
from producer.cli.printing import format_options, print_records


@click.command()
@job_argument
@click.option("--layer", help="Only this layer: 5, conv5 or features.10.")
@click.option("--units", type=Numbers(), help="Only these units: 0-15,40.")
@format_options
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
    from producer.reading import best_units, kind_of, top_rows

    if html:
        from producer.report import write_report

        write_report(app.database, app.store, job_id, html)
        click.echo(html)
        return
    if kind_of(app.database, job_id) == "train":
        rows = _epochs(app, job_id)
    elif best:
        rows = [vars(summary) for summary in best_units(app.database, job_id, best, layer)]
    else:
        rows = top_rows(app.database, job_id, layer, units)
    print_records(app, rows, form)


def _epochs(app: App, job_id: int) -> list[dict[str, Any]]:
    from sqlalchemy import select

    from shared.models import Epoch

    columns = (
        *("epoch", "phase", "loss", "accuracy", "top5_accuracy", "learning_rate", "gradient_norm"),
        *("images", "seconds"),
    )
    with app.database.read() as session:
        query = select(Epoch).where(Epoch.job_id == job_id).order_by(Epoch.epoch, Epoch.phase)
        return [{column: getattr(epoch, column) for column in columns} for epoch in session.scalars(query)]
