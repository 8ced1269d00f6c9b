"""``analyze rm``: remove jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.context import App, pass_app
from producer.cli.options import JobId
from producer.cli.printing import json_option, print_json, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shared.jobs.removal import RemovableJob

MB = 10**6


@click.command()
@click.argument("job_ids", metavar="JOB...", nargs=-1, required=True, type=JobId())
@click.option("--cascade", is_flag=True, help="Also remove the jobs that use the results of these jobs.")
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@json_option
@pass_app
def rm(app: App, job_ids: tuple[int, ...], cascade: bool, dry_run: bool, as_json: bool) -> None:
    """Remove jobs and their results from the database.

    A queued or running job can't be removed; cancel it first. A job whose results other jobs use, such as a
    training run whose weights were searched, can't be removed unless --cascade removes those jobs as well.

    Ids of removed jobs are not used again. `analyze gc --delete` removes their files from the artifact store.
    """
    from shared.jobs.removal import removable_jobs, remove_job

    with app.database.write() as session:
        jobs = removable_jobs(session, job_ids, with_dependents=cascade)
    if not dry_run:
        for job in jobs:
            remove_job(app.database, job)
    if as_json:
        print_json({"removed": not dry_run, "jobs": [vars(job) for job in jobs]})
    else:
        print_removed(app, jobs, dry_run)


def print_removed(app: App, jobs: Sequence[RemovableJob], dry_run: bool) -> None:
    """Print a table of the jobs, and how to delete their files."""
    rows = [[job.job_id, job.description, job.dataset, f"{job.bytes / MB:.1f}"] for job in jobs]
    app.out.print(table(["job", "what", "data set", "MB"], rows))
    app.err.print(
        "Nothing was removed (--dry-run)."
        if dry_run
        else "Removed. `analyze gc --delete` deletes files that no other job uses once they are a day old."
    )
