"""What is in an exported job's tar file, in this order:

``manifest.json``, ``rows/TABLE.jsonl`` (a row a line, as a list of the manifest's columns) and ``store/PATH`` (the
files, named by their SHA-256). Images are not in it: only what the database knows of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import JSON, Boolean, Column, Float, Integer, Table

from shared.database.base import Base, UTCDateTime
from shared.database.datasets import Dataset, DatasetProblem, Image, ImageSplit
from shared.database.networks import Network
from shared.jobs.tables import Artifact, Event, Job, Shard
from shared.kinds.registry import kinds

MANIFEST = "manifest.json"
LARGEST_MANIFEST = 2**20
# Exports made with this schema or a later one can be imported: since then the exported tables are the same.
OLDEST_SCHEMA = "0005"

# In an order in which a row comes after those that it refers to; those of the kinds' results follow.
COMMON: tuple[type[Base], ...] = (Network, Dataset, Image, ImageSplit, DatasetProblem, Job, Shard, Event, Artifact)


@cache
def exported_tables() -> dict[str, Table]:
    """All tables of an export by name, each after those that it refers to."""
    models = [*COMMON, *(model for kind in kinds().values() for model in kind.tables)]
    return {model.__tablename__: cast(Table, model.__table__) for model in models}


def tables_of_kind(kind: str) -> set[str]:
    """Names of the tables that the export of a job of this kind has to have."""
    return {model.__tablename__ for model in (*COMMON, *kinds()[kind].tables)}


class RowsMember(BaseModel):
    """One table's rows."""

    model_config = ConfigDict(extra="forbid")

    columns: list[str]
    count: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    format: Literal[1] = 1
    program: str  # version of unitscope
    schema_: str = Field(alias="schema")
    job_id: int
    kind: str
    key: str
    rows: dict[str, RowsMember]
    files: int = Field(ge=0)
    bytes: int = Field(ge=0)


def rows_member(table: str) -> str:
    return f"rows/{table}.jsonl"


def encoded(row: Mapping[str, Any], columns: list[str]) -> bytes:
    """A line of JSON; times as ISO 8601."""
    values = [row[name] for name in columns]
    return json.dumps(values, default=datetime.isoformat, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def decoded(table: Table, columns: list[str], line: bytes) -> dict[str, Any]:
    """A row of a table, each value of its column's type.

    Raises
    ------
    ValueError
        it is no such row.
    """
    values = json.loads(line)
    if not isinstance(values, list):
        raise ValueError("it is no list")
    return {name: _checked(table.columns[name], value) for name, value in zip(columns, values, strict=True)}


def _checked(column: Column[Any], value: Any) -> Any:
    """SQLite would take anything."""
    if value is None:
        if not column.nullable:
            raise ValueError(f"{column.name} is missing")
        return None
    if isinstance(column.type, JSON):  # checked where it is read
        return value
    if isinstance(column.type, UTCDateTime):
        moment = datetime.fromisoformat(value) if isinstance(value, str) else datetime.min
        if moment.tzinfo is None:
            raise ValueError(f"{column.name} is no time in a zone")
        return moment
    if isinstance(column.type, Float) and type(value) is int:
        return float(value)
    kinds = {Boolean: bool, Integer: int, Float: float}
    kind: type = next((kind for sql, kind in kinds.items() if isinstance(column.type, sql)), str)
    if type(value) is not kind:
        raise ValueError(f"{column.name} is no {kind.__name__}")
    if isinstance(value, int) and not -(2**31) <= value < 2**31:
        raise ValueError(f"{column.name} is too large")
    return value
