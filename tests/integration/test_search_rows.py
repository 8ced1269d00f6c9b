"""Rows of the stage *select*: partial results are merged layer by layer and written in several transactions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from shared.database.base import Base
from shared.database.connection import Database
from shared.database.datasets import Dataset, Image
from shared.errors import NoSuchClass, UsageError
from shared.jobs.tables import Job
from shared.kinds.top9.specification import SearchedLayerSpecification
from shared.kinds.top9.tables import (
    BottomActivation,
    ClassActivation,
    SearchedLayer,
    TopActivation,
    UnitStatistics,
)
from shared.store.store import Store
from tests.reading import bottom_rows, class_rows, statistics_rows
from unitscope.errors import NoSuchLayer, NoSuchUnit
from unitscope.search.ranking import FIELDS, NO_IMAGE, TopActivations
from unitscope.search.search import LayerSearch
from unitscope.search.statistics import unit_statistics
from worker.kinds.top9 import rows as top9_rows
from worker.kinds.top9.partials import (
    MergedTopActivations,
    load_merged,
    load_partial,
    load_skipped,
    store_merged,
    store_partial,
)
from worker.kinds.top9.rows import record_layer

IMAGES, CLASSES, TOP = 60, 3, 4
LAYER = SearchedLayerSpecification(layer="conv5", path="features.10", units=[7, 2, 11])
OTHER = SearchedLayerSpecification(layer="conv4", path="features.8", units=[7])


class Stopped(Exception):
    """Simulated death of the worker."""


class Cancelled(Exception):
    """The job was cancelled."""


class Context:
    """The part of a shard's context that is needed for writing; it fails after a number of transactions, and is
    cancelled after a number of calls of ``progress``."""

    def __init__(self, database: Database, store: Store, transactions: int = 10_000, steps: int = 10_000) -> None:
        self.database, self.store, self.transactions, self.steps = database, store, transactions, steps
        self.claim = SimpleNamespace(job_id=1)

    def record(self, write: Callable[[Session], None], *, locks_job: bool = False) -> None:
        if self.transactions == 0:
            raise Stopped
        self.transactions -= 1
        with self.database.write() as session:
            write(session)

    def progress(self, work: int = 1) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise Cancelled


@pytest.fixture
def context(database: Database, tmp_path: Path) -> Any:
    """The context of a search of two layers over ``IMAGES`` images."""
    names = [f"class {index}" for index in range(CLASSES)]
    with database.write() as session:
        session.add(
            Dataset(id=1, name="d", kind="folder", root="/", options={}, fingerprint="f", class_names=names)
        )
        session.flush()
        session.add_all(
            Image(
                id=number + 1, dataset_id=1, path=f"{number}.png", object_number=0, class_index=number % CLASSES,
                class_name=names[number % CLASSES], width=9, height=9, sha256="s",
            )
            for number in range(IMAGES)
        )  # fmt: skip
        asked = {"bottom": True, "per_class": True}
        session.add(
            Job(id=1, kind="top9", key="k", specification=asked, dataset_id=1, shards_total=1, shards_left=1)
        )
    return Context(database, Store(tmp_path / "store"))


def ranking(random: np.random.Generator, units: int, label: int | None = None) -> TopActivations:
    """Generate random rankings, some of which are incomplete."""
    top = TopActivations.empty(units, TOP)
    for unit in range(units):
        count = int(random.integers(TOP + 1))
        images = np.arange(IMAGES) if label is None else np.arange(label, IMAGES, CLASSES)
        top.activation[unit, :count] = -np.sort(-random.random(count) - 0.1)
        top.image[unit, :count] = random.choice(images, count, replace=False) + 1
        top.row[unit, :count], top.col[unit, :count] = random.integers(13, size=(2, count))
    return top


def searched(seed: int, layer: SearchedLayerSpecification = LAYER, labels: int = CLASSES) -> LayerSearch:
    random, units = np.random.default_rng(seed), len(layer.units)
    by_class = {label: ranking(random, units, label) for label in range(labels)}
    maxima = random.standard_normal((IMAGES, units)).astype(np.float32)
    return LayerSearch(ranking(random, units), ranking(random, units), by_class, maxima)


def expected(top: TopActivations, sign: int = 1) -> list[tuple[Any, ...]]:
    """Return (unit, rank, activation, image, row, column) of all listed entries."""
    return [
        (
            unit, rank + 1, sign * float(top.activation[place, rank]), int(top.image[place, rank]),
            int(top.row[place, rank]), int(top.col[place, rank]),
        )
        for place, unit in enumerate(LAYER.units)
        for rank in range(TOP)
        if top.image[place, rank] != NO_IMAGE
    ]  # fmt: skip


def listed(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in ("unit", "rank", "activation", "image_id", "row", "col")) for row in rows]


def count(context: Context, model: type[Base]) -> int:
    with context.database.read() as session:
        return session.scalar(select(func.count()).select_from(model)) or 0


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_cancelled_stage_stops_between_units(context: Context, steps: int) -> None:
    with pytest.raises(Cancelled):
        record_layer(Context(context.database, context.store, steps=steps), LAYER, searched(1))
    assert count(context, UnitStatistics) == 0
    with pytest.raises(Cancelled):  # in the ties, after the statistics
        record_layer(Context(context.database, context.store, steps=len(LAYER.units) + steps), LAYER, searched(1))
    assert (count(context, UnitStatistics), count(context, TopActivation)) == (len(LAYER.units), 0)


@pytest.mark.parametrize("at_once", [1, 5, 20_000])
def test_every_row_is_written_and_read(context: Context, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(top9_rows, "ROWS_AT_ONCE", at_once)
    search = searched(1)
    assert search.bottom is not None
    record_layer(context, LAYER, search)
    record_layer(context, OTHER, searched(2, OTHER))
    database = context.database
    assert listed(bottom_rows(database, 1, "5")) == sorted(expected(search.bottom, sign=-1))
    rows = class_rows(database, 1, "features.10")
    assert [row["unit"] for row in rows] == sorted(row["unit"] for row in rows)
    for label in range(CLASSES):
        of_class = [row for row in rows if row["class_name"] == f"class {label}"]
        assert listed(of_class) == sorted(expected(search.by_class[label]))
        assert class_rows(database, 1, "5", class_name=f"class {label}") == of_class
        assert class_rows(database, 1, "5", [2], f"class {label}") == [r for r in of_class if r["unit"] == 2]
    for row, unit in zip(statistics_rows(database, 1, "5"), (2, 7, 11), strict=True):
        statistics = unit_statistics(search.maxima)[LAYER.units.index(unit)]
        assert (row["unit"], row["images"], row["histogram"]) == (unit, IMAGES, statistics.histogram)
        assert tuple(row[name] for name in ("q50", "q90", "q99", "q999")) == statistics.quantiles
        assert (row["mean"], row["minimum"], row["maximum"]) == (
            statistics.mean,
            statistics.minimum,
            statistics.maximum,
        )
        assert row["fired_share"] == statistics.fired_share
    assert {row["layer"] for row in class_rows(database, 1)} == {"conv4", "conv5"}
    assert {row["layer"] for row in class_rows(database, 1, units=[7])} == {"conv4", "conv5"}
    assert [row["unit"] for row in statistics_rows(database, 1, units=[7])] == [7, 7]


@pytest.mark.parametrize("transactions", [0, 1, 2, 5])
def test_a_second_attempt_continues_after_a_failed_one(
    context: Context, monkeypatch: pytest.MonkeyPatch, transactions: int
) -> None:
    monkeypatch.setattr(top9_rows, "ROWS_AT_ONCE", 3)
    search = searched(3)
    with pytest.raises(Stopped):
        record_layer(Context(context.database, context.store, transactions), LAYER, search)
    record_layer(context, LAYER, search)
    once = [f(context.database, 1) for f in (statistics_rows, bottom_rows, class_rows)]
    record_layer(context, LAYER, search)
    assert once == [f(context.database, 1) for f in (statistics_rows, bottom_rows, class_rows)]
    assert search.bottom is not None
    assert listed(once[1]) == sorted(expected(search.bottom, sign=-1))
    assert len(once[0]) == len(LAYER.units)
    assert len(once[2]) == sum(len(expected(ranked)) for ranked in search.by_class.values())


def test_rows_are_deleted_with_their_job(context: Context) -> None:
    record_layer(context, LAYER, searched(4))
    with context.database.write() as session:
        session.delete(session.get_one(Job, 1))
    with context.database.read() as session:
        for table in (SearchedLayer, UnitStatistics, BottomActivation, ClassActivation):
            assert session.scalar(select(func.count()).select_from(table)) == 0


# --- missing results ---


def test_results_that_a_search_does_not_have_are_reported(context: Context) -> None:
    record_layer(context, LAYER, searched(5))
    database = context.database
    for read in (statistics_rows, bottom_rows, class_rows):
        with pytest.raises(NoSuchLayer, match="conv5"):
            read(database, 1, "conv2")
        with pytest.raises(NoSuchUnit, match="0 to 11"):
            read(database, 1, None, [3])
    with pytest.raises(NoSuchClass, match="'dog'"):
        class_rows(database, 1, class_name="dog")


def test_rankings_of_a_search_from_before_the_option_are_reported_as_missing(context: Context) -> None:
    with context.database.write() as session:
        session.get_one(Job, 1).specification = {}  # as written before these options existed
        session.add(SearchedLayer(job_id=1, layer="conv5", layer_path="features.10"))
    with pytest.raises(UsageError, match="--bottom"):
        bottom_rows(context.database, 1)
    with pytest.raises(UsageError, match="--per-class"):
        class_rows(context.database, 1)
    with pytest.raises(UsageError, match="Submit it again"):
        statistics_rows(context.database, 1)


def test_an_unfinished_search_has_no_rows(context: Context) -> None:
    for read in (statistics_rows, bottom_rows, class_rows):
        assert read(context.database, 1) == []


# --- partial results ---


def same(one: TopActivations, other: TopActivations) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        and getattr(one, name).dtype == getattr(other, name).dtype
        for name in FIELDS
    )


def test_a_partial_result_is_read_layer_by_layer(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    search = [searched(6), searched(7, OTHER, labels=0), LayerSearch.empty(2, TOP, bottom=False)]
    path = store_partial(context, search, skipped=3).path
    assert load_skipped(context, path) == 3
    for number, layer in enumerate(search):
        loaded = load_partial(context, path, number)
        assert same(loaded.top, layer.top)
        assert (loaded.bottom is None) == (layer.bottom is None)
        assert loaded.bottom is None or layer.bottom is None or same(loaded.bottom, layer.bottom)
        assert list(loaded.by_class) == list(layer.by_class)
        assert all(same(loaded.by_class[label], layer.by_class[label]) for label in layer.by_class)
        assert np.array_equal(loaded.maxima, layer.maxima)
    read: list[str] = []
    original = np.lib.npyio.NpzFile.__getitem__
    monkeypatch.setattr(
        np.lib.npyio.NpzFile, "__getitem__", lambda file, key: [read.append(key), original(file, key)][1]
    )
    load_partial(context, path, 1)
    assert {name.split(".")[0] for name in read} == {"1"}


def test_equal_partial_results_give_the_same_file(context: Context) -> None:
    """A repeated attempt leaves no additional files."""
    assert store_partial(context, [searched(8)], 0) == store_partial(context, [searched(8)], 0)


def test_merged_top_activations_are_read_layer_by_layer(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(9)
    layers = [MergedTopActivations(ranking(random, units), random.random((units, TOP)) < 0.5) for units in (3, 1)]
    path = store_merged(context, layers, skipped=5).path
    monkeypatch.setattr("worker.kinds.top9.partials.stage_results", lambda context, stage: [path])
    assert load_skipped(context, path) == 5
    for number, layer in enumerate(layers):
        loaded = load_merged(context, number)
        assert same(loaded.top, layer.top)
        assert np.array_equal(loaded.tied, layer.tied)
