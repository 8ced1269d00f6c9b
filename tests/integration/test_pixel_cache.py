"""Searches that share decoded images, and the command ``analyze cache``."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from sqlalchemy import select
from torch import nn

from producer.datasets.folder import read_folder
from producer.datasets.shapes import CLASSES
from producer.datasets.voc import read_voc
from shared.database.catalogue import register
from shared.database.datasets import Image
from shared.database.schema import open_database
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Job, Shard
from shared.kinds.top9.specification import SearchedLayerSpecification, Top9Specification
from shared.kinds.top9.tables import SearchedLayer, TopActivation
from shared.settings import Settings
from shared.store.store import Store
from tests import reference
from tests.conftest import Analyze
from tests.integration.datasets.helpers import write_folder
from unitscope.data import images
from unitscope.description import NetworkSpecification
from unitscope.images.pixel_files import file_name, pixel_files, record_bytes
from worker import runner
from worker.kinds.common import pixel_cache, sources_by_id, split_sources
from worker.runner import ShardContext

SIZE, FC = 64, 16
UNITS = [0, 1, 2, 3]
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}

Rows = list[tuple[Any, ...]]


class Home:
    """A home with two data sets, whose searches run in this process without a broker."""

    def __init__(self, folder: Path, shapes_root: Path) -> None:
        self.folder = folder
        self.database = open_database(self.settings().resolved_database_url)
        self.ledger = Ledger(self.database)
        self.store = Store(self.settings().resolved_store)
        # Registered first, so that positions within the second data set differ from those among all images.
        register(self.database, "photos", read_folder(write_folder(folder / "photos", ["ant/a.png", "bee/b.png"])))
        dataset = read_voc(shapes_root, kind="shapes", classes=CLASSES)
        self.dataset, _ = register(self.database, "shapes", dataset)
        self.fingerprint, self.count = dataset.fingerprint, len(dataset.images)
        torch.manual_seed(3)
        model = reference.zfnet(20, FC)
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        self.weights = self.store.put(safetensors.torch.save(model.state_dict()), ".safetensors")

    def settings(self, **values: Any) -> Settings:
        return Settings(home=self.folder, threads=1, **values)

    def specification(self, **network: Any) -> Top9Specification:
        return Top9Specification(
            dataset_id=self.dataset,
            dataset_fingerprint=self.fingerprint,
            split="trainval",
            image_count=self.count,
            network=NetworkSpecification(name="zfnet", classes=20, image_size=SIZE, fc=FC, **network),
            weights_sha256=self.weights.sha256,
            weights_path=self.weights.path,
            training_job_id=None,
            layers=[SearchedLayerSpecification(layer="conv5", path="features.10", units=UNITS)],
            shards=2,
        )

    def search(self, settings: Settings, **network: Any) -> Rows:
        """Run a new search and return its rows."""
        job, _ = self.ledger.submit(self.specification(**network), force=True)
        while shards := self.queued(job):
            for shard in shards:
                runner.run(shard, settings, "cpu")
        columns = [c for c in TopActivation.__table__.columns if c.name != "layer_id"]
        with self.database.read() as session:
            row = session.get_one(Job, job)
            assert (row.state, row.error) == ("done", None)
            layer = session.scalars(select(SearchedLayer.id).where(SearchedLayer.job_id == job)).one()
            rows = session.execute(select(*columns).where(TopActivation.layer_id == layer)).all()
        assert len(rows) > 9
        return sorted(map(tuple, rows))

    def queued(self, job: int) -> list[int]:
        with self.database.read() as session:
            query = select(Shard.id).where(Shard.job_id == job, Shard.state == "queued").order_by(Shard.id)
            return list(session.scalars(query))

    def context(self, settings: Settings) -> ShardContext:
        """Claim a queued shard and return its context."""
        job, _ = self.ledger.submit(self.specification(), force=True)
        claim = self.ledger.claim(self.queued(job)[0], "w")
        assert claim is not None
        return ShardContext(claim, self.ledger, self.store, "cpu", settings.cache_folder, settings.cache_bytes)


@pytest.fixture
def home(analyze: Analyze, shapes_root: Path) -> Home:
    """A ``Home`` in the home folder of ``analyze``."""
    return Home(analyze.home, shapes_root)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Ids of the images that are decoded during the test."""
    ids: list[int] = []
    read_image = images.read_image

    def noted(source: images.ImageSource, size: int) -> np.ndarray:
        ids.append(source.id)
        return read_image(source, size)

    monkeypatch.setattr(images, "read_image", noted)
    return ids


# --- searches ---


def test_a_second_search_decodes_nothing_and_has_the_same_rows(home: Home, decoded: list[int]) -> None:
    uncached = home.search(home.settings(cache_gb=0))
    assert not home.settings().cache_folder.exists()
    assert len(decoded) > home.count
    decoded.clear()
    assert home.search(home.settings()) == uncached
    assert sorted(decoded) == sorted(set(decoded))  # each image once; the projections use the cache
    assert len(decoded) == home.count
    decoded.clear()
    assert home.search(home.settings()) == uncached
    assert decoded == []


def test_networks_with_other_normalization_share_the_cache(home: Home, decoded: list[int]) -> None:
    usual = home.search(home.settings())
    decoded.clear()
    other = home.search(home.settings(), **IMAGENET)
    assert decoded == []
    assert other != usual
    assert other == home.search(home.settings(cache_gb=0), **IMAGENET)


def test_a_limit_that_is_too_small_disables_the_cache(
    home: Home, decoded: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    too_small = home.settings(cache_gb=(home.count * record_bytes(SIZE) - 1) / 2**30)
    with_cache = home.search(home.settings())
    shutil.rmtree(home.settings().cache_folder)
    decoded.clear()
    assert home.search(too_small) == with_cache
    assert len(decoded) > home.count
    assert not home.settings().cache_folder.exists()
    assert "decoded images are not cached" in caplog.text
    assert pixel_cache(home.context(home.settings()), SIZE) is not None


def test_positions_follow_the_order_of_ids_in_the_data_set(home: Home) -> None:
    context = home.context(home.settings())
    with home.database.read() as session:
        query = select(Image.id).where(Image.dataset_id == home.dataset).order_by(Image.id)
        expected = {image_id: position for position, image_id in enumerate(session.scalars(query))}
    assert min(expected) > 1
    every = split_sources(context, "trainval")
    assert {source.id: source.position for source in every} == expected
    assert split_sources(context, "trainval", 30, 40) == every[30:40]
    for split in ("train", "val"):
        members = split_sources(context, split)
        assert 0 < len(members) < len(every)
        assert all(source.position == expected[source.id] for source in members)
    some = [every[3], every[77]]
    assert sources_by_id(context, [source.id for source in some]) == {source.id: source for source in some}


def test_data_sets_with_the_same_content_share_a_file(home: Home, shapes_root: Path, tmp_path: Path) -> None:
    first = pixel_cache(home.context(home.settings()), SIZE)
    copy = shutil.copytree(shapes_root, tmp_path / "copy")
    home.dataset, _ = register(home.database, "copy", read_voc(copy, kind="shapes", classes=CLASSES))
    second = pixel_cache(home.context(home.settings()), SIZE)
    assert first is not None
    assert second is not None
    assert first.file == second.file


# --- analyze cache ---


def test_cache_files_are_listed_and_removed(home: Home, analyze: Analyze) -> None:
    assert analyze("cache", "ls").stdout == "Nothing is cached.\n"
    assert analyze.json("cache", "ls") == []
    assert analyze("cache", "clear").stdout == "Files removed: 0, 0.0 MB freed.\n"
    home.search(home.settings())
    folder = home.settings().cache_folder
    unknown = folder / file_name("0" * 64, 8)
    unknown.write_bytes(bytes(5 * record_bytes(8)))
    os.utime(unknown, (1, 1))
    (folder / "notes.txt").touch()

    first, second = analyze.json("cache", "ls")
    mine = folder / file_name(home.fingerprint, SIZE)
    assert (first["file"], first["datasets"], first["size"]) == (str(mine), ["shapes"], SIZE)
    assert (first["images"], first["share_cached"]) == (home.count, 1)
    assert first["bytes"] == mine.stat().st_blocks * 512 >= home.count * record_bytes(SIZE)
    assert abs((datetime.now(UTC) - datetime.fromisoformat(first["last_used"])).total_seconds()) < 300
    assert (second["file"], second["datasets"], second["images"]) == (str(unknown), [], 5)
    assert second["last_used"].startswith("1970-01-01")
    shown = analyze("cache", "ls").stdout.splitlines()
    assert shown[0].split()[:3] == ["file", "data", "sets"]
    assert mine.name in shown[1]
    assert shown[1].split()[1:5] == ["shapes", "64", str(home.count), "100%"]
    assert shown[2].split()[1:4] == ["-", "8", "5"]

    assert analyze("cache", "clear", "--dataset", "photos").stdout.startswith("Files removed: 0,")
    assert "'shap'" in analyze("cache", "clear", "--dataset", "shap", code=4).stderr
    assert len(pixel_files(folder)) == 2
    freed = f"Files removed: 1, {first['bytes'] / 2**20:.1f} MB freed.\n"
    assert analyze("cache", "clear", "--dataset", "shapes").stdout == freed
    assert [file.path for file in pixel_files(folder)] == [unknown]
    assert analyze("cache", "clear").stdout.startswith("Files removed: 1,")
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_a_cache_file_is_listed_with_all_its_data_sets(
    home: Home, analyze: Analyze, shapes_root: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(shapes_root, tmp_path / "copy")
    register(home.database, "a copy", read_voc(copy, kind="shapes", classes=CLASSES))
    assert pixel_cache(home.context(home.settings()), SIZE) is not None
    (row,) = analyze.json("cache", "ls")
    assert row["datasets"] == ["a copy", "shapes"]
    assert row["share_cached"] < 0.01
    assert analyze("cache", "clear", "--dataset", "a copy").stdout.startswith("Files removed: 1,")
