"""The table of a study: mean and standard deviation over the jobs of each cell, beside published numbers."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from producer.studies.expansion import Labels, PlannedJob, planned_jobs
from producer.studies.file import Published, Scalar, StudyFile, Table, Value, parse_study
from producer.studies.numbers import Number, has_jobs, is_of_table, numbers
from producer.studies.options import takes_job
from producer.studies.records import find_study, jobs_of
from shared.database.connection import Database
from shared.jobs.tables import Job, JobState

SEPARATOR = " / "  # between the labels of a row

Key = tuple[str, ...]  # labels of a row


@dataclass(frozen=True)
class Cell:
    """Mean and sample standard deviation (None for one number) of numbers, how many, and the jobs of them."""

    mean: float
    deviation: float | None
    count: int
    jobs: list[int]

    @classmethod
    def of(cls, found: Sequence[Number]) -> Cell:
        values = [number.value for number in found]
        deviation = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), deviation, len(values), sorted({number.job_id for number in found}))

    def text(self, digits: int) -> str:
        mean = f"{self.mean:.{digits}f}"
        return mean if self.deviation is None else f"{mean} ± {self.deviation:.{digits}f}"


@dataclass(frozen=True)
class Column:
    """A column: a value, in one group if the table's ``columns`` divides it, or published numbers."""

    title: str
    value: str  # its name in the file; empty for published numbers
    group: str | None
    digits: int
    cells: Mapping[Key, Cell] = field(default_factory=dict)
    published: Mapping[Key, Scalar] = field(default_factory=dict)
    source: str = ""
    beside: str = ""  # the value that published numbers can be compared with

    def text(self, row: Key) -> str:
        if row in self.published:
            return str(self.published[row])
        return self.cells[row].text(self.digits) if row in self.cells else ""


@dataclass(frozen=True)
class StudyTable:
    """The results of a study."""

    labels: list[str]  # names of the labels of the rows
    rows: list[Key]
    columns: list[Column]
    notes: list[str]

    @property
    def sources(self) -> list[str]:
        return [f"{column.title}: {column.source}" for column in self.columns if column.source]


@dataclass(frozen=True)
class StudyState:
    """A study that was run: its file, and each of its jobs, submitted or not."""

    name: str
    title: str
    parameters: dict[str, Any]
    study: StudyFile
    jobs: list[tuple[PlannedJob, Job | None]]

    def count(self) -> dict[str, int]:
        """Return the number of jobs by state."""
        counts: dict[str, int] = {}
        for _, job in self.jobs:
            state = job.state if job else "not submitted"
            counts[state] = counts.get(state, 0) + 1
        return counts


def load_study(database: Database, name: str) -> StudyState:
    """Load a study that was run.

    Raises
    ------
    NoSuchStudy, BadStudy, EntryError
    """
    with database.read() as session:
        stored = find_study(session, name)
        submitted = jobs_of(session, stored)
    study = parse_study(stored.source, name)
    planned = planned_jobs(study, stored.parameters, takes_job, name)
    jobs = [(job, submitted.get(job.name)) for job in planned]
    return StudyState(name, stored.title or name, stored.parameters, study, jobs)


def study_table(database: Database, state: StudyState) -> StudyTable | None:
    """Return the table of a study; None if its file has none, or its jobs are left out."""
    table = state.study.table
    if table is None or not has_jobs(table, [planned for planned, _ in state.jobs]):
        return None
    found = {name: numbers(database, table, value, state.jobs) for name, value in table.values.items()}
    rows = _rows(table, state, found)
    groups = _groups(table, state, found)
    columns: list[Column] = []
    for name, value in table.values.items():
        columns += [_column(table, name, value, group, found[name]) for group in groups]
        columns += [_published(part) for part in table.published if part.beside == name]
    columns += [_published(part) for part in table.published if part.beside is None]
    columns = [column for column in columns if column.cells or column.published or not table.columns] or columns
    return StudyTable(list(table.rows), rows, columns, _notes(table, state, columns))


def _place(labels: Labels, names: Sequence[str]) -> Key | None:
    """Return the texts of these labels, or None if one is missing."""
    if any(name not in labels for name in names):
        return None
    return tuple(_text(labels[name]) for name in names)


def _text(value: Scalar) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rows(table: Table, state: StudyState, found: Mapping[str, Sequence[Number]]) -> list[Key]:
    """Return the rows, in the order of the file; rows that have nothing but published numbers come last.

    If all rows have published numbers and come in the same order there, the order is that of these numbers.
    """
    labels = [job.labels for job, _ in state.jobs if is_of_table(table, job)]
    labels += [number.labels for listed in found.values() for number in listed]
    keys = [key for part in labels if (key := _place(part, table.rows)) is not None]
    own = list(dict.fromkeys(keys))
    published = [list(_published(part).published) for part in table.published]
    first = next((listed for listed in published if [key for key in listed if key in own] == own), [])
    return list(dict.fromkeys([*first, *own, *(key for listed in published for key in listed)]))


def _groups(table: Table, state: StudyState, found: Mapping[str, Sequence[Number]]) -> list[str | None]:
    if table.columns is None:
        return [None]
    labels = [job.labels for job, _ in state.jobs] + [n.labels for listed in found.values() for n in listed]
    keys = [key for part in labels if (key := _place(part, [table.columns])) is not None]
    return list(dict.fromkeys(key[0] for key in keys))


def _column(table: Table, name: str, value: Value, group: str | None, found: Sequence[Number]) -> Column:
    cells: dict[Key, list[Number]] = {}
    for number in found:
        row = _place(number.labels, table.rows)
        if row is None or (table.columns and _place(number.labels, [table.columns]) != (group,)):
            continue
        cells.setdefault(row, []).append(number)
    title = value.title or name.replace("_", " ")
    if group is not None:
        title = group if len(table.values) == 1 else f"{title}, {group}"
    return Column(title, name, group, value.digits, {row: Cell.of(listed) for row, listed in cells.items()})


def _published(part: Published) -> Column:
    by_row = {tuple(key.split(SEPARATOR)): value for key, value in part.values.items()}
    return Column(part.title, "", None, 0, {}, by_row, part.source, part.beside or "")


def _notes(table: Table, state: StudyState, columns: Sequence[Column]) -> list[str]:
    notes = [table.notes] if table.notes else []
    cells = [cell for column in columns for cell in column.cells.values()]
    counts = {cell.count for cell in cells}
    if counts and max(counts) > 1:
        least, most = min(counts), max(counts)
        span = f"{most}" if least == most else f"{least} to {most}"
        of_jobs = all(cell.count == len(cell.jobs) for cell in cells)
        notes.append(f"Mean ± standard deviation over {span} {'jobs' if of_jobs else 'values'}.")
    jobs = [job for planned, job in state.jobs if is_of_table(table, planned)]
    if missing := sum(job is None or job.state != JobState.DONE for job in jobs):
        notes.append(f"{missing} of {len(jobs)} jobs {'is' if missing == 1 else 'are'} not done.")
    return notes
