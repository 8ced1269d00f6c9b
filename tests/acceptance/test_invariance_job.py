"""Invariance jobs with a real worker: rows equal a plain loop, and don't depend on shards and killed workers."""

from __future__ import annotations

import csv
import io
import json
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import nn

from tests import reference
from tests.acceptance.children import children_of, signal_all
from tests.acceptance.conftest import CLASSES, FC, SIZE
from tests.acceptance.test_occlusion_job import make_home
from tests.integration.cli.helpers import Home, refusal

Row = dict[str, Any]

IMAGES = 8
SERIES = ("--shifts=-8:8:8", "--scales", "1,1.4", "--rotations", "0,90")
VALUES = [
    ("rotation", 0),
    ("rotation", 90),
    ("scale", 1),
    ("scale", 1.4),
    ("shift", -8),
    ("shift", 0),
    ("shift", 8),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, shapes_root: Path, weights: Path) -> Iterator[Home]:
    """A home with the data set, a trained network and a worker."""
    home = make_home(tmp_path_factory.mktemp("invariance"), shapes_root, weights)
    yield home
    home.end()


@pytest.fixture(scope="module")
def model(weights: Path) -> nn.Module:
    model = reference.zfnet(CLASSES, FC)
    model.load_state_dict(safetensors.torch.load_file(weights))
    return model.eval()


def submit(home: Home, *options: object) -> str:
    words = ("submit", "invariance", "--dataset", "shapes", "--images", IMAGES, *SERIES)
    return home(*words, *options).stdout.strip()


def rows_of(home: Home, job: str) -> list[Row]:
    order = "ORDER BY image_id, transformation, value, layer"
    return [
        row | {"job_id": 0} for row in home.json("query", f"SELECT * FROM invariance WHERE job_id = {job} {order}")
    ]


@pytest.fixture(scope="module")
def job(home: Home) -> str:
    return submit(home, "--shards", 1, "--wait")


@pytest.fixture(scope="module")
def rows(home: Home, job: str) -> list[Row]:
    return rows_of(home, job)


@torch.no_grad()
def features(model: nn.Module, pixels: np.ndarray) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return the features of conv1 and fc7, and the probabilities, by a plain loop."""
    values = (torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.5
    first = model.features[:2](values)
    last = model.classifier[:6](nn.functional.adaptive_avg_pool2d(model.features[2:](first), 6).flatten(1))
    return {"conv1": first.double(), "fc7": last.double()}, model.classifier[6:](last).double().softmax(1)[0]


def moved(pixels: np.ndarray, transformation: str, value: float) -> np.ndarray | None:
    """Return the image after a shift or a quarter turn; None for others."""
    if transformation == "rotation":
        return np.rot90(pixels, int(value) // 90)
    if transformation == "shift":
        changed, by = np.full_like(pixels, 128), int(value)
        target = slice(max(by, 0), SIZE + min(by, 0))
        changed[target] = pixels[max(-by, 0) : SIZE - max(by, 0)]
        return changed
    return pixels if value == 1 else None


def test_rows_equal_a_plain_loop(home: Home, model: nn.Module, rows: list[Row], shapes_root: Path) -> None:
    images = {row["id"]: row for row in home.json("query", "SELECT * FROM images")}
    names = home.json("query", "SELECT class_names FROM datasets")[0]["class_names"]
    names = json.loads(names) if isinstance(names, str) else names
    assert [(row["image_id"], row["transformation"], row["value"], row["layer"]) for row in rows] == [
        (image, *value, layer)
        for image in sorted({row["image_id"] for row in rows})
        for value in VALUES
        for layer in ("conv1", "fc7")
    ]
    assert len(rows) == IMAGES * len(VALUES) * 2
    compared = 0
    for row in rows:
        image = images[row["image_id"]]
        box = tuple(image[f"box_{side}"] for side in ("left", "top", "right", "bottom"))
        picture = Image.open(shapes_root / image["path"]).convert("RGB").crop(box)
        pixels = np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
        if (changed := moved(pixels, row["transformation"], row["value"])) is None:
            continue
        (clear, _), (found, probabilities) = features(model, pixels), features(model, changed)
        distance = float((found[row["layer"]] - clear[row["layer"]]).norm())
        norm = float(clear[row["layer"]].norm())
        assert row["distance"] == pytest.approx(distance, rel=1e-4, abs=1e-5 * norm)
        assert row["relative_distance"] == pytest.approx(row["distance"] / norm, rel=1e-4)
        assert row["probability"] == pytest.approx(float(probabilities[names.index(row["class_name"])]), rel=1e-4)
        assert row["answer_class"] == names[int(probabilities.argmax())]
        assert row["layer_path"] == {"conv1": "features.1", "fc7": "classifier.5"}[row["layer"]]
        compared += 1
    assert compared == IMAGES * 6 * 2


def test_unchanged_images_have_distance_0_and_the_clear_probability(home: Home, job: str, rows: list[Row]) -> None:
    clear = {row["image_id"]: row for row in home.json("results", job, "--invariance-images")}
    neutral = {"shift": 0, "scale": 1, "rotation": 0}
    unchanged = [row for row in rows if row["value"] == neutral[row["transformation"]]]
    assert len(unchanged) == IMAGES * 3 * 2
    for row in unchanged:
        assert row["distance"] == 0
        assert row["probability"] == clear[row["image_id"]]["clear_probability"]
        assert row["answer_class"] == clear[row["image_id"]]["clear_class"]


def test_rows_do_not_depend_on_shards_and_killed_workers(home: Home, job: str, rows: list[Row]) -> None:
    """The worker's process is killed while it computes a shard of the second job, or starts it."""
    children = children_of(home)
    signal_all(children, signal.SIGSTOP)  # submitting takes as long as computing
    others = [submit(home, "--shards", shards, "--force") for shards in (3, 8)]
    signal_all(children, signal.SIGCONT)
    begun = f"SELECT count(*) FROM shards WHERE job_id = {others[1]} AND state IN ('running', 'done')"
    with sqlite3.connect(f"file:{home.home / 'unitscope.sqlite3'}?mode=ro", uri=True) as connection:
        home.wait(lambda: connection.execute(begun).fetchone()[0] > 0)
    signal_all(children, signal.SIGKILL)
    expected = home.json("status", job)["summary"]
    figures = f"SELECT DISTINCT figure_path FROM invariance_jobs WHERE job_id IN ({job}, {', '.join(others)})"
    for other in others:
        home("watch", other)
        assert rows_of(home, other) == rows
        assert home.json("status", other)["summary"] == expected
    assert len(home.json("query", figures)) == 1


def test_results_are_filtered_and_exported(home: Home, job: str, rows: list[Row], tmp_path: Path) -> None:
    fc7 = home.json("results", job, "--layer", "7")
    assert [row["distance"] for row in fc7] == [row["distance"] for row in rows if row["layer"] == "fc7"]
    image = rows[0]["image_id"]
    of_image = list(csv.DictReader(io.StringIO(home("results", job, "--image", image, "--format", "csv").stdout)))
    assert [float(row["value"]) for row in of_image] == [row["value"] for row in rows if row["image_id"] == image]
    page = tmp_path / "page.html"
    home("results", job, "--html", page)
    text = page.read_text()
    assert text.count("data:image/png;base64,") >= IMAGES + 1
    assert "conv1 (output of features.1)" in text
    assert home.json("verify", job)["wrong"] == []
    home.change(f"UPDATE invariance_distance_rows SET distance = distance * 2 WHERE job_id = {job}")
    try:
        wrong = json.loads(home("verify", job, "--json", code=1).stdout)["wrong"]
    finally:
        home.change(f"UPDATE invariance_distance_rows SET distance = distance / 2 WHERE job_id = {job}")
    assert any("distance of fc7" in line for line in wrong)


def test_a_job_can_be_moved(home: Home, job: str, rows: list[Row], shapes_root: Path, tmp_path: Path) -> None:
    home("export", job, tmp_path / "job.tar")
    elsewhere = Home(tmp_path / "elsewhere")
    moved = elsewhere("import", tmp_path / "job.tar", "--root", shapes_root).stdout.strip()
    assert rows_of(elsewhere, moved) == rows
    elsewhere("results", moved, "--html", tmp_path / "page.html")


def test_requests_that_cannot_be_computed_are_refused(home: Home, tmp_path: Path) -> None:
    seven = tmp_path / "seven.safetensors"
    safetensors.torch.save_file(reference.zfnet(7, FC).state_dict(), seven)
    other = ("--weights", seven, "--network", "zfnet", "--size", SIZE, "--fc", FC, "--classes", 7)
    wrong: list[tuple[tuple[object, ...], int, str]] = [
        (("--layer", "conv9"), 4, "conv1 (features.0)"),
        (("--shifts", "64"), 2, "not from -63 to 63"),
        (("--scales", "0"), 2, "not from 0.1 to 10"),
        (("--rotations", "x"), 2, "FROM:TO:STEP"),
        (("--shifts", "none", "--scales", "none", "--rotations", "none"), 2, "nothing to measure"),
        (("--image-id", 99_999), 4, "99999"),
        (other, 2, "7 classes"),
    ]
    before = home.jobs()
    calls = [(("submit", "invariance", "--dataset", "shapes", *options), {}) for options, _, _ in wrong]
    for done, (_, code, says) in zip(home.many(calls), wrong, strict=True):
        refusal(done, code, [says])
    assert home.jobs() == before


def test_the_dry_run_prints_the_cost(home: Home) -> None:
    before = home.jobs()
    words = ("submit", "invariance", "--dataset", "shapes", "--images", 3, *SERIES, "--dry-run", "--json")
    assert json.loads(home(*words).stdout)["images"] == 3
    assert home.jobs() == before
