"""Types of the rows of an export, derived from the tables' models: every value of a line is checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from typing import Annotated, Any, get_args, get_type_hints

from pydantic import AfterValidator, AwareDatetime, ConfigDict, Field, TypeAdapter, ValidationError
from sqlalchemy import JSON, BigInteger, Column, String, Text, inspect

from producer.transfer.format import exported_models, exported_tables

SHA256_DIGITS = 64
LARGEST_INTEGER = 2**31 - 1  # of PostgreSQL
LARGEST_BIG_INTEGER = 2**63 - 1
DEEPEST_JSON = 12  # lists and objects inside one another
MOST_CONTAINERS = 100_000  # lists and objects in a line: each takes a hundred times the memory of its two bytes
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LARGEST_CLOCK_ERROR = timedelta(days=1)

Row = dict[str, Any]


def row_reader(table: str, columns: Sequence[str]) -> Callable[[bytes], Row]:
    """Return a function that decodes a line of a table: a JSON list with the values of ``columns``.

    Nullable columns that are missing are None. The function raises ``ValueError`` if the line is not such a row.

    Raises
    ------
    ValueError
        ``columns`` are not columns of the table, or one without a default is missing.
    """
    known = exported_tables()[table].columns
    if not set(columns) <= set(known.keys()) or len(set(columns)) != len(columns):
        raise ValueError(f"{table} has unknown columns")
    for column in known:
        if column.name not in columns and not _has_default(column):
            raise ValueError(f"{table} has no column {column.name}")
    types = _types_of_columns(table)
    of_line: Any = tuple.__class_getitem__(tuple(types[name] for name in columns))
    adapter: TypeAdapter[Any] = TypeAdapter(of_line, config=ConfigDict(strict=True))
    missing = {column.name: None for column in known if column.nullable and column.name not in columns}
    return partial(_read, table, columns, adapter, missing)


def _read(table: str, columns: Sequence[str], adapter: TypeAdapter[Any], missing: Row, line: bytes) -> Row:
    if line.count(b"[") + line.count(b"{") > MOST_CONTAINERS:
        raise ValueError(f"a row of {table} has more than {MOST_CONTAINERS} lists and objects")
    try:
        values = adapter.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = [
            columns[part] if isinstance(part, int) and number == 0 and part < len(columns) else part
            for number, part in enumerate(first["loc"])
        ]
        raise ValueError(f"a row of {table}: {'.'.join(map(str, place)) or 'the line'}: {first['msg']}") from None
    return {**missing, **dict(zip(columns, values, strict=True))}


def _has_default(column: Column[Any]) -> bool:
    return bool(column.nullable or column.default is not None or column.server_default is not None)


@cache
def _types_of_columns(table: str) -> dict[str, Any]:
    """Return the type of each column's values: that of the model's attribute, limited by the column's."""
    model = exported_models()[table]
    hints = get_type_hints(model)
    return {
        attribute.columns[0].name: _limited(get_args(hints[attribute.key])[0], attribute.columns[0])
        for attribute in inspect(model).column_attrs
    }


def _limited(hint: Any, column: Any) -> Any:
    """Return the type of the values of a column whose attribute has this type."""
    parts = get_args(hint)
    if type(None) in parts:
        (part,) = (part for part in parts if part is not type(None))
        return _limited(part, column) | None
    if isinstance(column.type, JSON):
        return Annotated[hint, AfterValidator(_checked_json)]
    if hint is int:
        is_big = isinstance(column.type, BigInteger)
        largest = LARGEST_BIG_INTEGER if is_big else LARGEST_INTEGER
        return Annotated[int, Field(ge=-largest - 1, le=largest)]
    if hint is datetime:
        return Annotated[AwareDatetime, AfterValidator(_checked_time)]
    if isinstance(column.type, String) and not isinstance(column.type, Text):
        pattern = "^[0-9a-f]{64}$" if column.type.length == SHA256_DIGITS else None
        return Annotated[str, Field(max_length=column.type.length, pattern=pattern), AfterValidator(_checked_text)]
    return Annotated[str, AfterValidator(_checked_text)] if hint is str else hint


def _checked_text(value: str) -> str:
    """PostgreSQL stores no NUL."""
    if "\0" in value:
        raise ValueError("it contains NUL")
    return value


def _checked_time(value: datetime) -> datetime:
    if not EARLIEST <= value <= datetime.now(UTC) + LARGEST_CLOCK_ERROR:
        raise ValueError("it is a time before 2000 or in the future")
    return value


def _checked_json(value: Any) -> Any:
    """Check what both databases can store, and every reader can read."""
    _check_depth(value, DEEPEST_JSON)
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("it contains a number that JSON does not have") from None
    if "\\u0000" in text:
        raise ValueError("it contains NUL")
    return value


def _check_depth(value: Any, deepest: int) -> None:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if inner and not deepest:
        raise ValueError(f"it has more than {DEEPEST_JSON} levels")
    for item in inner:
        if isinstance(item, dict | list):
            _check_depth(item, deepest - 1)
