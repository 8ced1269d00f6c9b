"""``analyze compare``: compare training runs."""

from __future__ import annotations

from pathlib import Path

import click

from producer.cli.context import App, pass_app
from producer.cli.options import JobId
from producer.cli.printing import format_options, print_json, print_records


@click.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN...", type=JobId())
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), help="Also draw all curves to this PNG file."
)
@format_options
@pass_app
def compare(app: App, runs: tuple[int, ...], picture: Path | None, form: str) -> None:
    """Compare training runs: results, settings that differ, and validation accuracy by epoch."""
    from producer.files import write_file
    from producer.kinds.train.comparison import compared_runs, draw_comparison, epoch_rows, summary_rows

    compared = compared_runs(app.database, runs)
    if picture:
        write_file(picture, draw_comparison(compared))
        app.err.print(f"Curves: {picture}")
    if form == "json":
        print_json({"runs": summary_rows(compared), "epochs": epoch_rows(compared)})
        return
    if form == "table":
        print_records(app, summary_rows(compared), form)
        app.out.print()
    print_records(app, epoch_rows(compared), form)
