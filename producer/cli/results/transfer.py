"""``analyze export`` and ``analyze import``: copy a job to another home folder."""

from __future__ import annotations

from pathlib import Path

import click

from producer.cli.context import App, pass_app
from producer.cli.options import JobId, optional_new_file


@click.command()
@click.argument("job_id", metavar="JOB", type=JobId())
@optional_new_file
@click.option(
    "--site",
    "folder",
    metavar="DIRECTORY",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the job's pages as files into this new or empty folder instead. They open in a browser without a "
    "server.",
)
@pass_app
def export(app: App, job_id: int, target: Path | None, folder: Path | None) -> None:
    """Write a finished job to a tar file, for `analyze import`, or as a web site.

    The file holds the job's rows and files, with their SHA-256, and the rows of its data set. It does not hold the
    images of the data set.

    \b
    analyze export 7 conv5.tar
    analyze export 7 --site conv5
    """
    if (target is None) == (folder is None):
        raise click.UsageError("Give either FILE or --site DIRECTORY.")
    if folder is not None:
        _export_site(app, job_id, folder)
        return
    assert target is not None  # noqa: S101 - checked above
    from producer.transfer.exporting import export_job

    manifest = export_job(app.database, app.store, job_id, target)
    rows = sum(member.count for member in manifest.rows.values())
    app.err.print(f"Job {job_id}: {rows} rows, {manifest.files} files ({manifest.bytes / 1e6:.1f} MB).")


def _export_site(app: App, job_id: int, folder: Path) -> None:
    from producer.gallery.page import Gallery
    from producer.gallery.site.writer import Site
    from producer.kinds.descriptor import load
    from producer.kinds.registry import producer_kinds
    from producer.results.jobs import kind_of
    from shared.errors import UsageError

    kind = kind_of(app.database, job_id)
    writer = producer_kinds()[kind].site
    if writer is None:
        raise UsageError(
            reason=f"Job {job_id} is of kind {kind}, which has no pages to export. See `analyze results`."
        )
    gallery = Gallery(app.settings, app.database, app.store)
    site = Site(gallery, folder)
    try:
        load(writer)(gallery, job_id, site)
        site.close()
    except BaseException:  # also Ctrl+C: the same folder can be used the next time
        site.discard()
        raise
    files = [file for file in folder.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    images, are = ("images", "are") if site.left_out > 1 else ("image", "is")
    grey = f"{site.left_out} {images} of the data set can't be read here and {are} grey."
    app.err.print(
        f"{len(files)} files ({size / 1e6:.1f} MB). Open {folder / 'index.html'} in a browser.",
        *([grey] if site.left_out else []),
    )


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
            f"read; the code is not run unless you add it (`analyze network add {name} --from-job "
            f"{imported.job_id}`; with --extract FOLDER you can read it before).",
        )
    click.echo(imported.job_id)
