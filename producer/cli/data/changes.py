"""``analyze dataset update`` and ``analyze dataset rm``: change and remove registered data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from producer.cli.bars import Bars
from producer.cli.context import App, pass_app
from producer.cli.jobs.removing import print_removed
from producer.cli.printing import json_option, print_json

if TYPE_CHECKING:
    from producer.datasets.updating import DatasetUpdate

SHOWN = 10


@click.command()
@click.argument("name")
@click.option("--root", type=click.Path(path_type=Path), help="New path of the folder, if it was moved.")
@click.option("--dry-run", is_flag=True, help="Print the differences, and change nothing.")
@json_option
@pass_app
def update(app: App, name: str, root: Path | None, dry_run: bool, as_json: bool) -> None:
    """Read the folder of a data set again, with the options of `analyze dataset add`.

    If the content has changed, NAME refers to the new content, which has a new fingerprint. Jobs keep the content
    that they were submitted on: if there are any, it stays registered as NAME@FINGERPRINT.

    If only the folder has moved (--root), existing jobs use the new folder.
    """
    from producer.datasets.reading import chosen_before, read_dataset
    from producer.datasets.removal import OWN_FOLDER
    from producer.datasets.scan import require_usable
    from producer.datasets.updating import compare, update_dataset
    from shared.database.catalogue import find_dataset
    from shared.errors import UsageError

    with app.database.read() as session:
        dataset = find_dataset(session, name)
    if root is None and not Path(dataset.root).is_dir():
        raise UsageError(
            reason=f"The folder of data set '{name}' is not there: {dataset.root}. If it was moved, give its new "
            f"path: `analyze dataset update {name} --root PATH`."
        )
    with Bars(app) as (_, show):
        found = read_dataset(
            dataset.kind,
            root or Path(dataset.root),
            chosen_before(dataset),
            show("reading images"),
            dataset.class_names,
        )
    print_notes(app, found.notes)
    require_usable(found)  # the folder may not be mounted
    if OWN_FOLDER in dataset.options and found.root == dataset.root:
        found.options[OWN_FOLDER] = dataset.options[OWN_FOLDER]
    result = compare(app.database, name, found) if dry_run else update_dataset(app.database, name, found)
    if as_json:
        print_json({**vars(result), "changed_now": not (dry_run or result.is_same)})
        return
    _print_update(app, result)
    if dry_run:
        app.err.print("Nothing was changed (--dry-run).")
    elif result.earlier_version:
        app.err.print(f"Jobs that were submitted before keep the earlier content, {result.earlier_version}.")


def print_notes(app: App, notes: list[str]) -> None:
    """Print what was assumed or skipped while reading a data set, on standard error."""
    for note in notes:
        app.err.print(f"Note: {note}")


def _print_update(app: App, result: DatasetUpdate) -> None:
    if result.is_same:
        app.out.print(f"{result.name}: the content is the same, {result.images} images at {result.root}.")
        return
    for what, paths in (("added", result.added), ("removed", result.removed), ("changed", result.changed)):
        app.out.print(f"{what}: {len(paths)}")
        for path in paths[:SHOWN]:
            app.out.print(f"  {path}")
        if len(paths) > SHOWN:
            app.out.print(f"  and {len(paths) - SHOWN} more (--json lists all)")
    app.out.print(f"{result.name}: {result.images} images at {result.root}, {result.left_out} left out")
    app.out.print(f"fingerprint {result.fingerprint}, before {result.fingerprint_before}")


@click.command()
@click.argument("name")
@click.option(
    "--with-jobs",
    is_flag=True,
    help="Also remove the jobs that were submitted on it, and the jobs that use their results.",
)
@click.option(
    "--keep-files",
    is_flag=True,
    help="Keep the images that this program drew, unpacked or downloaded into its home folder.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be removed, and remove nothing.")
@json_option
@pass_app
def rm(app: App, name: str, with_jobs: bool, keep_files: bool, dry_run: bool, as_json: bool) -> None:
    """Remove a data set from the database.

    Your own images stay. Images that this program drew, unpacked or downloaded into its home folder are deleted,
    and so are the data set's files in the pixel cache of this machine.

    A data set that jobs were submitted on can't be removed unless --with-jobs removes those jobs as well.
    """
    from producer.datasets.removal import removable_dataset, remove_dataset

    found = removable_dataset(app.database, app.settings, name, with_jobs=with_jobs)
    if not dry_run:
        remove_dataset(app.database, found, keep_files=keep_files)
    folder = None if keep_files else found.folder
    if as_json:
        jobs = [vars(job) for job in found.jobs]
        rest = {"images": found.images, "jobs": jobs, "folder": folder, "pixel_files": found.pixel_files}
        print_json({"removed": not dry_run, "name": found.name, "root": found.root, **rest})
        return
    if found.jobs:
        print_removed(app, found.jobs, dry_run)
    verb = "would be" if dry_run else "were"
    files = f"its folder {folder} {verb} deleted" if folder else f"its files at {found.root} stay"
    app.out.print(f"{name}: {found.images} images {verb} removed; {files}.")
