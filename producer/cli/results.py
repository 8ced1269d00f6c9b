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
    "--statistics",
    is_flag=True,
    help="Instead, each unit's statistics over all images; the histogram is in JSON and CSV.",
)
@click.option("--bottom", is_flag=True, help="Instead, the images with each unit's lowest minimum.")
@click.option("--per-class", is_flag=True, help="Instead, each unit's top images of each class.")
@click.option("--class", "class_name", metavar="NAME", help="With --per-class: only this class.")
@click.option(
    "--positions",
    is_flag=True,
    help="Instead, of a sweep with --positions, a row for each position.",
)
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with the contact sheets."
)
@pass_app
def results(
    app: App,
    /,
    job_id: int,
    layer: str | None,
    units: list[int] | None,
    form: str,
    html: Path | None,
    class_name: str | None,
    **instead: Any,
) -> None:
    """Print what a job found: for a search, the top images of every unit; for a training run, its epochs; for an
    occlusion sweep, a row for each image."""
    _check({**instead, "html": html}, class_name)
    if html:
        from producer.reading import kind_of

        if kind_of(app.database, job_id) == "occlusion":
            from producer.occlusion_report import write_report
        else:
            from producer.report import write_report

        write_report(app.database, app.store, job_id, html)
        click.echo(html)
        return
    print_records(app, _rows(app, job_id, layer, units, class_name, **instead), form)


def _check(instead: dict[str, Any], class_name: str | None) -> None:
    given = [f"--{name.replace('_', '-')}" for name, value in instead.items() if value]
    if len(given) > 1:
        raise click.UsageError(f"{given[0]} and {given[1]} exclude each other.")
    if class_name is not None and not instead["per_class"]:
        raise click.UsageError("--class goes with --per-class.")


def _rows(
    app: App,
    job_id: int,
    layer: str | None,
    units: list[int] | None,
    class_name: str | None,
    *,
    best: int | None,
    statistics: bool,
    bottom: bool,
    per_class: bool,
    positions: bool,
) -> list[dict[str, Any]]:
    from producer.occlusion_reading import map_rows, position_rows
    from producer.rankings import bottom_rows, class_rows, statistics_rows
    from producer.reading import best_units, kind_of, top_rows

    if statistics:
        return statistics_rows(app.database, job_id, layer, units)
    if bottom:
        return bottom_rows(app.database, job_id, layer, units)
    if per_class:
        return class_rows(app.database, job_id, layer, units, class_name)
    if positions:
        return position_rows(app.database, job_id)
    if best:
        return [vars(summary) for summary in best_units(app.database, job_id, best, layer)]
    kind = kind_of(app.database, job_id)
    if kind != "top9" and (layer or units):
        raise click.UsageError("--layer and --units go with a search.")
    if kind == "train":
        return _epochs(app, job_id)
    if kind == "occlusion":
        return map_rows(app.database, job_id)
    return top_rows(app.database, job_id, layer, units)


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
