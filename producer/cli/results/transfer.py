"""``analyze export`` and ``analyze import``: copy a job to another home folder."""

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
    """Write a finished job to a tar file, for `analyze import`.

    The file holds the job's rows and files, with their SHA-256, and the rows of its data set. It does not hold the
    images of the data set.

    \b
    analyze export 7 conv5.tar
    """
    from producer.transfer.exporting import export_job

    manifest = export_job(app.database, app.store, job_id, target)
    rows = sum(member.count for member in manifest.rows.values())
    app.err.print(f"Job {job_id}: {rows} rows, {manifest.files} files ({manifest.bytes / 1e6:.1f} MB).")


@click.command("import")
@click.argument("source", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Folder of the data set's images on this machine; needed unless the data set is registered here.",
)
@click.option(
    "--force", is_flag=True, help="Import the job even if the same job already exists in this home folder."
)
@pass_app
def import_(app: App, source: Path, root: Path | None, force: bool) -> None:
    """Import an exported job into this home folder, and print its id.

    All rows and files are checked. If a job with the same key already exists in this home folder, nothing is
    imported and the id of that job is printed. The data set is the one with the same fingerprint, or is registered
    from the export, with the folder --root.

    Code of a network that comes with a job is not run: only `analyze network add` allows that.
    """
    from producer.transfer.importing import import_job
    from shared.database.registered import unregistered_networks

    absolute_root = str(root.absolute()) if root else None
    imported = import_job(app.database, app.own_store, source, root=absolute_root, force=force)
    if not imported.new:
        app.err.print(f"Nothing was imported: job {imported.job_id} has the same key. --force imports it again.")
    with app.database.read() as session:
        unknown = unregistered_networks(session, imported.job_id)
    for name in unknown:
        app.err.print(
            f"The job brings along the code of network '{name}', which was never added here. Its results can be "
            "read; the code is not run unless you add it (`analyze network add`).",
        )
    click.echo(imported.job_id)
