"""Kept maxima: names of layers, checks against the database, and images that show the same."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from producer.kinds.top9 import request
from producer.kinds.top9.find.answers import find_images, find_like, find_units
from producer.kinds.top9.find.kept import KeptMaxima, kept_maxima
from producer.kinds.top9.find.query_image import QueryImage
from producer.kinds.top9.find.units_text import chosen_units
from producer.kinds.top9.layers import searched_layers
from producer.kinds.top9.request import search_request
from producer.networks.choice import ChosenNetwork, NetworkOptions
from shared.database.catalogue import FoundDataset, FoundImage, register, store_network_description
from shared.database.connection import Database
from shared.jobs.tables import Job, JobState
from shared.kinds.top9.specification import SearchedLayerSpecification, Top9Specification
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit, TopActivation, UnitStatistics
from shared.settings import Settings, sqlite_url
from shared.store.store import Store
from unitscope.description import VERSION, LayerDescription, NetworkDescription, NetworkSpecification
from unitscope.errors import MaximaNotReadable, NoSuchLayer, NoSuchUnit, NotFinite
from unitscope.layers.forms import LayerForm
from worker.context import JobContext
from worker.kinds.checking import Comparison
from worker.kinds.top9.check_maxima import check_maxima

IMAGES, UNITS = 12, 4
NETWORK = NetworkSpecification(name="own", classes=3, image_size=32)
SEARCHED = ("2", "block.4", "block.fc")  # of a chain without names; the first convolution was not searched
MEMORY = 10**7


def layer(path: str, kind: str, form: LayerForm | None) -> LayerDescription:
    return LayerDescription(
        path=path, name=None, kind=kind, output_shape=(UNITS, 8, 8), parameters=9, receptive_field=3, stride=1,
        start=0, form=form,
    )  # fmt: skip


MAPS, VECTOR = LayerForm(kind="maps", units=UNITS, rows=8, columns=8), LayerForm(kind="vectors", units=UNITS)
DESCRIPTION = NetworkDescription(
    specification=NETWORK,
    chain=True,
    layers=[
        layer("0", "Conv2d", MAPS),
        layer("2", "Conv2d", MAPS),
        layer("odd", "Odd", None),
        layer("block.4", "Conv2d", MAPS),
        layer("block.fc", "Linear", VECTOR),
    ],
    last="block.fc",
    parameters=36,
    bytes=144,
    version=VERSION,
)


def values_of(path: str) -> np.ndarray:
    values = np.random.default_rng(SEARCHED.index(path)).normal(0, 5, (UNITS, IMAGES)).astype(np.float32)
    values[0] = np.linspace(-20, 0.01, IMAGES)  # small where it is largest
    return values


@pytest.fixture
def database(tmp_path: Path, sqlite_template: Path) -> Iterator[Database]:
    """A data set in which two images are of one file and two are near-duplicates, and a search of three layers."""
    file = tmp_path / "unitscope.sqlite3"
    shutil.copyfile(sqlite_template, file)
    database = Database(sqlite_url(file))
    files = [f"{number}".rjust(64, "0") for number in (0, 1, 1, *range(3, IMAGES))]
    hashes = [int(value) for value in np.random.default_rng(9).integers(2**62, 2**63 - 1, IMAGES)]
    hashes[2], hashes[5] = hashes[1], hashes[4] ^ 1
    images = [
        FoundImage(f"{number}.png", 0, 0, "c", 8, 8, None, files[number], ("val",), hashes[number])
        for number in range(IMAGES)
    ]
    found = FoundDataset("folder", "/data", {"splits": ["val"]}, ["c"], images, fingerprint="f" * 64)
    register(database, "d", found)
    store_network_description(database, DESCRIPTION)
    specification = Top9Specification(
        dataset_id=1, dataset_fingerprint="f" * 64, split="val", image_count=IMAGES, network=NETWORK,
        weights_sha256="a" * 64, weights_path="x", training_job_id=None, projection=None,
        layers=[SearchedLayerSpecification(layer=path, path=path, units=[*range(UNITS)]) for path in SEARCHED],
    )  # fmt: skip
    store = Store(tmp_path / "store")
    with database.write() as session:
        session.add(
            Job(
                id=1, kind="top9", key=specification.key(), specification=specification.model_dump(mode="json"),
                dataset_id=1, state=JobState.DONE, shards_total=1, shards_left=0,
            )
        )  # fmt: skip
        session.flush()
        for number, path in enumerate(SEARCHED, 1):
            values = values_of(path)
            file = store.write(".npy", lambda file, values=values: np.save(file, values))
            session.add(SearchedLayer(id=number, job_id=1, layer=path, layer_path=path, maxima_path=file.path))
            session.flush()
            for unit in range(UNITS):
                session.add(SearchedUnit(layer_id=number, unit=unit, dead=False))
                session.add(statistics(number, unit, values[unit]))
                at = int(values[unit].argmax())
                session.add(
                    TopActivation(
                        layer_id=number, unit=unit, rank=1, activation=float(values[unit, at]), image_id=at + 1
                    )
                )
    yield database
    database.close()


def statistics(layer_id: int, unit: int, values: np.ndarray) -> UnitStatistics:
    quantiles = dict(zip(("q50", "q90", "q99", "q999"), np.quantile(values, (0.5, 0.9, 0.99, 0.999)), strict=True))
    return UnitStatistics(
        layer_id=layer_id, unit=unit, images=IMAGES, mean=float(values.mean()), minimum=float(values.min()),
        maximum=float(values.max()), fired_share=0.5, histogram=[IMAGES],
        **{name: float(value) for name, value in quantiles.items()},
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def kept(database: Database, store: Store) -> KeptMaxima:
    return kept_maxima(database, store, 1)


def change_specification(database: Database, **changes: Any) -> Top9Specification:
    with database.write() as session:
        job = session.get_one(Job, 1)
        job.specification = {**job.specification, **changes}
        return Top9Specification.model_validate(job.specification)


# --- names of layers ---


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("2", ["2"]),  # the path, not the second convolution
        ("block.4", ["block.4"]),
        ("3", ["block.4"]),  # the third convolution
        ("03", ["block.4"]),
        ("scores", ["block.fc"]),
        ("block.*", ["block.4", "block.fc"]),
        ("?", ["2"]),  # 0 was not searched
        ("**", ["2", "block.4", "block.fc"]),
        ("scores,2", ["2", "block.fc"]),
        ("2-3", ["2", "block.4"]),  # a range of numbers
        (" 3 , block.*", ["block.4", "block.fc"]),
    ],
)
def test_layers_are_named_as_when_a_search_is_submitted(
    database: Database, kept: KeptMaxima, name: str, paths: list[str]
) -> None:
    assert [layer.path for layer in kept.named(name)] == paths
    with database.read() as session:
        assert [row.layer_path for row in searched_layers(session, 1, name)] == paths


@pytest.mark.parametrize("name", ["0", "1", "9", "odd", "conv3", "x.*", "[", "", "1-3", "2,9", ","])
def test_layers_that_were_not_searched_are_listed(database: Database, kept: KeptMaxima, name: str) -> None:
    with pytest.raises(NoSuchLayer, match=r"Layers of Job 1: 2, block\.4, block\.fc"):
        kept.named(name)
    with database.read() as session, pytest.raises(NoSuchLayer, match="Layers of Job 1: 2"):
        searched_layers(session, 1, name)


def test_without_a_description_only_names_and_paths_are_known(kept: KeptMaxima) -> None:
    without = replace(kept, description=None)
    assert [layer.path for layer in without.named("block.4")] == ["block.4"]
    with pytest.raises(NoSuchLayer):
        without.named("scores")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("scores:1,3", [("block.fc", 1), ("block.fc", 3)]),
        ("3:0-1", [("block.4", 0), ("block.4", 1)]),
        ("block.*:2", [("block.4", 2), ("block.fc", 2)]),
        ("2:1,3", [("2", 1), ("2", 3)]),
        ("scores", [("block.fc", unit) for unit in range(UNITS)]),
    ],
)
def test_units_of_named_layers(kept: KeptMaxima, text: str, expected: list[tuple[str, int]]) -> None:
    assert [(layer.path, unit) for layer, unit in chosen_units(kept, text)] == expected


def test_a_unit_that_one_of_the_layers_lacks_is_an_error(kept: KeptMaxima) -> None:
    with pytest.raises(NoSuchUnit, match="no unit 9"):
        chosen_units(kept, "block.*:9")


# --- checks against the database ---


def replace_maxima(database: Database, store: Store, values: np.ndarray) -> None:
    """Store another file as that of the first layer."""
    path = store.write(".npy", lambda file: np.save(file, values)).path
    with database.write() as session:
        session.execute(update(SearchedLayer).where(SearchedLayer.id == 1).values(maxima_path=path))


def test_errors_of_a_low_precision_are_those_of_the_units_sizes(database: Database, store: Store) -> None:
    """A unit from -20 to 0.01 differs by 0.2 where it is largest, which is no difference for it."""
    change_specification(database, screen="bfloat16")
    values = values_of("2") + np.float32(0.2)
    replace_maxima(database, store, values)
    assert kept_maxima(database, store, 1).layers[0].maxima.tolist() == values.tolist()
    replace_maxima(database, store, values[:, ::-1].copy())
    with pytest.raises(MaximaNotReadable, match="strongest activation of unit 0"):
        kept_maxima(database, store, 1)


def test_maxima_in_float32_are_the_activations(database: Database, store: Store) -> None:
    values = values_of("2")
    values[0, -1] = np.nextafter(values[0, -1], np.float32(1))
    replace_maxima(database, store, values)
    with pytest.raises(MaximaNotReadable, match="strongest activation of unit 0"):
        kept_maxima(database, store, 1)


def test_a_layer_that_the_specification_lacks_is_an_error(database: Database, store: Store) -> None:
    """As in an imported job, whose rows are the exporter's."""
    with database.write() as session:
        session.execute(update(SearchedLayer).where(SearchedLayer.id == 2).values(layer_path="x.\u202e7"))
    with pytest.raises(MaximaNotReadable, match="job 1 has no layer with the path 'x"):
        kept_maxima(database, store, 1)
    specification = change_specification(database)
    context = JobContext(1, specification, database, store, "cpu")
    units = {path: [0] for path in SEARCHED}
    recomputed = {path: values_of(path)[:1, :1] for path in SEARCHED}
    with pytest.raises(MaximaNotReadable, match="job 1 has no layer with the path 'x"):
        check_maxima(context, specification, [1], units, recomputed, Comparison())


# --- answers ---


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_image_that_is_not_finite_is_an_error(database: Database, kept: KeptMaxima, value: float) -> None:
    activations = {layer.path: np.ones(UNITS, np.float32) for layer in kept.layers}
    activations["block.4"][3] = value
    query = QueryImage("odd.png", None, activations)
    with pytest.raises(NotFinite, match=r"unit 3 of block\.4"):
        find_like(database, kept, query, chosen_units(kept, "block.4"), "cosine", None, 5, MEMORY)
    with pytest.raises(NotFinite, match=r"unit 3 of block\.4"):
        find_units(kept, query, kept.layers, 5, MEMORY)
    assert find_units(kept, query, kept.named("2"), 5, MEMORY)
    inactive = replace(kept.layers[1], active=np.array([True, True, True, False]))
    assert find_units(kept, query, [inactive], 5, MEMORY)


def messages(caplog: pytest.LogCaptureFixture) -> Sequence[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_the_number_of_duplicates_is_said(
    database: Database, kept: KeptMaxima, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = chosen_units(kept, "2:1")
    every = find_images(database, kept, units, "any", [], None, 100, MEMORY)
    assert not messages(caplog)
    distinct = find_images(database, kept, units, "any", [], None, 100, MEMORY, distinct=True)
    assert len(distinct) <= len(every)
    assert messages(caplog) == ["Note: --distinct leaves out 2 of the 12 images of job 1 as duplicates of others."]
    caplog.clear()
    chosen = ChosenNetwork(DESCRIPTION, "x", "a" * 64, None)
    monkeypatch.setattr(request, "choose_network", lambda *_: chosen)  # which would read a file of weights
    options: dict[str, Any] = {
        "dataset": "d", "layers": ["0"], "units": None, "split": None, "top": 9, "shards": 8,
        "network": NetworkOptions(),
    }  # fmt: skip
    specification = search_request(database, Settings(), **options, distinct=True)
    assert specification.distinct == "near"
    expected = "Note: --distinct leaves out 2 of the 12 images of the split val as duplicates of others."
    assert messages(caplog) == [expected]
    caplog.clear()
    search_request(database, Settings(), **options)
    assert not messages(caplog)
