"""Submitting jobs: equal specifications give one job, with all its shards or none."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import IntegrityError

from shared.errors import DatasetGone
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Event
from shared.kinds.top9.specification import Top9Specification
from tests.integration.ledger.helpers import FEW, Rivals, claimed, dump, job_of, messages, shards_of, states, top9


def test_submit_inserts_all_shards_with_only_the_first_stage_queued(
    ledger: Ledger, specification: Top9Specification
) -> None:
    job, new = ledger.submit(specification)
    assert new
    assert states(ledger, job) == ["queued", "queued", "waiting", "waiting", "waiting", "waiting"]
    shards = shards_of(ledger, job)
    assert [shard.stage_name for shard in shards] == ["search"] * 2 + ["select"] + ["project"] * 2 + ["finish"]
    assert [shard.stage for shard in shards] == [0, 0, 1, 2, 2, 3]
    assert [shard.payload for shard in shards] == [planned.payload for planned in specification.plan()]
    assert [shard.queue for shard in shards] == [planned.queue for planned in specification.plan()]
    assert {(shard.attempt, shard.token, shard.sent_at) for shard in shards} == {(0, None, None)}
    row = job_of(ledger, job)
    assert (row.state, row.stage, row.shards_total, row.shards_left) == ("queued", 0, 6, 6)
    assert (row.kind, row.key, row.generation) == ("top9", specification.key(), 0)
    assert row.dataset_id == specification.dataset_id
    assert Top9Specification.model_validate(row.specification) == specification


def test_the_same_specification_gives_the_same_job(ledger: Ledger, specification: Top9Specification) -> None:
    first, _ = ledger.submit(specification)
    before = dump(ledger)
    assert ledger.submit(specification) == (first, False)
    assert dump(ledger) == before


def test_the_specification_of_a_cancelled_or_failed_job_gives_that_job(
    ledger: Ledger, specification: Top9Specification
) -> None:
    """The user can retry it."""
    first, _ = ledger.submit(specification)
    ledger.cancel(first)
    assert ledger.submit(specification) == (first, False)
    ledger.retry(first)
    ledger.fail(claimed(ledger, shards_of(ledger, first)[0].id), "broken", again=False)
    assert ledger.submit(specification) == (first, False)


def test_the_number_of_shards_is_not_part_of_the_key(ledger: Ledger, dataset: int) -> None:
    first, _ = ledger.submit(top9(dataset))
    other = top9(dataset).model_copy(update={"shards": 1, "weights_path": "cd/other.safetensors"})
    assert ledger.submit(other) == (first, False)
    assert ledger.submit(top9(dataset, seed=1))[1]


def test_force_makes_a_new_generation_which_later_submits_return(
    ledger: Ledger, specification: Top9Specification
) -> None:
    first, _ = ledger.submit(specification)
    second, new = ledger.submit(specification, force=True)
    assert new
    assert second != first
    assert [job_of(ledger, job).generation for job in (first, second)] == [0, 1]
    assert ledger.submit(specification) == (second, False)


def test_further_rows_of_a_job_are_inserted_in_its_transaction(
    ledger: Ledger, specification: Top9Specification
) -> None:
    before = dump(ledger)

    def also(session: Any, job_id: int) -> None:
        session.add(Event(job_id=job_id, level="info", message="mine"))
        session.flush()
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        ledger.submit(specification, also=also)
    assert dump(ledger) == before
    job, _ = ledger.submit(
        specification, also=lambda s, job_id: s.add(Event(job_id=job_id, level="info", message="mine"))
    )
    assert "mine" in messages(ledger, job)


def test_an_integrity_error_of_further_rows_is_raised(ledger: Ledger, specification: Top9Specification) -> None:
    """Unlike a concurrent submission of the same specification, it is not retried."""
    ledger.submit(specification)
    before = dump(ledger)
    tried = []

    def also(session: Any, job_id: int) -> None:
        tried.append(job_id)
        assert len(tried) == 1
        session.add(Event(job_id=999_999, level="info", message="of no job"))
        session.flush()

    with pytest.raises(IntegrityError):
        ledger.submit(specification, force=True, also=also)
    assert dump(ledger) == before


def test_a_job_whose_shards_are_inserted_in_several_batches(ledger: Ledger, dataset: int) -> None:
    many = top9(dataset, search=1).model_copy(update={"shards": 10_100, "image_count": 32 * 10_100})
    planned = many.plan()
    assert len(planned) > 10_100
    job, _ = ledger.submit(many)
    shards = shards_of(ledger, job)
    assert [(shard.number, shard.payload) for shard in shards] == [
        (number, shard.payload) for number, shard in enumerate(planned)
    ]
    assert job_of(ledger, job).shards_total == len(planned)


def test_an_unregistered_data_set_is_an_error(ledger: Ledger) -> None:
    before = dump(ledger)
    with pytest.raises(DatasetGone):
        ledger.submit(top9(999_999))
    assert dump(ledger) == before


def test_concurrent_submissions_of_the_same_make_one_job(ledger: Ledger, dataset: int, at_once: Rivals) -> None:
    for seed in range(FEW):
        specification = top9(dataset, seed=seed)
        outcomes = at_once(*[lambda own: own.submit(specification)] * 3)  # noqa: B023
        assert len({job for job, _ in outcomes}) == 1
        assert sorted(new for _, new in outcomes) == [False, False, True]
        assert len(shards_of(ledger, outcomes[0][0])) == 6


def test_two_concurrent_forced_submissions_make_two_generations(
    ledger: Ledger, specification: Top9Specification, at_once: Rivals
) -> None:
    ledger.submit(specification)
    for turn in range(FEW):
        outcomes = at_once(*[lambda own: own.submit(specification, force=True)] * 2)
        assert [new for _, new in outcomes] == [True, True]
        generations = {job_of(ledger, job).generation for job, _ in outcomes}
        assert generations == {2 * turn + 1, 2 * turn + 2}
