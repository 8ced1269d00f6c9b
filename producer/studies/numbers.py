"""The numbers that a study's table is made of: read from the summaries and result tables of its jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from producer.kinds.descriptor import Result, load
from producer.kinds.registry import producer_kinds
from producer.results.tables import ComputedTable, ResultTable
from producer.studies.expansion import Labels, PlannedJob
from producer.studies.file import TEXTS, OptionValue, StudyFile, Table, Value
from producer.studies.parameters import filled
from shared.database.connection import Database
from shared.errors import BadStudy, SummaryNotReadable, UsageError
from shared.jobs.tables import Job, JobState
from shared.kinds.registry import kinds, read_summary

PICKS: dict[str, Callable[[list[float]], float]] = {
    "first": lambda numbers: numbers[0],
    "last": lambda numbers: numbers[-1],
    "max": max,
    "min": min,
    "mean": lambda numbers: sum(numbers) / len(numbers),
    "sum": sum,
    "count": lambda numbers: float(len(numbers)),
}


@dataclass(frozen=True)
class Number:
    """A number of a job, with the labels of its place in the table: those of the job, and columns of its row."""

    job_id: int
    labels: Labels
    value: float


def check_table(study: StudyFile, jobs: Sequence[PlannedJob], path: object) -> None:
    """Check that the table's values, labels and columns exist.

    Raises
    ------
    BadStudy
    """
    if study.table is None:
        return
    try:
        for name, value in study.table.values.items():
            _check_jobs(f"table.values.{name}", value, study)
        if not has_jobs(study.table, jobs):
            return
        columns = {
            column
            for name, value in study.table.values.items()
            for column in _check_value(f"table.values.{name}", value, study, jobs)
        }
        labels = {label for job in jobs for label in job.labels}
        for label in _dimensions(study.table):
            if label not in labels | columns:
                known = ", ".join(sorted(labels | columns))
                raise UsageError(reason=f"table: no job has the label '{label}'. Labels and columns: {known}.")
        for published in study.table.published:
            if published.beside is not None and published.beside not in study.table.values:
                raise UsageError(reason=f"table.published: there is no value '{published.beside}'.")
    except UsageError as error:
        raise BadStudy(path=path, reason=error) from error


def is_of_table(table: Table, job: PlannedJob) -> bool:
    """Return whether any value of a table is read from a job."""
    return any(is_of_value(value, job) for value in table.values.values())


def is_of_value(value: Value, job: PlannedJob) -> bool:
    """Return whether a value is read from a job; a value that names no entries is of all."""
    return not value.job or job.entry in value.job


def has_jobs(table: Table, jobs: Iterable[PlannedJob]) -> bool:
    """Return whether any value of a table is read from these jobs; it is not if they are left out."""
    return any(is_of_table(table, job) for job in jobs)


def check_sections(study: StudyFile, values: Mapping[str, OptionValue], path: object) -> None:
    """Check that the jobs and parameters that the sections of the page name exist.

    Raises
    ------
    BadStudy
    """
    for number, section in enumerate(study.sections):
        place = f"sections.{number}"
        try:
            for name in section.jobs:
                if name not in study.jobs:
                    raise UsageError(reason=f"there is no job '{name}'. Jobs: {', '.join(study.jobs)}.")
                if producer_kinds()[study.jobs[name].kind].section is None:
                    raise UsageError(reason=f"jobs of kind {study.jobs[name].kind} have no section.")
            if not section.jobs and study.table is None:
                raise UsageError(reason="give 'jobs', or a table to the study.")
            for name in TEXTS:
                filled(getattr(section, name), values)
        except UsageError as error:
            raise BadStudy(path=path, reason=f"{place} ({section.title}): {error}") from error


def _dimensions(table: Table) -> list[str]:
    return [*table.rows, *([table.columns] if table.columns else [])]


def _check_jobs(place: str, value: Value, study: StudyFile) -> None:
    for entry in value.job:
        if entry not in study.jobs:
            raise UsageError(reason=f"{place}: there is no job '{entry}'. Jobs: {', '.join(study.jobs)}.")


def _check_value(place: str, value: Value, study: StudyFile, jobs: Sequence[PlannedJob]) -> list[str]:
    """Check a value; return the columns of the result tables that it is read from."""
    if (value.summary is None) == (value.results is None):
        raise UsageError(reason=f"{place}: give either 'summary' or 'results'.")
    used = sorted({job.kind for job in jobs if is_of_value(value, job)})
    if not used:  # left out
        return []
    if value.summary is not None:
        if value.column is not None or value.where:
            raise UsageError(reason=f"{place}: 'column' and 'where' need 'results'.")
        known = {kind: model.model_fields for kind in used if (model := kinds()[kind].summary)}
        if len(known) == len(used) and not any(value.summary.split(".")[0] in fields for fields in known.values()):
            names = ", ".join(sorted({field for fields in known.values() for field in fields}))
            raise UsageError(reason=f"{place}: no summary has '{value.summary}'. Names: {names}.")
        return []
    tables = {kind: table for kind in used if (table := _result_table(kind, value))}
    if not tables:
        titles = ", ".join(result.name for kind in used for result in producer_kinds()[kind].results)
        raise UsageError(reason=f"{place}: there are no results '{value.results}'. Results: {titles}.")
    columns = {column for table in tables.values() for column in table.row.__dataclass_fields__}
    if value.column is None and value.pick != "count":
        raise UsageError(reason=f"{place}: give 'column', one of {', '.join(sorted(columns))}.")
    for column in [*([value.column] if value.column else []), *value.where]:
        if column not in columns:
            choices = ", ".join(sorted(columns))
            raise UsageError(reason=f"{place}: '{value.results}' has no column '{column}'. Columns: {choices}.")
    return sorted(columns)


def numbers(
    database: Database, table: Table, value: Value, jobs: Iterable[tuple[PlannedJob, Job | None]]
) -> list[Number]:
    """Return a value's numbers: one for each job that is done, or more if labels of the table divide its rows."""
    found: list[Number] = []
    for planned, job in jobs:
        if job is None or job.state != JobState.DONE or not is_of_value(value, planned):
            continue
        read = _from_summary if value.summary is not None else _from_results
        found += read(database, table, value, planned, job)
    return found


def _scaled(value: Value, number: float) -> float:
    return value.offset + value.scale * number


def _from_summary(database: Database, table: Table, value: Value, planned: PlannedJob, job: Job) -> list[Number]:
    try:
        found: Any = read_summary(job.kind, job.summary)
    except SummaryNotReadable:
        return []
    for part in (value.summary or "").split("."):
        if isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            found = found.get(part) if isinstance(found, Mapping) else None
    number = _as_number(found)
    return [] if number is None else [Number(job.id, planned.labels, _scaled(value, number))]


def _from_results(database: Database, table: Table, value: Value, planned: PlannedJob, job: Job) -> list[Number]:
    results = _result_table(job.kind, value)
    if results is None:
        return []
    columns = [name for name in _dimensions(table) if name not in planned.labels]
    if any(name not in results.row.__dataclass_fields__ for name in columns):
        return []
    places: dict[tuple[Any, ...], list[float]] = {}
    for row in results.rows(database, job.id):
        if any(str(getattr(row, name)) != str(wanted) for name, wanted in value.where.items()):
            continue
        number = 1.0 if value.column is None else _as_number(getattr(row, value.column))
        if number is not None:
            places.setdefault(tuple(getattr(row, name) for name in columns), []).append(number)
    return [
        Number(job.id, {**planned.labels, **dict(zip(columns, place, strict=True))}, _scaled(value, picked))
        for place, listed in places.items()
        for picked in (listed if value.pick == "each" else [PICKS[value.pick](listed)])
    ]


def _result_table(kind: str, value: Value) -> ResultTable[Any] | ComputedTable[Any] | None:
    results: Sequence[Result] = producer_kinds()[kind].results
    return next((load(result.table) for result in results if result.name == value.results), None)


def _as_number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
