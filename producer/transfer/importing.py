"""Reading a job's export into another home. It comes from outside: nothing in it is believed unchecked."""

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

from producer.transfer.datasets import dataset_here, found_dataset
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

LONGEST_LINE = 2**26
ROWS_AT_ONCE = 20_000  # in one transaction: a longer one would keep every other writer of a SQLite file waiting
DONE_APART = ("datasets", "images", "image_splits", "dataset_problems", "networks", "jobs")

Row = dict[str, Any]


@dataclass(frozen=True)
class Imported:
    """The job here; ``new``: it wasn't here before."""

    job_id: int
    new: bool


def import_job(
    database: Database,
    store: Store,
    source: Path,
    *,
    root: str | None = None,
    force: bool = False,
    on_file: Callable[[], None] = lambda: None,
) -> Imported:
    """Make an exported job one of this home, with its data set unless that is known here by its fingerprint.

    Until its last transaction the job is a cancelled one under another key; an import that was broken off is
    removed by the next one. A job with the same key is returned as it is, unless ``force``.

    Parameters
    ----------
    root
        where the data set's images are here; without it, where they were.
    on_file
        called after each file.

    Raises
    ------
    BadExport
        it is damaged, made by another version, or not what an export is.
    NoSuchFile, DatasetExists, StoreFull, StoreNotWritable
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
        raise BadExport(path=source, reason=f"it is no whole tar file ({error})") from error
    except (DataError, IntegrityError) as error:
        raise BadExport(path=source, reason=str(error.orig).splitlines()[0]) from error
    except (ValueError, RecursionError, OverflowError) as error:
        raise BadExport(path=source, reason=error) from error


def _members(tar: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes], int]]:
    """Name, content and size of plain files, as they come: nothing is unpacked by its name."""
    while member := tar.next():
        content = tar.extractfile(member) if member.isreg() and not member.issparse() else None
        if content is None:
            raise ValueError(f"{member.name!r} is no plain file")
        yield member.name, content, member.size
        tar.members.clear()  # type: ignore[attr-defined]  # else it remembers every one


def _read_manifest(name: str, content: IO[bytes], size: int) -> Manifest:
    if name != MANIFEST or size > LARGEST_MANIFEST:
        raise ValueError("it has no manifest")
    try:
        manifest = Manifest.model_validate_json(content.read())
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"manifest, {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if not OLDEST_SCHEMA <= manifest.schema_ <= NEWEST_REVISION:
        raise ValueError(f"it was made with schema {manifest.schema_}, here is {NEWEST_REVISION}")
    if manifest.kind not in kind_names() or not _are_known(manifest):
        raise ValueError("it is of another version of unitscope")
    return manifest


def _are_known(manifest: Manifest) -> bool:
    """Whether the tables of its kind are there, and others only if they are known or have no rows."""
    foreign = [rows for table, rows in manifest.rows.items() if table not in exported_tables()]
    return tables_of_kind(manifest.kind) <= manifest.rows.keys() and not any(rows.count for rows in foreign)


def _known(database: Database, key: str) -> int | None:
    with database.read() as session:
        newest = select(Job.id).where(Job.key == key).order_by(Job.generation.desc()).limit(1)
        return session.scalar(newest)


@dataclass
class _Importing:
    """The parts of an import."""

    database: Database
    store: Store
    manifest: Manifest
    folder: Path  # where rows are kept until all of them were checked
    root: str | None
    files: set[str] = field(default_factory=set)
    ids: dict[str, dict[int, int]] = field(default_factory=dict)  # by table: there -> here

    # --- reading ---

    def take_rows(self, members: Iterator[tuple[str, IO[bytes], int]]) -> None:
        """Copy the rows, and see that they are whole."""
        for table, rows in self.manifest.rows.items():
            name, content, _ = next(members)
            if name != rows_member(table):
                raise ValueError(f"{name!r} comes where {rows_member(table)} should be")
            file = self.folder / table
            with file.open("wb") as copy:
                shutil.copyfileobj(content, copy)
            if sha256_of_file(file) != rows.sha256:
                raise ValueError(f"the rows of {table} are damaged")
            if table not in exported_tables():  # of a kind of job that isn't known here: see ``_are_known``
                continue
            known = {column.name for column in exported_tables()[table].columns}
            if not set(rows.columns) <= known or len(set(rows.columns)) != len(rows.columns):
                raise ValueError(f"{table} has columns that are not known here")
        self.files = {row["path"] for row in self._rows(exported_tables()["artifacts"])}
        if not all(NAME.fullmatch(path) for path in self.files) or len(self.files) != self.manifest.files:
            raise ValueError("its list of files is wrong")

    def take_files(self, members: Iterator[tuple[str, IO[bytes], int]], on_file: Callable[[], None]) -> None:
        """Put the files into the store, and see that each is what its name says."""
        missing = set(self.files)
        for name, content, _ in members:
            path = name.removeprefix("store/")
            if path not in missing:
                raise ValueError(f"{name!r} is not in its list of files")
            suffix = PurePosixPath(path).suffix
            stored = self.store.write(suffix, partial(shutil.copyfileobj, content))
            if stored.path != path:  # what came instead is left to `analyze gc`
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
        """Write all rows; the job's own says that it is done when all the others are there."""
        self.store.settle(self.files)
        tables = {name: table for name, table in exported_tables().items() if name in self.manifest.rows}
        there = {name: list(self._rows(tables[name])) for name in ("datasets", "networks", "jobs")}
        (dataset,), (job,) = there["datasets"], there["jobs"]
        splits, problems = self._rows(tables["image_splits"]), self._rows(tables["dataset_problems"])
        found, numbers = found_dataset(dataset, self._rows(tables["images"]), splits, problems, self.root)
        dataset_id, images = dataset_here(self.database, dataset["name"], found, numbers)
        self.ids = {"datasets": {dataset["id"]: dataset_id}, "images": images}
        with self.database.write() as session:
            for row in there["networks"]:
                if session.get(Network, row["key"]) is None:
                    session.execute(insert(Network).values(row))
        job_id = self._begin(job, dataset_id)
        try:
            for name, table in tables.items():
                if name not in DONE_APART:
                    self._write_table(table)
            self._end(job_id)
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
        other_jobs = kinds()[self.manifest.kind].other_jobs  # their numbers mean nothing here
        specification |= {name: None for name in other_jobs if name in specification}
        parsed = parse(self.manifest.kind, specification)
        if parsed.key() != self.manifest.key or (job["key"], job["kind"]) != (self.manifest.key, parsed.kind):
            raise ValueError("its key is not that of its specification: another version may have made it")
        unfinished = hashlib.sha256(f"import of {self.manifest.key}".encode()).hexdigest()
        row = {
            **{name: value for name, value in job.items() if name != "id"},
            "specification": specification,
            "dataset_id": dataset_id,
            "key": unfinished,
            "generation": 0,
            "state": JobState.CANCELLED,
            "error": "Its import was not finished: import it again.",
        }
        with self.database.write() as session:
            session.execute(delete(Job).where(Job.key == unfinished))
            if (unused := unused_job_id(session)) is not None:
                row["id"] = unused
            job_id: int = session.execute(insert(Job).values(row).returning(Job.id)).scalar_one()
        self.ids["jobs"] = {job["id"]: job_id}
        return job_id

    def _insert(self, session: Session, table: Table, rows: list[Row]) -> None:
        """Insert rows; numbers of other rows become those that these have here."""
        references = {
            column.name: next(iter(column.foreign_keys)).column.table.name
            for column in table.columns
            if column.foreign_keys and column.name in rows[0]
        }
        there = [row.pop("id", None) for row in rows]
        for row in rows:
            for name, referred in references.items():
                if referred in self.ids and row[name] is not None:
                    row[name] = self._id_here(referred, row[name])
        if table is Artifact.__table__:
            insert_missing(session, Artifact, [self._artifact(row) for row in rows])
        elif _is_referred_to(table):
            query = insert(table).returning(table.columns.id, sort_by_parameter_order=True)
            here = session.scalars(query, rows).all()
            self.ids.setdefault(table.name, {}).update(zip(there, here, strict=True))
        else:
            session.execute(insert(table), rows)

    def _id_here(self, table: str, there: int) -> int:
        try:
            return self.ids[table][there]
        except KeyError:
            raise ValueError(f"a row refers to number {there} of {table}, which is not in the export") from None

    def _artifact(self, row: Row) -> Row:
        if row["sha256"] != sha256_of(row["path"]):
            raise ValueError("its list of files is wrong")
        return {**row, "job_id": next(iter(self.ids["jobs"].values())), "created_at": utc_now()}

    def _end(self, job_id: int) -> None:
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
                Event(job_id=job_id, level="info", message=f"imported: job {self.manifest.job_id} elsewhere")
            )


def _in_parts(rows: Iterator[Row], count: int) -> Iterator[list[Row]]:
    while some := list(itertools.islice(rows, count)):
        yield some


@cache
def _is_referred_to(table: Table) -> bool:
    """Whether rows of other tables refer to the numbers of its rows, which are others here."""
    columns = [column for other in exported_tables().values() for column in other.columns]
    return any(key.references(table) and key.column.name == "id" for c in columns for key in c.foreign_keys)
