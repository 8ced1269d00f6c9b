"""``analyze gc`` and ``analyze verify``: maintenance of the artifact store."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from producer.cli.context import App, pass_app
from producer.cli.options import JobId
from producer.cli.printing import json_option, print_json, table
from shared.errors import VerificationFailed, message
from unitscope.errors import ImageUnavailable

if TYPE_CHECKING:
    from producer.operations.garbage import Survey, Unreferenced

MB = 10**6
HOUR = 3600
SHOWN = 20


@click.command()
@click.option("--delete", is_flag=True, help="Remove the files.  [default: only list them]")
@click.option(
    "--older-than",
    "hours",
    default=24.0,
    show_default=True,
    type=click.FloatRange(1),
    help="Minimum age, in hours since a file was last written or reused: workers write a file before the row "
    "that refers to it.",
)
@click.option("--yes", is_flag=True, help="Don't ask before more than a fifth of the store is removed.")
@json_option
@pass_app
def gc(app: App, delete: bool, hours: float, yes: bool, as_json: bool) -> None:
    """List files of the artifact store that nothing refers to, or remove them with --delete.

    Attempts that were killed or failed leave such files. Files that a job refers to stay, whatever the state of
    the job. Workers can keep running.

    A store that belongs to another database is refused. If more than a fifth of the files or bytes would be
    removed, the command asks first; without a terminal it needs --yes.
    """
    from producer.cli.asking import confirm
    from producer.operations.garbage import remove_garbage, survey
    from shared.store.ownership import check_store

    check_store(app.database, app.settings.resolved_store)
    store = app.own_store if delete else app.store
    found = survey(app.database, store, hours * HOUR)
    shown = found.garbage
    if delete:
        if found.is_large:
            confirm(_large(app, found), "Remove them?", yes=yes)
        shown = remove_garbage(app.database, store, shown)
    if as_json:
        print_json({"deleted": delete, "files": [vars(file) for file in shown], "bytes": _size(shown)})
        return
    if not delete and shown:
        app.out.print(table(["file", "MB"], [[file.path, f"{file.bytes / MB:.2f}"] for file in shown[:SHOWN]]))
        if len(shown) > SHOWN:
            app.out.print(f"and {len(shown) - SHOWN} more")
    outcome = "removed" if delete else "--delete removes them" if shown else "nothing to remove"
    app.out.print(f"{len(shown)} files, {_size(shown) / MB:.1f} MB: {outcome}.")


def _large(app: App, found: Survey) -> str:
    """Describe what would be removed, if it is a large part of the store."""
    newer = (
        f" {found.newer} of them are newer than everything in the database, which may have been restored from an "
        "older backup."
        if found.newer
        else ""
    )
    size = f"{found.garbage_bytes / MB:.1f} of {found.bytes / MB:.1f} MB"
    return (
        f"{len(found.garbage)} of {found.files} files ({size}) of the store {app.settings.resolved_store} are "
        f"unknown to the database {app.database} and would be removed.{newer}"
    )


def _size(files: list[Unreferenced]) -> int:
    return sum(file.bytes for file in files)


@click.command()
@click.argument("job_id", metavar="[JOB]", required=False, type=JobId())
@click.option("--all", "every", is_flag=True, help="Check all jobs that are done, and print those that differ.")
@click.option(
    "--sample",
    default=64,
    show_default=True,
    type=click.IntRange(0, 100_000),
    help="Number of rows to compute again, of each job.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed of the sample of rows.")
@json_option
@pass_app
def verify(app: App, job_id: int | None, every: bool, sample: int, seed: int, as_json: bool) -> None:
    """Check that the files and rows of a job are unchanged; exit with 1 if they are not.

    The SHA-256 of every file is computed again, and a sample of the rows: activations and their positions for a
    top-9 search, the lowest points of an occlusion sweep's maps, the validation accuracy of a training run. Images
    that were left out are compared with the job's summary, and a sample of them is read again.
    """
    if (job_id is None) != every:
        raise click.UsageError("Give either a JOB or --all.")
    if job_id is None:
        from producer.cli.service.verify_all import verify_all

        verify_all(app, sample, seed, as_json=as_json)
        return

    from rich.progress import track

    from producer.operations.left_out import left_out_problem
    from producer.operations.verify import check_rows, file_problem, files_of_job
    from producer.results.jobs import incomplete_job

    files = files_of_job(app.database, job_id)
    shown = not as_json and sys.stderr.isatty()
    checked = track(files, "files", console=app.err, disable=not shown, transient=True)
    problems = [problem for path in checked if (problem := file_problem(app.store, path))]
    missing = incomplete_job(app.database, job_id)
    if problem := left_out_problem(app.database, job_id):
        problems.append(problem)
    try:
        rows = check_rows(app.database, app.settings, job_id, sample, seed) if sample else None
    except ImageUnavailable as error:  # the files were checked
        problems.append(message(error))
        rows = None
    wrong = [*problems, *(rows.wrong if rows else [])]
    if as_json:
        print_json(
            {
                "job": job_id,
                "files": len(files),
                "rows": rows.rows if rows else 0,
                "largest_difference": rows.largest_difference if rows else None,
                "wrong": wrong,
                "incomplete": missing is not None,
            }
        )
        if wrong:
            sys.exit(1)
        return
    for line in wrong[:SHOWN]:
        app.out.print(line)
    if wrong:
        raise VerificationFailed(job_id=job_id, count=len(wrong))
    if missing:
        app.err.print(missing.text)
    if sample and rows is None and not wrong:
        app.err.print(f"Job {job_id} is not done, so only its files were checked.")
    checked_rows = f", {rows.rows} rows (largest difference {rows.largest_difference:.1e})" if rows else ""
    outcome = "is unchanged, but incomplete" if missing else "is unchanged"
    app.out.print(f"Job {job_id} {outcome}: {len(files)} files{checked_rows}.")
