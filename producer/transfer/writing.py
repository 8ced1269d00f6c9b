"""Writing of an export's rows, which were checked, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from sqlalchemy import Table, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from producer.transfer.checks import CheckedJob, done_shard
from producer.transfer.datasets import ExportedDataset, find_or_register
from producer.transfer.format import exported_tables
from producer.transfer.staging import StagedRows, parts
from shared.database.base import utc_now
from shared.database.connection import Database, insert_missing
from shared.database.datasets import Dataset, DatasetProblem, Image, ImageSplit
from shared.database.networks import Network
from shared.jobs.files import register_files
from shared.jobs.tables import Artifact, Job, Shard
from shared.jobs.transitions import add_event, unused_job_id

ATTEMPTS = 3  # another process may import the same job or data set at the same time
OF_DATASET = (Dataset.__table__, Image.__table__, ImageSplit.__table__, DatasetProblem.__table__)
NOT_COPIED = (*OF_DATASET, Network.__table__, Job.__table__, Artifact.__table__)


def newest_job(session: Session, key: str) -> int | None:
    """Return the id of the newest job with this key."""
    return session.scalar(select(Job.id).where(Job.key == key).order_by(Job.generation.desc()).limit(1))


def write_rows(
    database: Database,
    staged: StagedRows,
    job: CheckedJob,
    dataset: ExportedDataset,
    root: str | None,
    *,
    force: bool,
) -> tuple[int, bool]:
    """Write the rows of an export; return the job's id in this database, and whether it is new.

    Unless ``force`` is set, nothing is written if a job with the same key exists by now.

    Raises
    ------
    ValueError
        The data set is not registered, and ``root`` is None.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with database.write() as session:
                known = None if force else newest_job(session, job.row["key"])
                if known is not None:
                    return known, False
                return _Writing(session, staged, job).write(dataset, root), True
        except IntegrityError:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError


@dataclass
class _Writing:
    """The transaction. ``ids``: by table, the ids of this database by those of the export."""

    session: Session
    staged: StagedRows
    job: CheckedJob
    ids: dict[str, dict[Any, Any]] = field(default_factory=dict)

    def write(self, dataset: ExportedDataset, root: str | None) -> int:
        dataset_id, images = find_or_register(self.session, dataset, root)
        self.ids = {Dataset.__tablename__: {dataset.exported_id: dataset_id}, Image.__tablename__: images}
        job_id = self._insert_job(dataset_id)
        self.ids[Job.__tablename__] = {self.job.exported_id: job_id}
        self._insert_artifacts(job_id)
        for table in self.staged.tables.values():
            if table not in NOT_COPIED:
                self._copy(table)
        add_event(
            self.session, job_id, None, "info", f"imported: job {self.job.exported_id} of the exporting database"
        )
        return job_id

    def _insert_job(self, dataset_id: int) -> int:
        row = self.job.row
        newest = self.session.scalar(select(func.max(Job.generation)).where(Job.key == row["key"]))
        values = {
            **row,
            "specification": {**row["specification"], "dataset_id": dataset_id},
            "dataset_id": dataset_id,
            "generation": 0 if newest is None else newest + 1,
        }
        if (unused := unused_job_id(self.session)) is not None:
            values["id"] = unused
        return self.session.execute(insert(Job).values(values).returning(Job.id)).scalar_one()

    def _insert_artifacts(self, job_id: int) -> None:
        """Insert the files that no other job has, which this job then wrote first."""
        now = utc_now()
        for rows in parts(self.staged.rows(Artifact.__tablename__)):
            register_files(self.session, job_id, [{**row, "job_id": job_id, "created_at": now} for row in rows])

    def _copy(self, table: Table) -> None:
        """Copy the rows of a table; its ids and references become those of this database."""
        translations = list(self._translations(table))
        for rows in parts(self.staged.rows(table.name)):
            exported_ids = [row.pop("id", None) for row in rows]
            for row in rows:
                for name, translate in translations:
                    if row[name] is not None:
                        row[name] = translate(row[name])
            if table is Shard.__table__:
                rows = [done_shard(row) for row in rows]
            if _is_referred_to(table):
                query = insert(table).returning(table.columns.id, sort_by_parameter_order=True)
                local_ids = self.session.scalars(query, rows).all()
                self.ids.setdefault(table.name, {}).update(zip(exported_ids, local_ids, strict=True))
            else:
                self.session.execute(insert(table), rows)

    def _translations(self, table: Table) -> Iterator[tuple[str, Callable[[Any], Any]]]:
        """Yield each column that refers to another table, and the function that translates its values."""
        for key in table.foreign_keys:
            referred = key.column.table
            if referred is Network.__table__:
                yield key.parent.name, partial(_constant, self._network_key())
            else:
                # Every id is in the mapping: the references were checked, and the referred rows were written.
                yield key.parent.name, self.ids.get(referred.name, {}).__getitem__

    def _network_key(self) -> str:
        """Return the key of the job's network. Its description is computed when it is first needed."""
        network = getattr(self.job.specification, "network")  # noqa: B009 - of the kinds that train one
        key: str = network.key()
        insert_missing(self.session, Network, [{"key": key, "name": network.name, "description": {}}])
        return key


def _constant(result: str, value: Any) -> str:
    return result


@cache
def _is_referred_to(table: Table) -> bool:
    """Return whether other tables of an export have foreign keys to this table's ids."""
    columns = [column for other in exported_tables().values() for column in other.columns]
    return any(key.references(table) and key.column.name == "id" for c in columns for key in c.foreign_keys)
