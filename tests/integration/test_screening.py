"""Searches that screen their images: rows, shards, failed attempts, and the check of ``analyze verify``."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from shared.jobs.tables import Event, Job, Shard
from shared.kinds.top9 import specification
from shared.kinds.top9.specification import SearchedLayerSpecification, Top9Specification
from shared.kinds.top9.tables import SearchedLayer, TopActivation, UnitStatistics
from tests.integration.test_pixel_cache import Home
from unitscope.data.images import ImageSource
from unitscope.errors import ScreeningNotPossible
from unitscope.search import screening
from worker import runner
from worker.context import JobContext
from worker.kinds.checking import Comparison
from worker.kinds.top9 import screening as stage
from worker.kinds.top9 import search
from worker.kinds.top9.check import check

BATCH = 4
LAYERS = {"conv2": "features.3", "conv5": "features.10"}


class ScreeningHome(Home):
    """A home whose searches are of two layers."""

    def specification(self, **options: Any) -> Top9Specification:
        layers = [SearchedLayerSpecification(layer=name, path=path, units=[0, 2]) for name, path in LAYERS.items()]
        return super().specification().model_copy(update={"layers": layers, "top": 4} | options)

    def run(self, **options: Any) -> int:
        """Run a search of its own, and return its id."""
        job, _ = self.ledger.submit(self.specification(**options), force=True)
        while shards := self.queued(job):
            for shard in shards:
                runner.run(shard, self.settings(), "cpu")
        return job

    def state(self, job: int) -> tuple[str, str | None]:
        with self.database.read() as session:
            row = session.get_one(Job, job)
            return row.state, row.error

    def rows(self, job: int, model: type[TopActivation] | type[UnitStatistics] = TopActivation) -> list[Any]:
        columns = [column for column in model.__table__.columns if column.name != "layer_id"]
        with self.database.read() as session:
            joined = select(SearchedLayer.layer, *columns).join(model, model.layer_id == SearchedLayer.id)
            rows = session.execute(joined.where(SearchedLayer.job_id == job)).all()
        return sorted(map(tuple, rows), key=str)

    def log(self, job: int) -> list[str]:
        with self.database.read() as session:
            query = select(Event.message).where(Event.job_id == job).order_by(Event.id)
            return list(session.scalars(query))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, shapes_root: Path) -> Iterator[ScreeningHome]:
    """A home; its searches have small batches, and need few images in float32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screening, "SAMPLE", 8)
        for module in (specification, search, stage):
            patch.setattr(module, "SEARCH_BATCH", BATCH)
        yield ScreeningHome(tmp_path_factory.mktemp("screening"), shapes_root)


@pytest.fixture(scope="module")
def plain(home: ScreeningHome) -> int:
    """The id of a search without screening."""
    return home.run()


@pytest.fixture(scope="module")
def expected(home: ScreeningHome, plain: int) -> list[Any]:
    """Its rows."""
    return home.rows(plain)


def test_rows_are_those_of_the_plain_search_for_any_number_of_shards(
    home: ScreeningHome, plain: int, expected: list[Any]
) -> None:
    statistics = home.rows(plain, UnitStatistics)
    assert {row[-1] for row in statistics} == {"float32"}
    low = None
    for shards in (1, 3, 8):
        job = home.run(screen="bfloat16", shards=shards)
        assert home.state(job) == ("done", None)
        assert home.rows(job) == expected
        low = low or home.rows(job, UnitStatistics)
        assert home.rows(job, UnitStatistics) == low
        again = [line for line in home.log(job) if "computed again in float32" in line]
        assert len(again) == shards + 1  # the last line is the stage select's
        count = int(again[-1].split(": ")[1].split(" of ")[0])
        assert 8 < count <= (home.count // 2 if shards == 1 else home.count)
    assert low is not None
    assert {row[-1] for row in low} == {"bfloat16"}
    assert [row[:2] for row in low] == [row[:2] for row in statistics]
    assert low != statistics


def test_a_failed_attempt_changes_nothing(
    home: ScreeningHome, expected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, _ = home.ledger.submit(home.specification(screen="bfloat16"), force=True)
    progress, calls = runner.ShardContext.progress, []

    def failing(context: runner.ShardContext, work: int = 1) -> None:
        calls.append(work)
        if len(calls) in (1, 8):  # in low precision, and in float32
            raise RuntimeError("the machine is switched off")
        progress(context, work)

    monkeypatch.setattr(runner.ShardContext, "progress", failing)
    while shards := home.queued(job):
        for shard in shards:
            runner.run(shard, home.settings(), "cpu")
    assert 0 in calls
    assert home.state(job) == ("done", None)
    assert home.rows(job) == expected
    with home.database.read() as session:
        assert session.scalar(select(Shard.attempt).where(Shard.job_id == job).order_by(Shard.attempt.desc())) > 1


def test_an_image_that_cannot_be_read_again_is_left_out_by_the_next_attempt(
    home: ScreeningHome, expected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    batches, reads = stage.batches, []

    def losing(sources: list[ImageSource], *arguments: Any, **options: Any) -> Any:
        reads.append(len(sources))
        return batches(sources[1:] if len(reads) == 2 else sources, *arguments, **options)

    monkeypatch.setattr(stage, "batches", losing)
    job = home.run(screen="bfloat16", shards=1)
    assert home.state(job) == ("done", None)
    assert home.rows(job) == expected
    assert any("could be read a short time ago" in line for line in home.log(job))


def test_tf32_fails_on_a_cpu_and_says_why(home: ScreeningHome) -> None:
    state, error = home.state(home.run(screen="tf32"))
    assert state == "failed"
    assert error is not None
    assert str(ScreeningNotPossible(precision="tf32", reason="the device 'cpu' is not a GPU")) in error


def test_the_check_finds_an_image_that_is_missing_from_a_ranking(home: ScreeningHome) -> None:
    job = home.run(screen="bfloat16")
    context = JobContext(job, home.specification(screen="bfloat16"), home.database, home.store, "cpu")

    def wrong() -> Comparison:
        return check(context, random.Random(0), 5)

    compared = wrong()
    assert compared.wrong == []
    assert compared.rows > 2 * BATCH
    with home.database.write() as session:
        # As if stronger images had been missed.
        layers = select(SearchedLayer.id).where(SearchedLayer.job_id == job)
        session.execute(update(TopActivation).where(TopActivation.layer_id.in_(layers)).values(activation=0.001))
    assert any("is not listed" in line for line in wrong().wrong)
