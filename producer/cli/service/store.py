"""``analyze gc`` and ``analyze verify``: care of what the artifact store and the database hold."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from producer.cli.context import App, pass_app
from producer.cli.printing import json_option, print_json, table
from shared.errors import VerificationFailed

if TYPE_CHECKING:
    from producer.operations.garbage import Unreferenced

MB = 10**6
HOUR = 3600
SHOWN = 20


@click.command()
@click.option("--delete", is_flag=True, help="Remove them. Without this, only say what there is.")
@click.option(
    "--older-than",
    "hours",
    default=24.0,
    show_default=True,
    type=click.FloatRange(1),
    help="Hours since a file was written or wanted: workers write files first, and what refers to them later.",
)
@json_option
@pass_app
def gc(app: App, delete: bool, hours: float, as_json: bool) -> None:
    """Find files of the artifact store that nothing refers to, and remove them with --delete.

    Attempts that died leave such files. What a job of any state refers to stays. Workers may go on meanwhile.
    """
    from producer.operations.garbage import find_garbage, remove_garbage

    found = find_garbage(app.database, app.store, hours * HOUR)
    removed = remove_garbage(app.database, app.store, found) if delete else []
    shown = removed if delete else found
    if as_json:
        print_json({"deleted": delete, "files": [vars(file) for file in shown], "bytes": _size(shown)})
        return
    if not delete and shown:
        app.out.print(table(["file", "MB"], [[file.path, f"{file.bytes / MB:.2f}"] for file in shown[:SHOWN]]))
        if len(shown) > SHOWN:
            app.out.print(f"and {len(shown) - SHOWN} more")
    said = "removed" if delete else "would be removed: say --delete" if shown else "nothing to remove"
    app.out.print(f"{len(shown)} files, {_size(shown) / MB:.1f} MB: {said}.")


def _size(files: list[Unreferenced]) -> int:
    return sum(file.bytes for file in files)


@click.command()
@click.argument("job_id", metavar="JOB", type=click.IntRange(1, 2**31 - 1))
@click.option(
    "--sample", default=64, show_default=True, type=click.IntRange(0, 100_000), help="Rows computed again."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the choice of rows.")
@json_option
@pass_app
def verify(app: App, job_id: int, sample: int, seed: int, as_json: bool) -> None:
    """See that a job's files and rows are still what they were: exit 1 if not.

    Every file's SHA-256 is computed again, and a sample of the rows: activations and places from the images, maps
    of an occlusion sweep at their lowest points, a training run's validation accuracy.
    """
    from rich.progress import track

    from producer.operations.verify import check_rows, files_of_job, what_is_wrong

    files = files_of_job(app.database, job_id)
    shown = not as_json and sys.stderr.isatty()
    checked = track(files, "files", console=app.talk, disable=not shown, transient=True)
    problems = [found for path in checked if (found := what_is_wrong(app.store, path))]
    rows = check_rows(app.database, app.settings, job_id, sample, seed) if sample else None
    wrong = [*problems, *(rows.wrong if rows else [])]
    if as_json:
        print_json(
            {
                "job": job_id,
                "files": len(files),
                "rows": rows.rows if rows else 0,
                "largest_difference": rows.largest_difference if rows else None,
                "wrong": wrong,
            }
        )
        if wrong:
            sys.exit(1)
        return
    for line in wrong[:SHOWN]:
        app.out.print(line)
    if wrong:
        raise VerificationFailed(job_id=job_id, count=len(wrong))
    if sample and rows is None:
        app.talk.print(f"Job {job_id} is not done: its rows are not computed again.")
    said = f", {rows.rows} rows computed again, largest difference {rows.largest_difference:.1e}" if rows else ""
    app.out.print(f"Job {job_id} is as it was: {len(files)} files{said}.")
