"""``analyze study show``: the table of a study, in several formats, and its figure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from producer.cli.context import App, pass_app
from producer.cli.printing import CSV_TEXT, print_json, print_rows, print_text, table

if TYPE_CHECKING:
    from producer.studies.page import PageSection
    from producer.studies.table import StudyState

FORMATS = ["table", "markdown", "csv", "latex", "json"]


@click.command()
@click.argument("name")
@click.option(
    "--format",
    "form",
    default="table",
    show_default=True,
    type=click.Choice(FORMATS),
    help=f"Output format. {CSV_TEXT}",
)
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), help="Also draw the table to this PNG file."
)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write a page with the sections of the study to this HTML file instead.",
)
@click.option("--jobs", "only_jobs", is_flag=True, help="List the jobs and their states instead.")
@pass_app
def show(app: App, name: str, form: str, picture: Path | None, html: Path | None, only_jobs: bool) -> None:
    """Show the results of a study: mean and standard deviation of each value over the jobs of a cell.

    \b
    analyze study show table-3
    analyze study show table-3 --format latex > table3.tex
    analyze study show table-3 --picture table3.png
    analyze study show paper-voc --html paper.html
    """
    if html:
        if picture or only_jobs or form != "table":
            raise click.UsageError("--html can't be combined with --picture, --jobs, or --format.")
        write_page(app, name, html)
        print_text(str(html))
        return
    if only_jobs:
        if picture or form not in ("table", "csv", "json"):
            raise click.UsageError("--jobs can't be combined with --picture, or with this --format.")
        _print_jobs(app, name, form)
        return
    print_study(app, name, form, picture)


def write_page(app: App, name: str, page: Path, reasons: Mapping[str, str] | None = None) -> list[PageSection]:
    """Write the page of a study, and return its sections.

    ``reasons`` says why jobs are left out, by their names.
    """
    from producer.files import write_file
    from producer.studies.page import render_study, study_sections
    from producer.studies.table import load_study

    state = load_study(app.database, name)
    sections = study_sections(app.database, app.store, state, reasons or {})
    write_file(page, render_study(state, sections).encode())
    return sections


def print_study(app: App, name: str, form: str, picture: Path | None = None) -> None:
    """Print the table of a study; without one, its jobs."""
    from producer.files import write_file
    from producer.studies.formats import as_json, csv_rows, latex, markdown, text_rows
    from producer.studies.table import load_study, study_table
    from shared.errors import UsageError

    state = load_study(app.database, name)
    results = study_table(app.database, state)
    if form == "json":
        print_json(as_json(state, results))
    elif results is None:
        if form != "table" or picture:
            raise UsageError(reason=f"Study '{name}' has no table; its file describes none.")
        _print_state(app, state)
    elif form == "markdown":
        print_text(markdown(state.title, results))
    elif form == "latex":
        print_text(latex(state.title, results))
    elif form == "csv":
        print_rows(app, *csv_rows(results), form)
    else:
        app.out.print(state.title)
        app.out.print(table(*text_rows(results)))
        for note in (*results.notes, *results.sources):
            app.out.print(note)
    if picture and results is not None:
        from producer.studies.figure import draw_study  # imports matplotlib

        write_file(picture, draw_study(state, results))
        app.err.print(f"Figure: {picture}")


def _print_jobs(app: App, name: str, form: str) -> None:
    from producer.studies.formats import as_json
    from producer.studies.table import load_study

    state = load_study(app.database, name)
    if form == "json":
        print_json(as_json(state, None)["jobs"])
    elif form == "csv":
        print_rows(app, *_job_rows(state), form)
    else:
        _print_state(app, state)


def _print_state(app: App, state: StudyState) -> None:
    app.out.print(state.title)
    app.out.print(table(*_job_rows(state)))


def _job_rows(state: StudyState) -> tuple[list[str], list[list[object]]]:
    rows: list[list[object]] = [
        [planned.name, planned.kind, job.id if job else "", job.state if job else "not submitted"]
        for planned, job in state.jobs
    ]
    return ["name", "kind", "job", "state"], rows
