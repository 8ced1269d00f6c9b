"""The jobs of a study: its entries, multiplied by their grids, in an order in which each rests on earlier ones."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from producer.studies.file import Entry, OptionValue, Scalar, StudyFile
from producer.studies.parameters import LEAVE_OUT, as_text, filled, placeholders
from shared.errors import UsageError
from unitscope.errors import UnitscopeError

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
LARGEST_STUDY = 10_000  # jobs

Labels = dict[str, Scalar]
TakesJob = Callable[[str, str], bool]  # (kind, option)


class EntryError(UnitscopeError):
    """{path}, job '{entry}': {reason}"""

    def __init__(self, path: object, entry: str, reason: object, exit_code: int = 2) -> None:
        super().__init__(path=path, entry=entry, reason=reason)
        self.exit_code = exit_code


@dataclass(frozen=True)
class JobReference:
    """The value of an option that is the id of another job of the study, by its name."""

    name: str


@dataclass(frozen=True)
class PlannedJob:
    """A job of a study, submitted or not.

    ``name`` is unique in the study: the entry, and the values of the grid if there is one (``train[seed=1]``).
    ``existing`` is the number of a job that is used instead of submitting one, or 0.
    """

    number: int
    name: str
    entry: str
    kind: str
    options: Mapping[str, OptionValue | JobReference | list[Scalar | JobReference]]
    labels: Labels
    existing: int = 0
    optional: bool = False

    @property
    def references(self) -> list[str]:
        """Names of the jobs that this one rests on."""
        values = (
            part for value in self.options.values() for part in (value if isinstance(value, list) else [value])
        )
        return list(dict.fromkeys(part.name for part in values if isinstance(part, JobReference)))

    def options_with(self, job_ids: Mapping[str, int]) -> dict[str, OptionValue]:
        """Return the options with the ids of the jobs that this one rests on."""

        def resolved(part: Scalar | JobReference) -> Scalar:
            return job_ids[part.name] if isinstance(part, JobReference) else part

        return {
            name: [resolved(part) for part in value] if isinstance(value, list) else resolved(value)
            for name, value in self.options.items()
        }


@dataclass(frozen=True)
class _Member:
    """A job with its place in the grid: the values of its own and of inherited variables."""

    job: PlannedJob
    place: dict[str, Scalar]


def planned_jobs(
    study: StudyFile, values: Mapping[str, OptionValue], takes_job: TakesJob, path: object
) -> list[PlannedJob]:
    """Return all jobs of a study, in the order of the file.

    An entry that rests on an entry with a grid has a job for each job of that entry. It inherits its labels.

    Parameters
    ----------
    values
        Values of the parameters.
    takes_job
        Whether an option of a kind is the id of a job, so that a text in it is the name of an entry.
    path
        Name of the file in errors.

    Raises
    ------
    EntryError
        An entry names something that does not exist, or entries rest on one another in a circle.
    """
    entries = {name: _with_defaults(study, entry) for name, entry in study.jobs.items()}
    named: dict[str, dict[str, list[str]]] = {}
    members: dict[str, list[_Member]] = {}
    left_out = _left_out(entries, values)
    name = ""
    try:
        for name, entry in entries.items():
            named[name] = _named_entries(entry, entries, takes_job)
        entries = _without(left_out, entries, named)
        named = {name: options for name, options in named.items() if name in entries}
        for name in _in_order(named):
            members[name] = _members(name, entries[name], values, named[name], members)
    except UsageError as error:
        raise EntryError(path, name, error) from error
    except CycleError as error:
        circle = [str(part) for part in error.args[1]]
        raise EntryError(path, circle[0], f"it rests on itself ({' - '.join(circle)}).") from None
    jobs = [member.job for name in entries for member in members[name]]
    if len(jobs) > LARGEST_STUDY:
        raise UsageError(reason=f"Study '{study.name}' has {len(jobs)} jobs; {LARGEST_STUDY} are possible.")
    return [PlannedJob(**{**vars(job), "number": number}) for number, job in enumerate(jobs)]


def _left_out(entries: Mapping[str, Entry], values: Mapping[str, OptionValue]) -> set[str]:
    """Return the entries that the parameter ``leave-out`` names.

    Raises
    ------
    UsageError
    """
    chosen = values.get(LEAVE_OUT, [])
    left_out = {str(name) for name in (chosen if isinstance(chosen, list) else [chosen])}
    if unknown := sorted(left_out - set(entries)):
        choices = ", ".join(entries)
        raise UsageError(reason=f"There is no job '{unknown[0]}' to leave out. Jobs: {choices}.")
    return left_out


def _without(
    left_out: set[str], entries: dict[str, Entry], named: Mapping[str, Mapping[str, Sequence[str]]]
) -> dict[str, Entry]:
    """Remove entries, and those that rest on them."""
    left_out = set(left_out)
    for name in _in_order(named):
        if any(other in left_out for others in named[name].values() for other in others):
            left_out.add(name)
    return {name: entry for name, entry in entries.items() if name not in left_out}


def _in_order(named: Mapping[str, Mapping[str, Sequence[str]]]) -> list[str]:
    """Return the entries in an order in which each follows those that it refers to."""
    graph = {name: {other for others in options.values() for other in others} for name, options in named.items()}
    return [*TopologicalSorter(graph).static_order()]


def _with_defaults(study: StudyFile, entry: Entry) -> Entry:
    defaults = study.defaults.get(entry.kind)
    if defaults is None:
        return entry
    parts = {part: {**getattr(defaults, part), **getattr(entry, part)} for part in ("options", "grid", "labels")}
    return entry.model_copy(update=parts)


def _named_entries(entry: Entry, entries: Mapping[str, Entry], takes_job: TakesJob) -> dict[str, list[str]]:
    """Return the entries that each option refers to.

    Raises
    ------
    UsageError
    """
    named: dict[str, list[str]] = {}
    for option, value in entry.options.items():
        parts = value if isinstance(value, list) else [value]
        names = [part for part in parts if isinstance(part, str) and NAME.fullmatch(part)]
        if not names or not takes_job(entry.kind, option):
            continue
        for name in names:
            if name not in entries:
                raise UsageError(
                    reason=f"option '{option}' is the id of a job, or the name of a job of the study, not "
                    f"'{name}'. Jobs: {', '.join(entries)}."
                )
        named[option] = names
    return named


def _members(
    name: str,
    entry: Entry,
    values: Mapping[str, OptionValue],
    named: Mapping[str, Sequence[str]],
    members: Mapping[str, Sequence[_Member]],
) -> list[_Member]:
    """Return the jobs of an entry: one for each combination of its own and of inherited values."""
    own = {variable: _grid_values(variable, listed, values) for variable, listed in entry.grid.items()}
    if clash := sorted(set(own) & set(values)):
        raise UsageError(reason=f"'{clash[0]}' is a parameter of the study, and can't be in a grid as well.")
    others = list(dict.fromkeys(other for names in named.values() for other in names))
    inherited: dict[str, list[Scalar]] = {}
    for other in others:
        for member in members[other]:
            for variable, value in member.place.items():
                if variable not in own and value not in inherited.setdefault(variable, []):
                    inherited[variable].append(value)
    grid = {**inherited, **own}
    if own and _existing(entry, values):
        raise UsageError(reason="it is an existing job, and can't have a grid.")
    if (count := math.prod(len(listed) for listed in grid.values())) > LARGEST_STUDY:
        raise UsageError(reason=f"its grid has {count} jobs; {LARGEST_STUDY} are possible.")
    places = {other: {tuple(member.place.values()): member for member in members[other]} for other in others}
    found = []
    for combination in itertools.product(*grid.values()):
        place = dict(zip(grid, combination, strict=True))
        used = {other: _member_at(other, places[other], place) for other in others}
        found.append(_member(name, entry, values, named, own, place, used))
    return found


def _existing(entry: Entry, values: Mapping[str, OptionValue]) -> int:
    """Return the number of the job that is used for an entry, or 0."""
    number = filled(entry.existing, values)
    if isinstance(number, bool) or not isinstance(number, int) or number < 0:
        raise UsageError(reason=f"'existing' is the number of a job, or 0, not {as_text(number)!r}.")
    return number


def _grid_values(variable: str, listed: list[Scalar] | str, values: Mapping[str, OptionValue]) -> list[Scalar]:
    chosen = filled(listed, values)
    if not isinstance(chosen, list):
        raise UsageError(reason=f"the grid's '{variable}' is not a list.")
    if not chosen or len({str(value) for value in chosen}) < len(chosen):
        raise UsageError(reason=f"the grid's '{variable}' is empty, or has a value twice.")
    return chosen


def _member_at(entry: str, members: Mapping[tuple[Scalar, ...], _Member], place: Mapping[str, Scalar]) -> _Member:
    """Return the member whose values in the grid are those of ``place``. All members have the same variables."""
    variables = next(iter(members.values())).place
    wanted = {variable: place[variable] for variable in variables}
    if (found := members.get(tuple(wanted.values()))) is None:
        raise UsageError(reason=f"it rests on {job_name(entry, wanted)}, which is not in the study.")
    return found


def _member(
    name: str,
    entry: Entry,
    values: Mapping[str, OptionValue],
    named: Mapping[str, Sequence[str]],
    own: Mapping[str, object],
    place: dict[str, Scalar],
    used: Mapping[str, _Member],
) -> _Member:
    known: dict[str, OptionValue] = {**values, **place}
    options: dict[str, Any] = {
        option: filled(value, known) for option, value in entry.options.items() if option not in named
    }
    for option, others in named.items():
        value = entry.options[option]
        names = {other: JobReference(used[other].job.name) for other in others}
        listed = [names.get(str(part), part) for part in (value if isinstance(value, list) else [value])]
        options[option] = listed if isinstance(value, list) else listed[0]
    # A variable of the grid sets the option of its name, unless it is used as a placeholder.
    in_texts = {variable for value in entry.options.values() for variable in placeholders(value)}
    for variable in own:
        if variable in entry.options:
            raise UsageError(reason=f"'{variable}' is in the grid and among the options.")
        if variable not in in_texts:
            options[variable] = place[variable]
    options = {option: value for option, value in options.items() if value != ""}  # an empty one is not given
    labels: Labels = {}
    for member in used.values():
        labels = {**member.job.labels, **labels}
    labels |= place
    for label, value in entry.labels.items():
        if label == "job":
            raise UsageError(reason="the label 'job' is the name of the entry, and can't be changed.")
        text = filled(value, known)
        labels[label] = ", ".join(map(str, text)) if isinstance(text, list) else text
    labels["job"] = name
    existing = _existing(entry, values)
    job = PlannedJob(0, job_name(name, place), name, entry.kind, options, labels, existing, entry.optional)
    return _Member(job, place)


def job_name(entry: str, place: Mapping[str, Scalar]) -> str:
    """Return the name of a job: ``train``, or ``train[seed=1, fc=512]``."""
    values = ", ".join(f"{variable}={value}" for variable, value in place.items())
    return f"{entry}[{values}]" if values else entry
