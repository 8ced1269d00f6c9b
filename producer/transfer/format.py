"""Format of an exported job: a tar file with these members, in this order.

``manifest.json``; ``rows/TABLE.jsonl``, with one row per line, a list in the order of the manifest's columns; and
``store/PATH``, the job's files, named by their SHA-256. The images of the data set are not included, only their
rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Table

from shared.database.base import Base
from shared.database.datasets import Dataset, DatasetProblem, Image, ImageSplit
from shared.database.networks import Network
from shared.jobs.tables import Artifact, Event, Job, LeftOutImage, Shard
from shared.kinds.registry import kinds

MANIFEST = "manifest.json"
LARGEST_MANIFEST = 2**20  # bytes
# Exports made with this schema or a later one can be imported.
OLDEST_SCHEMA = "0005"

# A table follows those that it refers to. The tables of the kinds' results come after these.
COMMON: tuple[type[Base], ...] = (
    *(Network, Dataset, Image, ImageSplit, DatasetProblem, Job, Shard, Event, Artifact),
    LeftOutImage,
)
# Tables that are missing in exports of earlier schemas. Added columns are nullable or have a default.
ADDED_WITH = {LeftOutImage.__tablename__: "0008"}


@cache
def exported_models() -> dict[str, type[Base]]:
    """Return the models of an export's tables by name; a table follows those that it refers to."""
    models = [*COMMON, *(model for kind in kinds().values() for model in kind.tables)]
    return {model.__tablename__: model for model in models}


@cache
def exported_tables() -> dict[str, Table]:
    """Return the tables of an export by name; a table follows those that it refers to."""
    return {name: cast(Table, model.__table__) for name, model in exported_models().items()}


def tables_of_kind(kind: str, schema: str) -> list[str]:
    """Return the names of the tables that the export of a job must contain; a table follows those that it refers
    to."""
    names = [model.__tablename__ for model in (*COMMON, *kinds()[kind].tables)]
    added_with = {**ADDED_WITH, **kinds()[kind].tables_added}
    return [name for name in names if added_with.get(name, OLDEST_SCHEMA) <= schema]


class RowsMember(BaseModel):
    """Manifest entry of a table's rows."""

    model_config = ConfigDict(extra="forbid")

    columns: list[str]
    count: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """Content of ``manifest.json``."""

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
    """Encode a row as a line of JSON, with times in ISO 8601."""
    values = [row[name] for name in columns]
    return json.dumps(values, default=datetime.isoformat, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
