"""Search for values that the program can't have written: a disk, another program, or a person changed them.

SQLite stores any text in any column, so that a damaged row becomes an error of Python where it is read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from sqlalchemy import JSON, Boolean, Column, Connection, Float, Integer, Table, inspect

from shared.database.base import Base, UTCDateTime

JSON_TYPES: dict[Any, str] = {dict: "object", list: "array"}
JSON_ITEMS: dict[Any, str] = {str: "text", int: "integer", float: "real"}  # of lists, as SQLite names them


@dataclass(frozen=True)
class Damage:
    """A value that can't be read.

    Attributes
    ----------
    row
        The row's primary key, such as ``id = 3``.
    reason
        What is wrong, after "the value".
    """

    table: str
    column: str
    row: str
    reason: str


def find_damage_of_sqlite(file: Path) -> Damage | None:
    """Return the first value of a SQLite file that can't be read; None if there is none."""
    connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
    connection.text_factory = lambda content: content.decode(errors="backslashreplace")
    connection.create_function("is_utf8", 1, _raises_no_error(bytes.decode), deterministic=True)
    connection.create_function("is_time", 1, _raises_no_error(datetime.fromisoformat), deterministic=True)
    try:
        return _first(lambda sql: connection.execute(sql).fetchone(), _wrong_in_sqlite, "quote")
    finally:
        connection.close()


def find_damage_of_postgresql(connection: Connection) -> Damage | None:
    """Return the first value of a PostgreSQL database that can't be read; None if there is none."""

    def first_row(sql: str) -> Any:
        return connection.exec_driver_sql(sql.replace("%", "%%")).first()

    return _first(first_row, _wrong_in_postgresql, "quote_nullable")


Conditions = Callable[[Column[Any], Any], Iterator[tuple[str, str]]]


def _first(first_row: Callable[[str], Any], conditions: Conditions, quote: str) -> Damage | None:
    """Return the first value for which one of the conditions, pairs of SQL and a reason, holds."""
    for table, types in _tables():
        key = [column.name for column in table.primary_key]
        quoted = ", ".join(f'{quote}("{name}")' for name in key)
        for column in table.columns:
            for condition, reason in conditions(column, types[column.name]):
                row = first_row(f'SELECT {quoted} FROM "{table.name}" WHERE {condition} LIMIT 1')  # noqa: S608
                if row is not None:
                    named = " and ".join(f"{name} = {value}" for name, value in zip(key, row, strict=True))
                    return Damage(table.name, column.name, named, reason)
    return None


def _tables() -> Iterator[tuple[Table, dict[str, Any]]]:
    """Yield the tables of the program, each with the Python types of its columns, such as ``list[str]``."""
    models = {mapper.local_table: mapper.class_ for mapper in Base.registry.mappers}
    for table in Base.metadata.sorted_tables:
        hints = get_type_hints(models[table])
        columns = inspect(models[table]).column_attrs
        yield table, {column.columns[0].name: _not_none(get_args(hints[column.key])[0]) for column in columns}


def _not_none(hint: Any) -> Any:
    """Return ``X`` for ``X | None``."""
    parts = [part for part in get_args(hint) if part is not type(None)]
    return parts[0] if len(parts) == 1 and type(None) in get_args(hint) else hint


def _wrong_in_sqlite(column: Column[Any], of: Any) -> Iterator[tuple[str, str]]:
    name = f'"{column.name}"'
    if not column.nullable:
        yield f"{name} IS NULL", "is missing"
    if isinstance(column.type, Integer | Boolean):
        yield f"typeof({name}) NOT IN ('integer', 'null')", "is no integer"
    elif isinstance(column.type, Float):
        yield f"typeof({name}) NOT IN ('real', 'integer', 'null')", "is no number"
    else:
        yield f"typeof({name}) NOT IN ('text', 'null')", "is no text"
        yield f"{name} IS NOT NULL AND NOT is_utf8(CAST({name} AS BLOB))", "is not UTF-8"
    if isinstance(column.type, UTCDateTime):
        yield f"{name} IS NOT NULL AND NOT is_time({name})", "is no time"
    if isinstance(column.type, JSON):
        yield f"{name} IS NOT NULL AND NOT json_valid({name})", "is not JSON"
        other = f"json_type({name}) NOT IN ({_json_types(column, of)})"
        if get_origin(of) is list:
            item = JSON_ITEMS[get_args(of)[0]]
            other += f" OR EXISTS (SELECT 1 FROM json_each({name}) WHERE type <> '{item}')"  # noqa: S608
        yield f"CASE WHEN json_valid({name}) THEN {other} END", "is JSON of another form"


def _wrong_in_postgresql(column: Column[Any], of: Any) -> Iterator[tuple[str, str]]:
    name = f'"{column.name}"'
    if isinstance(column.type, UTCDateTime):  # others can't be a ``datetime``
        yield f"NOT {name} BETWEEN '0001-01-02' AND '9999-12-30'", "is no time"
    if isinstance(column.type, JSON):
        yield f"json_typeof({name}) NOT IN ({_json_types(column, of)})", "is JSON of another form"


def _json_types(column: Column[Any], of: Any) -> str:
    """Return the types, as a list in SQL, that a JSON value of a column may have."""
    types = [JSON_TYPES[get_origin(of)], *(["null"] if column.nullable else [])]
    return ", ".join(f"'{name}'" for name in types)


def _raises_no_error(function: Callable[[Any], object]) -> Callable[[Any], bool]:
    def holds(value: Any) -> bool:
        try:
            function(value)
        except (ValueError, TypeError):
            return False
        return True

    return holds
