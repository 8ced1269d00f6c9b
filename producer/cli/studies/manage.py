"""The commands ``analyze study`` ls, file, and rm."""

from __future__ import annotations

from typing import Any

import click

from producer.cli.context import App, pass_app
from producer.cli.printing import format_options, json_option, print_json, print_records, print_text, utc


@click.command()
@click.option("--shipped", is_flag=True, help="List the studies that come with the program.")
@format_options
@pass_app
def ls(app: App, shipped: bool, form: str) -> None:
    """List the studies that were run, the newest first."""
    from producer.studies.parameters import as_text
    from producer.studies.records import list_studies

    if shipped:
        print_records(app, _shipped(), form)
        return
    rows: list[dict[str, Any]] = []
    for study in list_studies(app.database):
        values = {name: as_text(value) for name, value in study.parameters.items()}
        shown = ", ".join(f"{name}={value}" for name, value in values.items())
        rows.append(
            {
                "name": study.name,
                "title": study.title,
                "parameters": values if form == "json" else shown,
                "jobs": study.jobs,
                "done": study.done,
                "run": study.updated_at if form == "json" else utc(study.updated_at),
            }
        )
    if not rows and form == "table":
        app.out.print("No studies.")
        return
    print_records(app, rows, form)


def _shipped() -> list[dict[str, str]]:
    from producer.studies.file import read_study, shipped_studies
    from producer.studies.parameters import as_text

    rows = []
    for name in shipped_studies():
        _, study = read_study(name)
        parameters = [
            f"{parameter}={as_text(about.default)}" if about.default is not None else f"{parameter} (needed)"
            for parameter, about in study.parameters.items()
        ]
        rows.append({"name": name, "about": study.about, "parameters": ", ".join(parameters)})
    return rows


@click.command()
@click.argument("study", metavar="STUDY")
@pass_app
def file(app: App, study: str) -> None:
    """Print the file of a study: of one that was run, or else of one that comes with the program.

    \b
    analyze study file table-3 > mine.toml
    """
    from producer.studies.file import read_study, shipped_studies
    from producer.studies.records import find_study
    from shared.errors import NoSuchStudy

    try:
        with app.database.read() as session:
            source = find_study(session, study).source
    except NoSuchStudy:
        if study not in shipped_studies():
            raise
        source, _ = read_study(study)
    print_text(source.rstrip("\n"))


@click.command()
@click.argument("name")
@click.option(
    "--with-jobs", is_flag=True, help="Also remove its jobs and their results, except those of other studies."
)
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@json_option
@pass_app
def rm(app: App, name: str, with_jobs: bool, dry_run: bool, as_json: bool) -> None:
    """Remove a study. Its jobs and their results stay, unless --with-jobs is given.

    A queued or running job can't be removed, nor one whose results are used by a job that stays.
    """
    from producer.cli.jobs.removing import print_removed
    from producer.studies.records import find_study, forget_study, only_of_study
    from shared.jobs.removal import RemovableJob, removable_jobs, remove_job

    jobs: list[RemovableJob] = []
    with app.database.write() as session:
        study = find_study(session, name)
        if with_jobs:
            jobs = removable_jobs(session, only_of_study(session, study))
    if not dry_run:
        for job in jobs:
            remove_job(app.database, job)
        forget_study(app.database, name)
    if as_json:
        print_json({"removed": not dry_run, "study": name, "jobs": [vars(job) for job in jobs]})
    elif jobs:
        print_removed(app, jobs, dry_run)
    else:
        app.err.print(
            f"Study {name} " + ("would be removed (--dry-run)." if dry_run else "is removed; its jobs stay.")
        )
