"""Import of an exported job. The file is untrusted: everything in it is checked before it is used."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any

from pydantic import ValidationError
from sqlalchemy import Table, delete, func, insert, select, update
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from producer.transfer.datasets import find_or_register, parse_dataset
from producer.transfer.format import (
    LARGEST_MANIFEST,
    MANIFEST,
    OLDEST_SCHEMA,
    Manifest,
    decoded,
    exported_tables,
    rows_member,
    tables_of_kind,
)
from shared.database.base import utc_now
from shared.database.connection import Database, insert_missing
from shared.database.networks import Network
from shared.database.schema import NEWEST_REVISION
from shared.errors import BadExport
from shared.jobs.tables import Artifact, Event, Job, JobState
from shared.jobs.transitions import unused_job_id
from shared.kinds import kind_names
from shared.kinds.registry import kinds, parse
from shared.store.store import NAME, Store, sha256_of, sha256_of_file
from unitscope.errors import NoSuchFile

LONGEST_LINE = 2**26  # bytes
ROWS_AT_ONCE = 20_000  # in one transaction: a longer one would block all other writers of a SQLite file
WRITTEN_SEPARATELY = ("datasets", "images", "image_splits", "dataset_problems", "networks", "jobs")

Row = dict[str, Any]


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

    Until its last transaction the imported job is a cancelled job with a temporary key; the next import removes
    what an interrupted one left. Unless ``force`` is set, nothing is imported if a job with the same key exists.

    Parameters
    ----------
    root
        Folder of the data set's images on this machine; None for the folder on the exporting machine.
    on_file
        Called after each file.

    Raises
    ------
    BadExport
        The file is damaged, was written by another version, or is not an export.
    NoSuchFile, StoreFull, StoreNotWritable
    """
    try:
        with tarfile.open(source, "r:") as tar, TemporaryDirectory() as folder:
            members = _members(tar)
            manifest = _read_manifest(*next(members))
            if not force and (known := _known(database, manifest.key)):
                return Imported(known, False)
            importing = _Importing(database, store, manifest, Path(folder), root)
            importing.take_rows(members)
            importing.take_files(members, on_file)
            return Imported(importing.write(), True)
    except FileNotFoundError:
        raise NoSuchFile(path=source) from None
    except (tarfile.TarError, EOFError, StopIteration) as error:
        raise BadExport(path=source, reason=f"it is not a complete tar file ({error})") from error
    except (DataError, IntegrityError) as error:
        raise BadExport(path=source, reason=str(error.orig).splitlines()[0]) from error
    except (ValueError, RecursionError, OverflowError) as error:
        raise BadExport(path=source, reason=error) from error


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes], int]]:
    """Iterate over the name, content and size of the members. Nothing is unpacked to a path from the archive."""
    while member := tar.next():
        content = tar.extractfile(member) if member.isreg() and not member.issparse() else None
        if content is None:
            raise ValueError(f"{member.name!r} is not a regular file")
        yield member.name, content, member.size
        tar.members.clear()  # type: ignore[attr-defined]  # tarfile would keep all members in memory


def _read_manifest(name: str, content: IO[bytes], size: int) -> Manifest:
    if name != MANIFEST or size > LARGEST_MANIFEST:
        raise ValueError("it has no manifest")
    try:
        manifest = Manifest.model_validate_json(content.read())
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"manifest, {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if not OLDEST_SCHEMA <= manifest.schema_ <= NEWEST_REVISION:
        raise ValueError(f"its schema is {manifest.schema_}, but this program's schema is {NEWEST_REVISION}")
    if manifest.kind not in kind_names() or not _has_known_tables(manifest):
        raise ValueError("it was written by another version of unitscope")
    return manifest


def _has_known_tables(manifest: Manifest) -> bool:
    """Check that the tables of the job's kind are included, and that unknown tables have no rows."""
    unknown = [rows for table, rows in manifest.rows.items() if table not in exported_tables()]
    return tables_of_kind(manifest.kind) <= manifest.rows.keys() and not any(rows.count for rows in unknown)


def _known(database: Database, key: str) -> int | None:
    with database.read() as session:
        newest = select(Job.id).where(Job.key == key).order_by(Job.generation.desc()).limit(1)
        return session.scalar(newest)


@dataclass
class _Importing:
    """An import in progress."""

    database: Database
    store: Store
    manifest: Manifest
    folder: Path  # temporary folder of the rows, until all have been checked
    root: str | None
    files: set[str] = field(default_factory=set)
    ids: dict[str, dict[int, int]] = field(default_factory=dict)  # table -> id in the export -> id here

    # --- reading ---

    def take_rows(self, members: Iterator[tuple[str, IO[bytes], int]]) -> None:
        """Copy the rows to the temporary folder, and check their hashes and columns."""
        for table, rows in self.manifest.rows.items():
            name, content, _ = next(members)
            if name != rows_member(table):
                raise ValueError(f"it has {name!r} in place of {rows_member(table)}")
            file = self.folder / table
            with file.open("wb") as copy:
                shutil.copyfileobj(content, copy)
            if sha256_of_file(file) != rows.sha256:
                raise ValueError(f"the rows of {table} are damaged")
            if table not in exported_tables():  # of an unknown kind, without rows: see ``_has_known_tables``
                continue
            known = {column.name for column in exported_tables()[table].columns}
            if not set(rows.columns) <= known or len(set(rows.columns)) != len(rows.columns):
                raise ValueError(f"{table} has unknown columns")
        self.files = {row["path"] for row in self._rows(exported_tables()["artifacts"])}
        if not all(NAME.fullmatch(path) for path in self.files) or len(self.files) != self.manifest.files:
            raise ValueError("its list of files is wrong")

    def take_files(self, members: Iterator[tuple[str, IO[bytes], int]], on_file: Callable[[], None]) -> None:
        """Write the files to the store, and check that each matches the SHA-256 in its name."""
        missing = set(self.files)
        for name, content, _ in members:
            path = name.removeprefix("store/")
            if path not in missing:
                raise ValueError(f"{name!r} is not in its list of files")
            suffix = PurePosixPath(path).suffix
            stored = self.store.write(suffix, partial(shutil.copyfileobj, content))
            if stored.path != path:  # `analyze gc` removes the file that was written
                raise ValueError(f"{name} is damaged: its SHA-256 is {stored.sha256}")
            missing.discard(path)
            on_file()
        if missing:
            raise ValueError(f"{len(missing)} files are missing")

    def _rows(self, table: Table) -> Iterator[dict[str, Any]]:
        columns = self.manifest.rows[table.name].columns
        artifacts = [column.name for column in table.columns if column.info.get("artifact")]
        with (self.folder / table.name).open("rb") as lines:
            while line := lines.readline(LONGEST_LINE):
                try:
                    row = decoded(table, columns, line)
                except (ValueError, RecursionError) as error:
                    raise ValueError(f"a row of {table.name}: {error}") from None
                for name in artifacts:
                    if row.get(name) is not None and row[name] not in self.files:
                        raise ValueError(f"a row of {table.name} names a file that is not in the export")
                yield row

    # --- writing ---

    def write(self) -> int:
        """Write all rows, and return the job's id. The job becomes ``done`` when all other rows are written."""
        self.store.make_durable(self.files)
        tables = {name: table for name, table in exported_tables().items() if name in self.manifest.rows}
        exported = {name: list(self._rows(tables[name])) for name in ("datasets", "networks", "jobs")}
        (dataset,), (job,) = exported["datasets"], exported["jobs"]
        splits, problems = self._rows(tables["image_splits"]), self._rows(tables["dataset_problems"])
        found, exported_ids = parse_dataset(dataset, self._rows(tables["images"]), splits, problems, self.root)
        dataset_id, images = find_or_register(self.database, dataset["name"], found, exported_ids)
        self.ids = {"datasets": {dataset["id"]: dataset_id}, "images": images}
        with self.database.write() as session:
            for row in exported["networks"]:
                if session.get(Network, row["key"]) is None:
                    session.execute(insert(Network).values(row))
        job_id = self._begin(job, dataset_id)
        try:
            for name, table in tables.items():
                if name not in WRITTEN_SEPARATELY:
                    self._write_table(table)
            self._finish(job_id)
        except Exception:
            with self.database.write() as session:
                session.execute(delete(Job).where(Job.id == job_id))
            raise
        return job_id

    def _write_table(self, table: Table) -> None:
        for rows in _in_parts(self._rows(table), ROWS_AT_ONCE):
            with self.database.write() as session:
                self._insert(session, table, rows)

    def _begin(self, job: Row, dataset_id: int) -> int:
        specification = {**job["specification"], "dataset_id": dataset_id}
        other_jobs = kinds()[self.manifest.kind].other_jobs  # ids of jobs that are not in this database
        specification |= {name: None for name in other_jobs if name in specification}
        parsed = parse(self.manifest.kind, specification)
        if parsed.key() != self.manifest.key or (job["key"], job["kind"]) != (self.manifest.key, parsed.kind):
            raise ValueError("its key doesn't match its specification: another version may have written it")
        temporary_key = hashlib.sha256(f"import of {self.manifest.key}".encode()).hexdigest()
        row = {
            **{name: value for name, value in job.items() if name != "id"},
            "specification": specification,
            "dataset_id": dataset_id,
            "key": temporary_key,
            "generation": 0,
            "state": JobState.CANCELLED,
            "error": "The import of this job was not finished. Import it again.",
        }
        with self.database.write() as session:
            session.execute(delete(Job).where(Job.key == temporary_key))
            if (unused := unused_job_id(session)) is not None:
                row["id"] = unused
            job_id: int = session.execute(insert(Job).values(row).returning(Job.id)).scalar_one()
        self.ids["jobs"] = {job["id"]: job_id}
        return job_id

    def _insert(self, session: Session, table: Table, rows: list[Row]) -> None:
        """Insert rows, with their ids and references replaced by those of this database."""
        references = {
            column.name: next(iter(column.foreign_keys)).column.table.name
            for column in table.columns
            if column.foreign_keys and column.name in rows[0]
        }
        exported_ids = [row.pop("id", None) for row in rows]
        for row in rows:
            for name, referenced in references.items():
                if referenced in self.ids and row[name] is not None:
                    row[name] = self._local_id(referenced, row[name])
        if table is Artifact.__table__:
            insert_missing(session, Artifact, [self._artifact(row) for row in rows])
        elif _is_referenced(table):
            query = insert(table).returning(table.columns.id, sort_by_parameter_order=True)
            local_ids = session.scalars(query, rows).all()
            self.ids.setdefault(table.name, {}).update(zip(exported_ids, local_ids, strict=True))
        else:
            session.execute(insert(table), rows)

    def _local_id(self, table: str, exported_id: int) -> int:
        try:
            return self.ids[table][exported_id]
        except KeyError:
            raise ValueError(f"a row refers to id {exported_id} of {table}, which is not in the export") from None

    def _artifact(self, row: Row) -> Row:
        if row["sha256"] != sha256_of(row["path"]):
            raise ValueError("its list of files is wrong")
        return {**row, "job_id": next(iter(self.ids["jobs"].values())), "created_at": utc_now()}

    def _finish(self, job_id: int) -> None:
        with self.database.write() as session:
            newest = session.scalar(select(func.max(Job.generation)).where(Job.key == self.manifest.key))
            values = {
                "key": self.manifest.key,
                "generation": 0 if newest is None else newest + 1,
                "state": JobState.DONE,
                "error": None,
            }
            session.execute(update(Job).where(Job.id == job_id).values(values))
            session.add(
                Event(
                    job_id=job_id,
                    level="info",
                    message=f"imported: job {self.manifest.job_id} of the exporting database",
                )
            )


def _in_parts(rows: Iterator[Row], count: int) -> Iterator[list[Row]]:
    while part := list(itertools.islice(rows, count)):
        yield part


@cache
def _is_referenced(table: Table) -> bool:
    """Return whether other tables have foreign keys to this table's ids."""
    columns = [column for other in exported_tables().values() for column in other.columns]
    return any(key.references(table) and key.column.name == "id" for c in columns for key in c.foreign_keys)
