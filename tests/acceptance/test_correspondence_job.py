"""Correspondence jobs with a real worker: rows equal a plain loop, and don't depend on shards."""

from __future__ import annotations

import itertools
import json
import re
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
from tests.acceptance.conftest import CLASSES, FC, SIZE
from tests.acceptance.test_occlusion_job import make_home
from tests.integration.cli.helpers import Home, refusal
from unitscope.correspondence.masks import random_boxes

Row = dict[str, Any]

IMAGES, DRAWS, SEED = 8, 2, 3
TABLES = {
    "correspondence": "part, layer",
    "correspondence_pairs": "part, layer, image_id, other_image_id",
    "correspondence_images": "image_id, part",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, shapes_root: Path, weights: Path) -> Iterator[Home]:
    """A home with the data set, a trained network and a worker."""
    home = make_home(tmp_path_factory.mktemp("correspondence"), shapes_root, weights)
    yield home
    home.end()


@pytest.fixture(scope="module")
def images(home: Home) -> list[Row]:
    """The first images of the data set, ordered by id."""
    return home.json("query", f"SELECT * FROM images ORDER BY id LIMIT {IMAGES}")


@pytest.fixture(scope="module")
def boxes(images: list[Row], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of boxes: the middle of every image, and the upper left corner of the first five."""
    lines = ["image,object,part,left,top,right,bottom"]
    for number, row in enumerate(images):
        left, top, width, height = corner(row)
        middle = left + width / 4, top + height / 4, left + 3 * width / 4, top + 3 * height / 4
        lines.append(",".join(map(str, [row["path"], row["object_number"], "nose", *middle])))
        if number < 5:
            first = left, top, left + width / 2, top + height / 2
            lines.append(",".join(map(str, [row["path"], row["object_number"], "left eye", *first])))
    path = tmp_path_factory.mktemp("boxes") / "boxes.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def corner(row: Row) -> tuple[int, int, int, int]:
    """Return left, top, width and height of an object."""
    return (
        *(row["box_left"], row["box_top"]),
        *(row["box_right"] - row["box_left"], row["box_bottom"] - row["box_top"]),
    )


def submit(home: Home, boxes: Path, *options: object) -> str:
    words = ("submit", "correspondence", "--dataset", "shapes", "--boxes", boxes)
    return home(*words, "--draws", DRAWS, "--seed", SEED, *options).stdout.strip()


def rows_of(home: Home, job: str) -> dict[str, list[Row]]:
    return {
        table: [
            row | {"job_id": 0}
            for row in home.json("query", f"SELECT * FROM {table} WHERE job_id = {job} ORDER BY {order}")
        ]
        for table, order in TABLES.items()
    }


@pytest.fixture(scope="module")
def job(home: Home, boxes: Path) -> str:
    return submit(home, boxes, "--shards", 1, "--wait")


@pytest.fixture(scope="module")
def rows(home: Home, job: str) -> dict[str, list[Row]]:
    return rows_of(home, job)


@torch.no_grad()
def features(model: nn.Module, pixels: np.ndarray) -> dict[str, torch.Tensor]:
    """Return the features of conv5 and fc7 by a plain loop."""
    values = (torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.5
    fifth = model.features[:12](values)
    last = model.classifier[:6](nn.functional.adaptive_avg_pool2d(model.features[12:](fifth), 6).flatten(1))
    return {"conv5": fifth.flatten(), "fc7": last.flatten()}


def test_rows_equal_a_plain_loop(
    rows: dict[str, list[Row]], images: list[Row], weights: Path, shapes_root: Path
) -> None:
    model = reference.zfnet(CLASSES, FC)
    model.load_state_dict(safetensors.torch.load_file(weights))
    model.eval()
    quarter, half = SIZE // 4, SIZE // 2
    parts = {"nose": (quarter, quarter, 3 * quarter, 3 * quarter), "left eye": (0, 0, half, half)}
    signs: dict[tuple[str, str, int], list[np.ndarray]] = {}
    for number, row in enumerate(images):
        left, top, width, height = corner(row)
        picture = Image.open(shapes_root / row["path"]).convert("RGB")
        cut = picture.crop((left, top, left + width, top + height))
        pixels = np.asarray(cut.resize((SIZE, SIZE), Image.Resampling.BILINEAR))
        clear = features(model, pixels)
        for part in list(parts)[: 2 if number < 5 else 1]:
            for draw in range(DRAWS + 1):
                box = parts[part]
                if draw:
                    (box,) = random_boxes([box], SIZE, SEED, part, number, draw)
                masked = pixels.copy()
                masked[box[1] : box[3], box[0] : box[2]] = 128
                for layer, values in features(model, masked).items():
                    change = (clear[layer] - values).numpy()
                    limit = 1e-5 * float(clear[layer].abs().max())
                    signs.setdefault((part, layer, draw), []).append(np.sign(change) * (np.abs(change) > limit))
    table = {(row["part"], row["layer"]): row for row in rows["correspondence"]}
    assert sorted(table) == [(part, layer) for part in ("left eye", "nose") for layer in ("conv5", "fc7")]
    for (part, layer), row in table.items():
        count = len(signs[part, layer, 0])
        pairs = list(itertools.combinations(range(count), 2))
        distances = np.array(
            [
                [(vectors[one] != vectors[other]).mean() for one, other in pairs]
                for vectors in (signs[part, layer, draw] for draw in range(DRAWS + 1))
            ]
        )
        assert (row["images"], row["pairs"]) == (count, len(pairs))
        close = 2e-3  # signs of a few features depend on rounding
        assert row["distance"] == pytest.approx(distances[0].mean(), abs=close)
        assert row["spread"] == pytest.approx(distances[0].std(), abs=close)
        assert row["random_distance"] == pytest.approx(distances[1:].mean(), abs=close)
        assert row["random_spread"] == pytest.approx(distances[1:].std(), abs=close)
        stored = [pair for pair in rows["correspondence_pairs"] if (pair["part"], pair["layer"]) == (part, layer)]
        ids = [image["id"] for image in images]
        assert [(pair["image_id"], pair["other_image_id"]) for pair in stored] == [
            (ids[one], ids[other]) for one, other in pairs
        ]
        assert [pair["distance"] for pair in stored] == pytest.approx(distances[0], abs=3e-3)
        assert [pair["random_distance"] for pair in stored] == pytest.approx(distances[1:].mean(0), abs=3e-3)
        below = np.mean([pair["distance"] < pair["random_distance"] for pair in stored])
        assert row["below_chance"] == pytest.approx(below)
    shares = {row["part"]: row["masked_share"] for row in rows["correspondence_images"]}
    assert shares == {"nose": 0.25, "left eye": 0.25}
    assert len(rows["correspondence_images"]) == IMAGES + 5


def test_rows_do_not_depend_on_the_number_of_shards(
    home: Home, boxes: Path, job: str, rows: dict[str, list[Row]]
) -> None:
    others = [submit(home, boxes, "--shards", shards, "--force") for shards in (3, 8)]
    for other in others:
        home("watch", other)
        assert rows_of(home, other) == rows
        assert home.json("status", other)["summary"] == home.json("status", job)["summary"]
    figures = f"SELECT DISTINCT figure_path FROM correspondence_jobs WHERE job_id IN ({job}, {', '.join(others)})"
    assert len(home.json("query", figures)) == 1


def test_results_are_printed_drawn_and_verified(
    home: Home, job: str, rows: dict[str, list[Row]], tmp_path: Path
) -> None:
    table = home.json("results", job)
    assert [(row["part"], row["layer"]) for row in table] == [
        (row["part"], row["layer"]) for row in rows["correspondence"]
    ]
    assert [row["reported_distance"] for row in table] == [0.069, 0.068, 0.079, 0.069]
    assert [row["reported_random"] for row in table] == [0.107, 0.073] * 2
    seventh = home.json("results", job, "--pairs", "--layer", "7")
    assert len(seventh) == len([row for row in rows["correspondence_pairs"] if row["layer"] == "fc7"]) == 10 + 28
    assert len(home.json("results", job, "--masked-images")) == IMAGES + 5
    page = tmp_path / "page.html"
    home("results", job, "--html", page)
    text = re.sub(r"\s+", " ", page.read_text())
    assert "data:image/png;base64," in text
    assert "<td>random masks</td>" in text
    assert '<td class="number">0.079</td>' in text
    assert home.json("verify", job)["wrong"] == []
    home.change(f"UPDATE correspondence_pair_rows SET distance = distance * 2 WHERE job_id = {job}")
    try:
        wrong = json.loads(home("verify", job, "--json", code=1).stdout)["wrong"]
    finally:
        home.change(f"UPDATE correspondence_pair_rows SET distance = distance / 2 WHERE job_id = {job}")
    assert any("distance: recorded" in line for line in wrong)


def test_a_job_can_be_moved(
    home: Home, job: str, rows: dict[str, list[Row]], shapes_root: Path, tmp_path: Path
) -> None:
    home("export", job, tmp_path / "job.tar")
    elsewhere = Home(tmp_path / "elsewhere")
    moved = elsewhere("import", tmp_path / "job.tar", "--root", shapes_root).stdout.strip()
    found = rows_of(elsewhere, moved)
    assert found["correspondence"] == rows["correspondence"]
    paths = [(row["image_path"], row["other_image_path"]) for row in rows["correspondence_pairs"]]
    assert [(row["image_path"], row["other_image_path"]) for row in found["correspondence_pairs"]] == paths
    elsewhere("results", moved, "--html", tmp_path / "page.html")


def test_requests_that_cannot_be_computed_are_refused(
    home: Home, boxes: Path, images: list[Row], tmp_path: Path
) -> None:
    def file(name: str, *lines: str) -> Path:
        path = tmp_path / name
        path.write_text("image,object,part,left,top,right,bottom\n" + "\n".join(lines))
        return path

    one = f"{images[0]['path']},{images[0]['object_number']}"
    outside = file("outside.csv", f"{one},eye,90000,0,90010,10")
    box = ",".join(str(images[0][f"box_{side}"]) for side in ("left", "top", "right", "bottom"))
    single = file("single.csv", f"{one},eye,{box}")
    wrong: list[tuple[tuple[object, ...], int, str]] = [
        (("--boxes", outside), 2, "line 2"),
        (("--boxes", single), 2, "at least two images"),
        (("--boxes", file("object.csv", f"{images[0]['path']},99,eye,0,0,9,9")), 2, "no object 99"),
        (("--boxes", file("image.csv", "none.jpg,,eye,0,0,9,9")), 4, "none.jpg"),
        (("--boxes", tmp_path / "missing.csv"), 2, "no file"),
        (("--boxes", boxes, "--part", "tail"), 2, "left eye (5), nose (8)"),
        (("--boxes", boxes, "--images", 1), 2, "at least two images"),
        (("--boxes", boxes, "--part", "left eye", "--image-id", images[-1]["id"]), 2, "left eye"),
        (("--boxes", boxes, "--layer", "conv9"), 4, "conv1 (features.0)"),
        ((), 2, "Parts of these images: none"),
    ]
    before = home.jobs()
    calls = [(("submit", "correspondence", "--dataset", "shapes", *options), {}) for options, _, _ in wrong]
    for done, (_, code, says) in zip(home.many(calls), wrong, strict=True):
        refusal(done, code, [says])
    assert home.jobs() == before
