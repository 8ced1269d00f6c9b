"""Import of an exported job. The file is untrusted: everything in it is checked before a row is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from sqlalchemy.exc import DataError, IntegrityError

from producer.tars import DamagedTar
from producer.transfer.checks import check_job
from producer.transfer.datasets import read_dataset, require_root
from producer.transfer.reading import ExportFile
from producer.transfer.writing import newest_job, write_rows
from shared.database.connection import Database
from shared.errors import BadExport
from shared.store.store import Store
from unitscope.errors import NoSuchFile


@dataclass(frozen=True)
class Imported:
    """An imported job."""

    job_id: int  # in this database
    new: bool  # False if a job with the same key existed already


def import_job(
    database: Database,
    store: Store,
    source: Path,
    *,
    root: str | None = None,
    force: bool = False,
    on_file: Callable[[], None] = lambda: None,
) -> Imported:
    """Import a job, and its data set unless one with the same fingerprint is registered.

    All rows are written in one transaction, the last step. Unless ``force`` is set, nothing is imported if a job
    with the same key exists.

    Parameters
    ----------
    root
        Folder of the data set's images on this machine; needed unless the data set is registered.
    on_file
        Called after each file.

    Raises
    ------
    BadExport
        The file is damaged, was written by another version, or is not an export; or ``root`` is needed.
    NoSuchFile, StoreFull, StoreNotWritable
    """
    try:
        with source.open("rb") as file:
            return _import(database, store, file, root, force, on_file)
    except FileNotFoundError:
        raise NoSuchFile(path=source) from None
    except DamagedTar as error:
        raise BadExport(path=source, reason=f"it {error}") from error
    except OSError as error:  # the file can't be read, or the temporary folder is full
        raise BadExport(path=source, reason=error.strerror or error) from error
    except (DataError, IntegrityError) as error:
        raise BadExport(path=source, reason=str(error.orig).splitlines()[0]) from error
    except (ValueError, RecursionError, OverflowError) as error:
        raise BadExport(path=source, reason=error) from error


def _import(
    database: Database,
    store: Store,
    file: IO[bytes],
    root: str | None,
    force: bool,
    on_file: Callable[[], None],
) -> Imported:
    export = ExportFile(file)
    if not force:
        with database.read() as session:
            known = newest_job(session, export.manifest.key)
        if known is not None:
            return Imported(known, False)
    with TemporaryDirectory() as folder, export.stage_rows(Path(folder)) as staged:
        dataset = read_dataset(staged)
        job = check_job(staged, export.manifest, dataset.found.fingerprint, set(export.sizes))
        require_root(database, dataset, root)
        export.take_files(store, on_file)
        store.make_durable(export.sizes)
        return Imported(*write_rows(database, staged, job, dataset, root, force=force))
