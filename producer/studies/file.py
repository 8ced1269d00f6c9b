"""The file of a study: its structure, and reading it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from shared.errors import BadStudy, NoSuchStudy

SHIPPED = Path(__file__).parent / "shipped"
LARGEST_FILE = 1_000_000  # bytes
TEXTS = ("title", "protocol", "differs", "claim", "source")  # of a section; they can have placeholders

Scalar = bool | int | float | str
OptionValue = Scalar | list[Scalar]
StudyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,99}$")]
Names = Annotated[list[str], BeforeValidator(lambda value: [value] if isinstance(value, str) else value)]


class _Part(BaseModel):
    """A part of the file; a misspelt name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Parameter(_Part):
    """A value that ``--set NAME=VALUE`` changes. Without a default it must be given."""

    about: str = ""
    default: OptionValue | None = None


class Defaults(_Part):
    """Options, grid and labels of all entries of a kind, unless the entry has its own."""

    options: dict[str, OptionValue] = {}
    grid: dict[Name, list[Scalar] | str] = {}
    labels: dict[Name, Scalar] = {}


class Entry(Defaults):
    """Jobs of one kind that differ in the values of ``grid``.

    ``existing`` is the number of a job that is used instead of submitting one, or 0. An ``optional`` entry is left
    out if its options don't fit the data set or the network, together with those that rest on it.
    """

    kind: str
    existing: int | str = 0
    optional: bool = False


class Value(_Part):
    """A measured number of each job: from its summary, or from rows of one of its result tables.

    Parameters
    ----------
    job
        Entries that have the number; by default all that can have it.
    summary
        Name in the job's summary; ``a.b`` is ``b`` inside of ``a``, and ``a.0`` the first element of a list.
    results, column, where, pick
        Title of a result table, one of its columns, the values that other columns must have, and how one number is
        made of several rows; with ``each``, every row is a number.
    scale, offset
        The table shows ``offset + scale * number``.
    """

    title: str = ""
    job: Names = []
    summary: str | None = None
    results: str | None = None
    column: str | None = None
    where: dict[str, Scalar] = {}
    pick: Literal["first", "last", "max", "min", "mean", "sum", "count", "each"] = "last"
    scale: float = 1.0
    offset: float = 0.0
    digits: int = Field(default=2, ge=0, le=12)


class Published(_Part):
    """Published numbers by row, with their source, shown beside the value ``beside`` (default: at the end).

    The key of a row is its label, or its labels joined by " / ".
    """

    title: str = "published"
    source: str
    beside: str | None = None
    values: dict[str, Scalar]


class Table(_Part):
    """The table of the results: the labels that make the rows, the one that makes groups of columns, and values.

    A label of ``rows`` or ``columns`` may also be a column of a result table that the values are read from.
    """

    rows: Names = ["job"]
    columns: str | None = None
    values: dict[Name, Value] = Field(min_length=1)
    published: list[Published] = []
    figure: Literal["bars", "lines"] = "bars"
    notes: str = ""


class Section(_Part):
    """A section of the study's page: an experiment, beside what was published of it.

    Parameters
    ----------
    jobs
        Entries, whose results are shown one after the other. Without entries the study's table is shown.
    protocol, differs
        What is computed, and how that differs from what was published.
    published, source
        Published figures by the names of the measures that they belong to, and where they were published.
    claim
        What the publication concludes. Whether it holds here is decided by the kind of job, or in the table by
        ``orders``: rows in each of which the first value is larger than in the row before.
    """

    title: str
    jobs: Names = []
    protocol: str
    differs: str = ""
    published: dict[str, Scalar] = {}
    source: str = ""
    claim: str = ""
    orders: list[list[str]] = []


class StudyFile(_Part):
    """A study, as it is written in its file."""

    name: StudyName
    title: str = ""
    about: str = ""
    parameters: dict[Name, Parameter] = {}
    defaults: dict[str, Defaults] = {}
    jobs: dict[Name, Entry] = Field(min_length=1)
    table: Table | None = None
    sections: list[Section] = []


def parse_study(source: str, path: object) -> StudyFile:
    """Read a study from the text of its file; ``path`` names it in errors.

    Raises
    ------
    BadStudy
    """
    try:
        values = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise BadStudy(path=path, reason=f"it is not valid TOML: {error}.") from error
    except RecursionError:
        raise BadStudy(path=path, reason="it is not a study: its values are nested too deeply.") from None
    try:
        return StudyFile.model_validate(_with_parameters(values))
    except ValidationError as error:
        raise BadStudy(path=path, reason=_first_problem(error)) from error


def _with_parameters(values: dict[str, Any]) -> dict[str, Any]:
    """Turn a parameter that is written ``epochs = 50`` into ``epochs = {default = 50}``."""
    parameters = values.get("parameters")
    if not isinstance(parameters, dict):
        return values
    tables = {n: given if isinstance(given, dict) else {"default": given} for n, given in parameters.items()}
    return {**values, "parameters": tables}


def _first_problem(error: ValidationError) -> str:
    first = error.errors()[0]
    # Parts in brackets name the alternatives of a union, which are not in the file.
    place = ".".join(str(part) for part in first["loc"] if not str(part).endswith("]"))
    if first["type"] == "extra_forbidden":
        return f"there is no '{place}' in a study."
    return f"{place or 'study'}: {first['msg']}."


def read_study(path: str) -> tuple[str, StudyFile]:
    """Read a file, or a shipped study by its name; return its text and the study.

    Raises
    ------
    NoSuchStudy, BadStudy
    """
    shipped = shipped_studies()
    file = Path(path)
    try:
        if path in shipped and not file.exists():
            file = shipped[path]
        if file.stat().st_size > LARGEST_FILE:
            raise BadStudy(path=path, reason=f"it has more than {LARGEST_FILE} bytes.")
        source = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        choices = ", ".join(shipped) or "none"
        raise NoSuchStudy(name=path, choices=f"Give a TOML file, or a shipped study: {choices}.") from None
    except OSError as error:
        raise BadStudy(path=path, reason=f"it can't be read ({error.strerror or error}).") from error
    except UnicodeDecodeError as error:
        raise BadStudy(path=path, reason="it is not UTF-8 text.") from error
    return source, parse_study(source, path)


def shipped_studies() -> dict[str, Path]:
    """Return the files of the studies that come with the program, by name."""
    return {file.stem: file for file in sorted(SHIPPED.glob("*.toml"))}
