"""The number of SQL statements doesn't grow with the number of jobs, shards, events and rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from benchmarks.statements import count_statements
from producer.kinds.top9.best import best_units
from producer.results.progress import job_events, job_progress, list_jobs
from shared.database.connection import Database
from shared.database.datasets import Dataset, Image
from shared.database.schema import upgrade
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Event, Job, JobState, Shard, ShardState
from shared.kinds.top9.tables import ClassActivation, SearchedLayer, SearchedUnit, TopActivation, UnitStatistics
from tests.conftest import DATABASES, fresh_database
from tests.integration.ledger.helpers import SHA256, claimed, finish_stage, queued, top9
from tests.reading import class_rows, statistics_rows, top_rows

FEW, MANY = 10, 1000
TOP = 9


@pytest.fixture(params=DATABASES)
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[int, Ledger]]:
    """Ledgers by size: the number of jobs, and of the shards, events and units of the first job."""
    ledgers = {}
    for size in (FEW, MANY):
        database = Database(fresh_database(request.param, request, tmp_path / str(size)))
        upgrade(database)
        ledgers[size] = fill(database, size)
    yield ledgers
    for ledger in ledgers.values():
        ledger.database.close()


def fill(database: Database, size: int) -> Ledger:
    with database.write() as session:
        names = ["cat", "dog"]
        session.add(
            Dataset(id=1, name="voc", kind="voc", root="/", options={}, fingerprint=SHA256, class_names=names)
        )
    ledger = Ledger(database)
    one = top9(1, search=1)
    big = one.model_copy(update={"shards": size, "image_count": 32 * size, "per_class": True})
    assert ledger.submit(big) == (1, True)
    ledger.take_unsent(10**6)
    job = {"kind": "top9", "specification": one.model_dump(mode="json"), "dataset_id": 1, "state": JobState.DONE}
    others = [{**job, "key": f"{n:064}", "shards_total": 6, "shards_left": 0} for n in range(1, size)]
    units, ranks = range(size), range(1, TOP + 1)
    image = {"class_index": 0, "class_name": "cat", "width": 9, "height": 9, "sha256": SHA256, "object_number": 0}
    row = {"layer_id": 1, "activation": 1.0, "image_id": 1, "row": 0, "col": 0}
    shown = {"patch_path": "p", "projection_path": "p", "projection_scale": 1.0, "tied": False}
    quantiles = dict.fromkeys(("mean", "minimum", "maximum", "fired_share", "q50", "q90", "q99", "q999"), 1.0)
    rankings = [{**row, "unit": unit, "rank": rank} for unit in units for rank in ranks]
    with database.write() as session:
        session.execute(insert(Job), others)
        session.execute(insert(Image), [{**image, "id": 1, "dataset_id": 1, "path": "1.jpg"}])
        session.execute(
            insert(SearchedLayer), [{"id": 1, "job_id": 1, "layer": "conv5", "layer_path": "features.10"}]
        )
        session.execute(insert(SearchedUnit), [{"layer_id": 1, "unit": unit, "dead": False} for unit in units])
        session.execute(insert(TopActivation), [{**ranked, **shown} for ranked in rankings])
        session.execute(insert(ClassActivation), [{**ranked, "class_index": 0} for ranked in rankings])
        statistics = {"layer_id": 1, "images": 1, "histogram": [1], **quantiles}
        session.execute(insert(UnitStatistics), [{**statistics, "unit": unit} for unit in units])
        session.execute(insert(Event), [{"job_id": 1, "level": "info", "message": "a line"} for _ in units])
    return ledger


def ask_ls(ledger: Ledger, size: int) -> None:
    assert len(list_jobs(ledger.database, None, None, MANY)) == size


def ask_status(ledger: Ledger, size: int) -> None:
    assert job_progress(ledger.database, 1).job.shards_total > size


def ask_logs(ledger: Ledger, size: int) -> None:
    assert len(job_events(ledger.database, 1)) == size + 1


def ask_results(ledger: Ledger, size: int) -> None:
    assert len(top_rows(ledger.database, 1)) == TOP * size


def ask_results_of_units(ledger: Ledger, size: int) -> None:
    assert len(top_rows(ledger.database, 1, units=range(size))) == TOP * size


def ask_best_units(ledger: Ledger, size: int) -> None:
    assert len(best_units(ledger.database, 1)) == size


def ask_results_per_class(ledger: Ledger, size: int) -> None:
    assert len(class_rows(ledger.database, 1, units=range(size), class_name="cat")) == TOP * size


def ask_statistics(ledger: Ledger, size: int) -> None:
    assert len(statistics_rows(ledger.database, 1, units=range(size))) == size


def do_a_shard(ledger: Ledger, size: int) -> None:
    claim = claimed(ledger, queued(ledger, 1)[0])
    ledger.heartbeat(claim, 1)
    ledger.complete(claim)


def end_a_stage(ledger: Ledger, size: int) -> None:
    """Complete the last shard of *search* and the only one of *select*, which adds a shard per unit."""
    first = queued(ledger, 1)[0]
    others = update(Shard).where(Shard.job_id == 1, Shard.stage == 0, Shard.id != first, Shard.state == "queued")
    with ledger.database.write() as session:  # instead of a thousand claims
        done = session.execute(others.values(state=ShardState.DONE).returning(Shard.id)).all()
        session.execute(update(Job).where(Job.id == 1).values(shards_left=Job.shards_left - len(done)))
    finish_stage(ledger, 1)
    finish_stage(ledger, 1)
    assert len(queued(ledger, 1)) == len(ledger.take_unsent(10**6)) > 0


def cancel_and_retry(ledger: Ledger, size: int) -> None:
    ledger.cancel(1)
    ledger.retry(1)
    ledger.take_unsent(10**6)


def sweep_nothing(ledger: Ledger, size: int) -> None:
    assert ledger.sweep() == 0
    assert list(ledger.take_unsent()) == []
    assert ledger.mark_lost(["analysis"], 1000.0) == 0


ASKED: list[Callable[[Ledger, int], Any]] = [
    *(ask_ls, ask_status, ask_logs, ask_results, ask_results_of_units, ask_best_units, ask_results_per_class),
    *(ask_statistics, do_a_shard, sweep_nothing, cancel_and_retry, end_a_stage),
]


def test_the_number_of_statements_is_the_same_for_ten_and_a_thousand(filled: dict[int, Ledger]) -> None:
    taken: dict[str, dict[int, int]] = {}
    for ask in ASKED:
        for size, ledger in filled.items():
            with count_statements(ledger.database) as statements:
                ask(ledger, size)
            taken.setdefault(ask.__name__, {})[size] = len(statements)
    assert {name: found for name, found in taken.items() if found[MANY] != found[FEW]} == {}
