"""Export of a job."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import ColumnElement, Table, select
from sqlalchemy.orm import Session

from producer.files import whole_file
from producer.results.jobs import find_job
from producer.transfer.format import MANIFEST, Manifest, RowsMember, encoded, exported_tables, rows_member
from shared.database.connection import Database
from shared.database.datasets import Dataset, DatasetProblem, Image, ImageSplit
from shared.database.networks import Network, TrainingRun
from shared.database.schema import NEWEST_REVISION
from shared.errors import JobStateConflict
from shared.jobs.tables import Artifact, Job, JobState
from shared.store.references import ROWS_AT_ONCE, referenced_artifacts, rows_of_job
from shared.store.store import Store, sha256_of
from shared.version import program_version


def export_job(
    database: Database, store: Store, job_id: int, target: Path, on_file: Callable[[], None] = lambda: None
) -> Manifest:
    """Write the rows and files of a finished job to ``target``, atomically.

    ``on_file`` is called after each file.

    Raises
    ------
    NoSuchJob, JobStateConflict, ArtifactMissing, FileNotWritable
    """
    with (
        whole_file(target) as unfinished,
        TemporaryDirectory(dir=target.parent, prefix=".export-") as folder,
        database.read() as session,
    ):
        job = find_job(session, job_id)
        if job.state != JobState.DONE:
            raise JobStateConflict(job_id=job_id, state=job.state, action="exported")
        paths = sorted(set(referenced_artifacts(session, job_id)))
        files = {path: store.locate(path) for path in paths}
        rows = {name: _write_rows(session, job, table, Path(folder)) for name, table in exported_tables().items()}
        rows[Artifact.__tablename__] = _write_artifacts(files, Path(folder))
        manifest = Manifest(
            program=program_version(),
            schema_=NEWEST_REVISION,
            job_id=job.id,
            kind=job.kind,
            key=job.key,
            rows=rows,
            files=len(files),
            bytes=sum(file.stat().st_size for file in files.values()),
        )
        with tarfile.open(unfinished, "w", format=tarfile.PAX_FORMAT) as tar:
            _add_bytes(tar, MANIFEST, manifest.model_dump_json(by_alias=True, indent=1).encode())
            for name in rows:
                _add(tar, rows_member(name), Path(folder) / name)
            for path, file in files.items():
                _add(tar, f"store/{path}", file)
                on_file()
    return manifest


def _write_rows(session: Session, job: Job, table: Table, folder: Path) -> RowsMember:
    columns = [column.name for column in table.columns]
    query = select(*table.columns).where(_condition(table, job)).order_by(*table.primary_key)
    rows = session.execute(query.execution_options(yield_per=ROWS_AT_ONCE)).mappings()
    return _write_lines(folder / table.name, columns, rows)


def _condition(table: Table, job: Job) -> ColumnElement[bool]:
    """Return the condition that selects a table's rows of a job, its data set, or its network."""
    if table is Dataset.__table__:
        return Dataset.id == job.dataset_id
    if table is ImageSplit.__table__:
        return ImageSplit.dataset_id == job.dataset_id
    if table in (Image.__table__, DatasetProblem.__table__):
        return table.columns.dataset_id == job.dataset_id
    if table is Network.__table__:
        return Network.key.in_(select(TrainingRun.network_key).where(TrainingRun.job_id == job.id))
    condition = rows_of_job(table, job.id)
    assert condition is not None  # noqa: S101 - all other tables have rows of jobs
    return condition


def _write_artifacts(files: dict[str, Path], folder: Path) -> RowsMember:
    """Write rows of all files that the job refers to, including those that another job wrote first."""
    columns = ["path", "sha256", "bytes"]
    values = ((path, sha256_of(path), file.stat().st_size) for path, file in files.items())
    rows = (dict(zip(columns, row, strict=True)) for row in values)
    return _write_lines(folder / Artifact.__tablename__, columns, rows)


def _write_lines(file: Path, columns: list[str], rows: Any) -> RowsMember:
    count, digest = 0, hashlib.sha256()
    with file.open("wb") as written:
        for row in rows:
            line = encoded(row, columns)
            written.write(line)
            digest.update(line)
            count += 1
    return RowsMember(columns=columns, count=count, sha256=digest.hexdigest())


def _add(tar: tarfile.TarFile, name: str, file: Path) -> None:
    with file.open("rb") as content:
        member = tarfile.TarInfo(name)
        member.size = os.fstat(content.fileno()).st_size
        tar.addfile(member, content)


def _add_bytes(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
