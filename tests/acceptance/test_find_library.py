"""The questions of the library have the answers that ``analyze find`` has of a job over the same images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import unitscope as us
from tests.acceptance.conftest import FC, SIZE
from tests.conftest import Analyze

CLASSES, EACH = ("blue", "green", "red"), 14
UNITS = 16


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos") / "photos"
    drawn = np.random.default_rng(5)
    for channel, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for number in range(EACH):
            pixels = drawn.integers(0, 120, (80, 70, 3))
            pixels[..., channel] += 100
            pixels = pixels * (number + 1) // EACH  # of different contrast, so that units are absent on some
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number:02}.png")
    return root


@pytest.fixture(scope="module")
def asked(
    tmp_path_factory: pytest.TempPathFactory, photos: Path, weights: Path
) -> Iterator[tuple[Analyze, str, us.Top9, us.Top9]]:
    """A finished search of two layers, and the library's of each."""
    analyze = Analyze(tmp_path_factory.mktemp("find") / "home")
    analyze("dataset", "add", "folder", "--root", photos, "--name", "photos")
    analyze.up()
    try:
        job = analyze(
            "submit", "--layers", "1,5", "--units", f"0-{UNITS - 1}", "--dataset", "photos", "--split", "all",
            "--weights", weights, "--network", "zfnet", "--size", SIZE, "--fc", FC, "--projection", "none",
            "--classes", 20, "--shards", 1, "--wait",
        ).stdout.strip()  # fmt: skip
        torch.set_num_threads(1)  # as the worker's: the last bits depend on it
        network = us.load_network("zfnet", weights, classes=20, size=SIZE, fc=FC)
        conv1, conv5 = (
            us.top9(network, layer, photos, units=range(UNITS), projection=None, device="cpu") for layer in (1, 5)
        )
        yield analyze, job, conv1, conv5
    finally:
        analyze.end()


def relative(rows: list[dict[str, Any]], photos: Path) -> list[dict[str, Any]]:
    """Return rows of the library with the names and paths that the service's have."""
    return [
        {**row, "image_path": str(Path(row["image"]).relative_to(photos)), "class_name": row["class"]}
        for row in rows
    ]


def same(rows: list[dict[str, Any]], others: list[dict[str, Any]], names: tuple[str, ...], exact: bool) -> None:
    """Check columns of the rows: numbers are equal, or up to rounding if the network ran again."""
    assert rows
    assert len(rows) == len(others)
    for row, other in zip(rows, others, strict=True):
        for name in names:
            rounded = not exact and isinstance(other[name], float)
            assert row[name] == (pytest.approx(other[name], rel=1e-5) if rounded else other[name]), name


IMAGE = ("rank", "value", "image_path", "class_name", "activations")


def test_images_and_units_are_the_same(asked: tuple[Analyze, str, us.Top9, us.Top9], photos: Path) -> None:
    analyze, job, _, conv5 = asked
    ids = {row["path"]: row["id"] for row in analyze.json("query", "SELECT id, path FROM images")}
    for how in ("all", "any", "sum"):
        units = [row["unit"] for row in conv5.find_units(11, top=3)]  # all are active on this image
        rows = conv5.find_images(units, how, without=() if how == "all" else 9, top=15)  # type: ignore[arg-type]
        absent = () if how == "all" else ("--not", "conv5:9")
        options = ("--units", f"conv5:{','.join(map(str, units))}", f"--{how}", *absent, "--top", 15)
        same(relative(rows, photos), analyze.json("find", "images", job, *options), IMAGE, exact=True)
    rows = conv5.find_images([3, 7], "any", class_name="green", top=5)
    options = ("--units", "conv5:3,7", "--any", "--class", "green", "--top", 5)
    same(relative(rows, photos), analyze.json("find", "images", job, *options), IMAGE, exact=True)

    image = ids[str(Path(conv5.images[11]).relative_to(photos))]
    for metric in ("cosine", "l2"):
        found = relative(conv5.like(11, metric=metric, top=9), photos)  # type: ignore[arg-type]
        options = ("--image", image, "--metric", metric, "--top", 9)
        same(found, analyze.json("find", "like", job, *options), IMAGE, exact=True)
    names = ("rank", "layer", "unit", "activation", "images_above", "percentile")
    options = ("--image", image, "--layer", "conv5", "--top", 30)
    same(conv5.find_units(11, top=30), analyze.json("find", "units", job, *options), names, exact=True)


def test_an_image_that_was_not_searched(
    asked: tuple[Analyze, str, us.Top9, us.Top9], photos: Path, tmp_path: Path
) -> None:
    analyze, job, _, conv5 = asked
    Image.open(photos / "red" / "03.png").rotate(90).save(tmp_path / "turned.png")
    rows = conv5.find_units(tmp_path / "turned.png", top=30)
    others = analyze.json(
        "find", "units", job, "--image", tmp_path / "turned.png", "--layer", "conv5", "--top", 30
    )
    same(rows, others, ("layer", "unit", "activation"), exact=False)
    found = relative(conv5.like(tmp_path / "turned.png", [3, 7, 2], metric="l2", top=4), photos)
    options = ("--image", tmp_path / "turned.png", "--units", "conv5:3,7,2", "--metric", "l2", "--top", 4)
    same(found, analyze.json("find", "like", job, *options), ("rank", "value", "image_path"), exact=False)


def test_similar_units_selectivity_and_labels_are_the_same(
    asked: tuple[Analyze, str, us.Top9, us.Top9], photos: Path, tmp_path: Path
) -> None:
    analyze, job, conv1, conv5 = asked
    unit = conv5.find_units(0)[0]["unit"]
    names = ("rank", "layer", "unit", "correlation", "images")
    for searched, layer in ((conv1, "conv1"), (conv5, "conv5")):
        for ranks in (False, True):
            rows = conv5.similar(unit, None if searched is conv5 else searched, ranks=ranks, top=20)
            options = ("--unit", f"conv5:{unit}", "--layer", layer, "--top", 20, *(["--ranks"] if ranks else []))
            same(rows, analyze.json("find", "similar", job, *options), names, exact=True)

    rows = [{**row, "class_name": row["class"]} for row in conv5.selectivity()]
    others = analyze.json("results", job, "--selectivity", "--layer", "conv5")
    same(rows, others, ("layer", "unit", "class_rank", "class_name", "auc", "precision_at_k", "k"), exact=True)

    words = [f"word {number}" for number in range(12)]
    similarities = np.random.default_rng(2).normal(0.2, 0.1, (len(conv5.images), len(words))).astype(np.float32)
    paths = [str(Path(image).relative_to(photos)) for image in conv5.images]
    np.savez(tmp_path / "words.npz", names=words, paths=paths, similarities=similarities)
    analyze("label", job, "--similarities", tmp_path / "words.npz", "--labels", 4)
    others = analyze.json("results", job, "--labels", "--layer", "conv5")
    same(conv5.label(similarities, words, top=4), others, ("layer", "unit", "rank", "label", "score"), exact=True)
