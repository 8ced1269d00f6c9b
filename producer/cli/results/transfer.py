"""``analyze export`` and ``analyze import``: a job taken from one home to another."""

from __future__ import annotations

from pathlib import Path

import click

from producer.cli.context import App, pass_app
from producer.cli.options import new_file


@click.command()
@click.argument("job_id", metavar="JOB", type=click.IntRange(1, 2**31 - 1))
@new_file
@pass_app
def export(app: App, job_id: int, target: Path) -> None:
    """Write a done job to a tar file: its rows, its files with their SHA-256, and what is known of its data set.

    Images of the data set are not in it. `analyze import` reads it in another home.

    \b
    analyze export 7 conv5.tar
    """
    from producer.transfer.exporting import export_job

    manifest = export_job(app.database, app.store, job_id, target)
    rows = sum(member.count for member in manifest.rows.values())
    app.talk.print(f"Job {job_id}: {rows} rows and {manifest.files} files, {manifest.bytes / 1e6:.1f} MB of them.")


@click.command("import")
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--root", type=click.Path(path_type=Path), help="Where the data set's images are on this machine.")
@click.option("--force", is_flag=True, help="Also if the same job is here already.")
@pass_app
def import_(app: App, source: Path, root: Path | None, force: bool) -> None:
    """Read an exported job into this home, and print its number here.

    Everything in it is checked; a job with the same key that is here already is left as it is, and its number is
    printed. A data set with the same fingerprint is used, else the exported one is registered.
    """
    from producer.transfer.importing import import_job

    where = str(root.absolute()) if root else None
    imported = import_job(app.database, app.store, source, root=where, force=force)
    if not imported.new:
        app.talk.print(f"Job {imported.job_id} is the same: nothing was imported.")
    click.echo(imported.job_id)
