"""Descriptions of jobs, which are kept in memory."""

from __future__ import annotations

from sqlalchemy import update

from benchmarks.statements import count_statements
from producer.gallery.descriptions import descriptions
from producer.gallery.page import Gallery
from shared.jobs.tables import Job
from shared.kinds.registry import describe
from tests.unit.gallery.databases import SEARCH, SWEEP


def test_specifications_are_read_once(small: Gallery) -> None:
    with small.database.read() as session:
        job = session.get_one(Job, SEARCH)
        expected = describe(job.kind, job.specification)
        assert descriptions(session, [SEARCH, 999]) == {SEARCH: expected}
        with count_statements(small.database) as statements:
            assert descriptions(session, [SEARCH]) == {SEARCH: expected}
        assert "specification" not in statements[0]
        assert descriptions(session, [SEARCH, SWEEP]).keys() == {SEARCH, SWEEP}


def test_a_job_of_another_database_is_another_one(small: Gallery) -> None:
    with small.database.read() as session:
        before = descriptions(session, [SEARCH])
        sweep = session.get_one(Job, SWEEP)
    values = {"key": "e" * 64, "kind": sweep.kind, "specification": sweep.specification}
    with small.database.write() as session:
        session.execute(update(Job).where(Job.id == SEARCH).values(values))
    with small.database.read() as session:
        assert descriptions(session, [SEARCH]) != before
