"""``analyze cache``: list and remove the files of the pixel cache, which the workers of this machine share."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from producer.cli.context import App, pass_app
from producer.cli.printing import json_option, print_json, table, utc

MB = 2**20


@click.group()
def cache() -> None:
    """Manage the pixel cache, where workers keep decoded images.

    The cache is the folder `cache` of the home folder, with one file for each data set and image size. The setting
    `cache_gb` limits its size; the least recently used files are removed first.
    """


@cache.command()
@json_option
@pass_app
def ls(app: App, as_json: bool) -> None:
    """List the cached files, most recently used first."""
    from producer.datasets.listing import names_by_fingerprint
    from unitscope.images.pixel_files import pixel_files

    names = names_by_fingerprint(app.database)
    files = pixel_files(app.settings.cache_folder)[::-1]
    if as_json:
        print_json(
            [
                {
                    "file": file.path,
                    "datasets": names.get(file.fingerprint, []),
                    "size": file.size,
                    "images": file.images,
                    "share_cached": file.share,
                    "bytes": file.allocated,
                    "last_used": datetime.fromtimestamp(file.used, UTC),
                }
                for file in files
            ]
        )
        return
    columns = ["file", "data sets", "size", "images", "cached", "MB", "last used"]
    rows = [
        [
            file.path.name,
            ", ".join(names.get(file.fingerprint, ["-"])),
            file.size,
            file.images,
            f"{file.share:.0%}",
            f"{file.allocated / MB:.1f}",
            utc(datetime.fromtimestamp(file.used, UTC)),
        ]
        for file in files
    ]
    app.out.print(table(columns, rows) if rows else "Nothing is cached.")


@cache.command()
@click.option("--dataset", "name", help="Remove only the files of this data set.")
@pass_app
def clear(app: App, name: str | None) -> None:
    """Remove the cached files.

    A worker that has a file open can keep using it; the disk space is freed when the worker closes the file.
    """
    from shared.database.catalogue import find_dataset
    from unitscope.images.pixel_files import pixel_files

    files = pixel_files(app.settings.cache_folder)
    if name is not None:
        with app.database.read() as session:
            fingerprint = find_dataset(session, name).fingerprint
        files = [file for file in files if file.fingerprint == fingerprint]
    for file in files:
        file.path.unlink(missing_ok=True)
    freed = sum(file.allocated for file in files)
    app.out.print(f"Files removed: {len(files)}, {freed / MB:.1f} MB freed.")
