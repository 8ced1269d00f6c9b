"""The schema's constraints refuse inconsistent rows on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError

from shared.database.datasets import Image
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Job, Shard
from tests.integration.ledger.helpers import SHA256


def values(ledger: Ledger, dataset: int, job: int) -> dict[str, dict[str, Any]]:
    """Return a valid row of each table."""
    return {
        "jobs": {
            "kind": "top9", "key": "cd" * 32, "generation": 7, "specification": {}, "dataset_id": dataset,
            "state": "queued", "stage": 0, "shards_total": 3, "shards_left": 3, "cancel_requested": False,
        },
        "shards": {
            "job_id": job, "stage": 9, "stage_name": "search", "number": 99, "queue": "cpu", "payload": {},
            "state": "queued", "attempt": 0, "token": None, "lease_until": None, "work_done": 0, "work_total": 1,
        },
        "images": {
            "dataset_id": dataset, "path": "a.jpg", "object_number": 1, "class_index": 0, "class_name": "cat",
            "width": 100, "height": 50, "box_left": 0, "box_top": 0, "box_right": 100, "box_bottom": 50,
            "sha256": SHA256,
        },
    }  # fmt: skip


def put(ledger: Ledger, table: str, row: dict[str, Any]) -> None:
    model = {"jobs": Job, "shards": Shard, "images": Image}[table]
    with ledger.database.write() as session:
        session.execute(insert(model), [row])


VALID: list[tuple[str, dict[str, Any]]] = [
    ("jobs", {}),
    ("jobs", {"shards_left": 0, "state": "done"}),
    ("shards", {}),
    ("shards", {"state": "running", "token": "t", "lease_until": 1.0, "attempt": 3}),
    ("images", {}),
    ("images", {"box_left": None, "box_top": None, "box_right": None, "box_bottom": None}),
    ("images", {"box_left": 99, "box_top": 49}),
]

INVALID: list[tuple[str, dict[str, Any]]] = [
    ("jobs", {"state": "paused"}),
    ("jobs", {"state": "DONE"}),
    ("jobs", {"shards_left": -1}),
    ("jobs", {"shards_left": 4}),
    ("jobs", {"dataset_id": 999_999}),
    ("shards", {"state": "running"}),
    ("shards", {"state": "running", "token": "t"}),
    ("shards", {"state": "running", "lease_until": 1.0}),
    ("shards", {"state": "done", "token": "t", "lease_until": 1.0}),
    ("shards", {"state": "lost"}),
    ("shards", {"attempt": 4}),
    ("shards", {"attempt": -1}),
    ("shards", {"job_id": 999_999}),
    ("images", {"box_left": -1}),
    ("images", {"box_top": -1}),
    ("images", {"box_right": 101}),
    ("images", {"box_bottom": 51}),
    ("images", {"box_left": 100}),
    ("images", {"box_top": 50}),
    ("images", {"width": 0}),
    ("images", {"height": -5}),
    ("images", {"box_left": None}),
    ("images", {"box_right": None, "box_bottom": None}),
    ("images", {"box_left": None, "box_top": None, "box_right": None}),
    ("images", {"dataset_id": 999_999}),
]


def test_the_schema_refuses_invalid_rows_and_accepts_valid_ones(ledger: Ledger, dataset: int, job: int) -> None:
    good = values(ledger, dataset, job)
    accepted = []
    for table, change in INVALID:
        try:
            put(ledger, table, good[table] | change)
        except IntegrityError:
            continue
        accepted.append((table, change))
        with ledger.database.write() as session:
            session.execute(text("DELETE FROM images"))
    assert accepted == []
    for number, (table, change) in enumerate(VALID):
        unique = {"jobs": "generation", "shards": "number", "images": "object_number"}[table]
        put(ledger, table, good[table] | change | {unique: number})


def test_the_schema_refuses_duplicates(ledger: Ledger, dataset: int, job: int) -> None:
    good = values(ledger, dataset, job)
    for table, row in good.items():
        put(ledger, table, row)
        with pytest.raises(IntegrityError):
            put(ledger, table, row)
