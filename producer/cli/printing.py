"""Output of rows on stdout: a table for people, JSON or CSV for programs."""

from __future__ import annotations

import csv
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from producer.cli.streams import unescaped

if TYPE_CHECKING:
    from rich.table import Table

    from producer.cli.context import App

LARGEST_CELL = 10_000  # characters
FORMULA = re.compile("[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")  # the last four: full-width = + - @
CSV_TEXT = "In CSV, a text that a spreadsheet would take for a formula begins with an apostrophe."

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def format_options(command: Command) -> Command:
    """Add ``--format table|json|csv`` and ``--json``, which the command gets as ``form``."""
    return _format_options(command, ["table", "json", "csv"], f"Output format. {CSV_TEXT}")


def rows_format_options(command: Command) -> Command:
    """Add the options of ``format_options`` with JSON Lines as well, for results of many rows."""
    return _format_options(
        command, ["table", "json", "jsonl", "csv"], f"Output format; jsonl is one JSON object per line. {CSV_TEXT}"
    )


def _format_options(command: Command, choices: Sequence[str], text: str) -> Command:
    command = click.option("--json", "form", flag_value="json", help="The same as --format json.")(command)
    choice = click.Choice(choices)
    return click.option("--format", "form", default="table", show_default=True, type=choice, help=text)(command)


def print_typed_rows(
    app: App,
    kind: type[Any],
    rows: Iterable[Any],
    form: str,
    marks: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Print rows of a dataclass. CSV and JSON Lines are streamed: any number of rows fits into memory.

    ``marks`` are added to each row, but not in a table.
    """
    if form == "table":
        marks = {}
    columns = [*kind.__dataclass_fields__, *marks]
    records = ({**vars(row), **marks} for row in rows)
    if form == "jsonl":
        for record in records:
            click.echo(json.dumps(_finite(record), default=json_text, allow_nan=False))
    elif form == "csv":
        _write_csv(app, columns, ([record[name] for name in columns] for record in records))
    else:
        print_records(app, list(records), form)


def print_rows(app: App, columns: Sequence[str], rows: Sequence[Sequence[Any]], form: str) -> None:
    """Print rows as a table, JSON, or CSV."""
    if form == "json":
        _write_json(_distinct(columns), rows)
    elif form == "csv":
        _write_csv(app, columns, rows)
    else:
        app.out.print(table(columns, rows))


def _write_json(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write what ``print_json`` would print for the rows as objects, value by value.

    The text of all rows takes many times their memory, since JSON escapes characters.
    """
    between = "[\n"
    for row in rows:
        values = zip(columns, row, strict=True)
        sys.stdout.write(between + "  {")
        for number, (column, value) in enumerate(values):
            text = json.dumps(_finite(value), indent=2, default=json_text, allow_nan=False)
            indented = text.replace("\n", "\n    ") if isinstance(value, (list, tuple, Mapping)) else text
            sys.stdout.write(f"{',' if number else ''}\n    {json.dumps(column)}: ")
            sys.stdout.write(indented)
        sys.stdout.write("\n  }" if columns else "}")
        between = ",\n"
    click.echo("[]" if between == "[\n" else "\n]")


class _CsvLines:
    """Writes the lines of a CSV writer to stdout as data, with line feeds in place of their ``\\r\\n``.

    The writer puts texts that contain a character of its line ends in quotes. Programs take a carriage return
    without quotes for the end of a row.
    """

    def write(self, line: str) -> None:
        write_data(line.removesuffix("\r\n") + "\n")


def _write_csv(app: App, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    writer = csv.writer(_CsvLines(), lineterminator="\r\n")
    changed = 0
    writer.writerow([_without_formula(column) for column in columns])
    for row in rows:
        safe = [_without_formula(value) for value in row]
        changed += sum(old is not new for old, new in zip(row, safe, strict=True))
        writer.writerow(safe)
    if changed:
        app.err.print(
            f"{changed} texts begin like a formula of a spreadsheet. In the CSV they have an apostrophe in front "
            "of them; --format json has them unchanged."
        )


def _without_formula(value: Any) -> Any:
    """Return a text that a spreadsheet would execute as a formula with an apostrophe in front of it."""
    if not isinstance(value, str) or not FORMULA.match(value):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def print_records(app: App, records: Sequence[Mapping[str, Any]], form: str) -> None:
    """Print records that have the same keys. A table leaves out lists and paths of artifacts."""
    if form == "table" and not records:
        app.out.print("No rows yet.")
        return
    columns = list(records[0]) if records else []
    if form == "table":
        columns = [name for name in columns if not _is_artifact(name) and not isinstance(records[0][name], list)]
        records = [{name: _short(value) for name, value in record.items()} for record in records]
    print_rows(app, columns, [[record[name] for name in columns] for record in records], form)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """Return a table of rows for people."""
    from rich.table import Table

    result = Table(*columns, box=None)
    for row in rows:
        result.add_row(*map(_cell, row))
    return result


def print_text(text: str) -> None:
    """Print a single value on stdout, as data."""
    write_data(f"{text}\n")


def write_data(text: str) -> None:
    """Write data to stdout. Programs get it unchanged; for a terminal, control characters are escaped."""
    (sys.stdout if sys.stdout.isatty() else unescaped(sys.stdout)).write(text)


def print_json(value: Any) -> None:
    """Print a value as JSON on stdout."""
    click.echo(json.dumps(_finite(value), indent=2, default=json_text, allow_nan=False))


def json_text(value: object) -> str:
    """Return the text of a value that JSON doesn't have: times in ISO 8601, with their offset from UTC."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


def utc(moment: datetime) -> str:
    """Return a time for people, in UTC: ``2026-11-27 08:30:05 UTC``."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _cell(value: Any) -> str:
    """Format a cell of a table, truncated to ``LARGEST_CELL`` characters. A missing value is an empty cell."""
    text = "" if value is None else str(value)
    if len(text) <= LARGEST_CELL:
        return text
    return f"{text[:LARGEST_CELL]}... ({len(text) - LARGEST_CELL} more characters; --json prints all)"


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def _is_artifact(name: str) -> bool:
    return name.endswith("_path") and name != "image_path"


def _distinct(columns: Sequence[str]) -> list[str]:
    """Make column names unique by numbers: n, n_2, n_3."""
    keys: list[str] = []
    for column in columns:
        key, number = column, 1
        while key in keys:
            number += 1
            key = f"{column}_{number}"
        keys.append(key)
    return keys


def _finite(value: Any) -> Any:
    """Replace infinity and NaN, which JSON doesn't have, by text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return value
