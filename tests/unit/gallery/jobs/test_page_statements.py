"""The number of SQL statements of a page doesn't depend on the number of jobs, shards and events."""

from __future__ import annotations

import pytest
from sqlalchemy import insert
from starlette.testclient import TestClient

from benchmarks.statements import count_statements
from producer.gallery.page import Gallery
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Event, Job, JobState, Shard
from tests.integration.ledger.helpers import top9

ADDRESSES = (
    "/",
    "/live",
    "/jobs",
    "/jobs/1",
    "/jobs/1/live",
    "/jobs/1/shards",
    "/workers",
    "/datasets/voc.2007",
    "/images/1001",
)


def add(gallery: Gallery, first: int, count: int) -> None:
    """Add jobs, half of which run, with 50 shards and events each."""
    specification = top9(1).model_dump(mode="json")
    with gallery.database.write() as session:
        for number in range(first, first + count):
            state = JobState.DONE if number % 2 else JobState.RUNNING
            session.execute(
                insert(Job),
                {
                    "id": number, "kind": "top9", "specification": specification, "dataset_id": 1,
                    "state": state, "key": f"{number:064}", "shards_total": 50, "shards_left": 0,
                },
            )  # fmt: skip
            shard = {
                "job_id": number, "stage": 0, "stage_name": "search", "queue": "analysis", "payload": {},
                "work_total": 32,
            }  # fmt: skip
            states = ["done" if number % 2 else "queued" if n else "failed" for n in range(50)]
            session.execute(insert(Shard), [{**shard, "number": n, "state": s} for n, s in enumerate(states)])
            session.execute(insert(Event), [{"job_id": number, "level": "info", "message": "m"}] * 50)


@pytest.mark.parametrize("address", ADDRESSES)
def test_statements_do_not_grow(gallery: Gallery, ledger: Ledger, client: TestClient, address: str) -> None:
    counts = []
    for first, count in ((1, 10), (11, 150)):
        add(gallery, first, count)
        with count_statements(gallery.database) as statements:
            assert client.get(address).status_code == 200
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 30
    assert not [statement for statement in statements if "OFFSET" in statement.upper()]
