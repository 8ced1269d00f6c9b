"""Options of a search: statistics, bottom images, top images per class, ties."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from tests import reference
from tests.acceptance.conftest import CLASSES, FC, SIZE
from tests.conftest import Analyze, fresh_database

UNITS = 4
LAYERS = {"conv1": 1, "conv5": 5}
OPTIONS = ("--statistics", "--bottom", "--per-class")
PATHS = ("patch_path", "projection_path")


def submit(analyze: Analyze, network_options: list[str], *options: object) -> str:
    return analyze(
        "submit", "--layers", "1,5", "--units", f"0-{UNITS - 1}", "--dataset", "shapes", "--split", "trainval",
        *network_options, "--bottom", "--per-class", *options, "--wait",
    ).stdout.strip()  # fmt: skip


def rows_of(analyze: Analyze, job: str) -> dict[str, Any]:
    """Return all rows of a job, with full float precision."""
    return {option: analyze.json("results", job, option) for option in OPTIONS} | {
        "top": [{k: v for k, v in row.items() if k not in PATHS} for row in analyze.json("results", job)]
    }


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, shapes_root: Path, weights: Path
) -> Iterator[tuple[Analyze, str]]:
    """A home with a finished search in one shard, and the job's id."""
    analyze = Analyze(tmp_path_factory.mktemp("options") / "home")
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze.up()
    options = ["--weights", str(weights), "--network", "zfnet", "--size", str(SIZE), "--fc", str(FC)]
    yield analyze, submit(analyze, options, "--shards", 1)
    analyze.end()


@pytest.fixture(scope="module")
def crops(shapes_root: Path) -> list[reference.Crop]:
    return reference.voc_crops(shapes_root, "trainval", SIZE)


@pytest.fixture(scope="module")
def plain_loop(crops: list[reference.Crop], weights: Path) -> dict[str, np.ndarray]:
    """Maps of the first units of each layer for all crops, by the reference: [images, units, rows, columns]."""
    model = reference.zfnet(CLASSES, FC)
    model.load_state_dict(safetensors.torch.load_file(weights))
    maps: dict[str, list[np.ndarray]] = {name: [] for name in LAYERS}
    for name, number in LAYERS.items():
        model.features[reference.CONVOLUTIONS[number]].register_forward_hook(
            lambda module, inputs, output, name=name: maps[name].append(output[0, :UNITS].numpy().copy())
        )
    for crop in crops:
        with torch.no_grad():
            model.features(crop.pixels[None])
    return {name: np.stack(arrays) for name, arrays in maps.items()}


def test_several_shards_on_postgresql_give_the_rows_of_one_on_sqlite(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    shapes_root: Path,
    network_options: list[str],
    home: tuple[Analyze, str],
) -> None:
    analyze = Analyze(tmp_path / "home", fresh_database("postgresql", request, tmp_path))
    analyze("db", "upgrade")
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze.up()
    request.addfinalizer(analyze.end)
    job = submit(analyze, network_options, "--shards", 3)
    assert analyze.json("query", f"SELECT count(*) AS n FROM shards WHERE job_id = {job}") == [
        {"n": 3 + 1 + 6 + 1}
    ]
    assert rows_of(analyze, job) == rows_of(*home)


def test_statistics_equal_a_plain_loop(home: tuple[Analyze, str], plain_loop: dict[str, np.ndarray]) -> None:
    analyze, job = home
    rows = analyze.json("results", job, "--statistics")
    assert [(row["layer"], row["unit"]) for row in rows] == [
        (name, unit) for name in LAYERS for unit in range(UNITS)
    ]
    for row in rows:
        maxima = plain_loop[row["layer"]][:, row["unit"]].max((1, 2)).astype(float)
        close = {"rel": 1e-5, "abs": 3e-6 * float(abs(plain_loop[row["layer"]]).max())}
        assert row["images"] == len(maxima)
        assert row["mean"] == pytest.approx(maxima.mean(), **close)
        assert row["minimum"] == pytest.approx(maxima.min(), **close)
        assert row["maximum"] == pytest.approx(maxima.max(), **close)
        assert row["fired_share"] == (maxima > 0).mean()
        for name, share in (("q50", 0.5), ("q90", 0.9), ("q99", 0.99), ("q999", 0.999)):
            assert row[name] == pytest.approx(np.quantile(maxima, share), **close)
        bounds = np.linspace(row["minimum"], row["maximum"], len(row["histogram"]) + 1)
        counted = np.cumsum(row["histogram"])[:-1]
        assert sum(row["histogram"]) == len(maxima)
        # An image whose activation is equal to a bound up to rounding may be counted on either side.
        least, most = ((maxima[:, None] < bounds[1:-1] + sign * close["abs"]).sum(0) for sign in (-1, 1))
        assert ((least <= counted) & (counted <= most)).all()


@pytest.mark.parametrize("option", ["--bottom", "--per-class"])
def test_rankings_equal_a_plain_loop(
    home: tuple[Analyze, str], crops: list[reference.Crop], plain_loop: dict[str, np.ndarray], option: str
) -> None:
    analyze, job = home
    objects = {
        row["id"]: row["object_number"] for row in analyze.json("query", "SELECT id, object_number FROM images")
    }
    numbers = {(crop.path, crop.number): number for number, crop in enumerate(crops)}
    by_ranking: dict[tuple[str, int, str], list[dict[str, Any]]] = {}
    for row in analyze.json("results", job, option):
        key = row["layer"], row["unit"], row["class_name"] if option == "--per-class" else ""
        by_ranking.setdefault(key, []).append(row)
    names = {crop.name for crop in crops} if option == "--per-class" else {""}
    compared = 0
    for layer, maps in plain_loop.items():
        rounding = 3e-6 * float(abs(maps).max())
        for unit in range(UNITS):
            for name in names:
                of_class = [number for number, crop in enumerate(crops) if name in ("", crop.name)]
                sign = -1 if option == "--bottom" else 1
                values = sign * maps[of_class, unit]
                expected = -np.sort(-values.max((1, 2)))
                expected = expected[expected > 0][:9]
                rows = by_ranking.pop((layer, unit, name), [])
                assert [row["rank"] for row in rows] == list(range(1, len(expected) + 1))
                for row, value in zip(rows, expected, strict=True):
                    image = numbers[row["image_path"], objects[row["image_id"]]]
                    assert crops[image].name == row["class_name"]
                    there = maps[image, unit, row["row"], row["col"]]
                    assert row["activation"] == pytest.approx(there, rel=1e-5, abs=rounding)
                    assert row["activation"] == pytest.approx(sign * value, rel=1e-5, abs=rounding)
                    compared += 1
    assert by_ranking == {}
    assert compared > 50


def test_the_top_image_is_the_top_image_of_its_class(home: tuple[Analyze, str]) -> None:
    analyze, job = home
    place = ("layer", "unit", "image_id", "activation", "row", "col")
    firsts = [row for row in analyze.json("results", job, "--per-class") if row["rank"] == 1]
    of_classes = {tuple(row[name] for name in place) for row in firsts}
    best = {tuple(row[name] for name in place) for row in analyze.json("results", job) if row["rank"] == 1}
    assert best
    assert best <= of_classes


# --- results ---


@pytest.mark.parametrize(
    ("option", "view"),
    [
        ("--statistics", "unit_statistics"),
        ("--bottom", "bottom_activations"),
        ("--per-class", "class_activations"),
    ],
)
def test_results_equal_the_view_in_order(home: tuple[Analyze, str], option: str, view: str) -> None:
    analyze, job = home
    rows = analyze.json("results", job, option)
    shown = analyze.json("query", f"SELECT * FROM {view} WHERE job_id = {job}", "--limit", 100_000)
    if option == "--statistics":
        shown = [row | {"histogram": json.loads(row["histogram"])} for row in shown]

    def key(row: dict[str, Any]) -> str:
        return json.dumps(row)

    assert sorted(rows, key=key) == sorted(shown, key=key)
    fewer = analyze.json("results", job, option, "--layer", "5", "--units", "0,3")
    assert fewer == [row for row in rows if row["layer"] == "conv5" and row["unit"] in (0, 3)]
    printed = analyze("results", job, option, "--layer", "5", "--units", "0,3", "--format", "csv").stdout
    lines = list(csv.DictReader(io.StringIO(printed)))
    assert [line["unit"] for line in lines] == [str(row["unit"]) for row in fewer]
    table = analyze("results", job, option, "--layer", "5").stdout.splitlines()
    assert len(table) == 1 + len([row for row in rows if row["layer"] == "conv5"])
    assert "histogram" not in table[0]


def test_results_can_be_filtered_by_class(home: tuple[Analyze, str]) -> None:
    analyze, job = home
    rows = analyze.json("results", job, "--per-class", "--layer", "5")
    name = rows[-1]["class_name"]
    asked = ("results", job, "--per-class", "--layer", "5", "--class", name)
    assert analyze.json(*asked) == [row for row in rows if row["class_name"] == name]
    assert "'dog'" in analyze("results", job, "--per-class", "--class", "dog", code=4).stderr


@pytest.mark.parametrize("option", [(), ("--bottom",), ("--per-class",)])
def test_filters_of_rankings(home: tuple[Analyze, str], option: tuple[str, ...]) -> None:
    """Filters can be combined and apply to every output; JSON Lines has the same rows as JSON."""
    analyze, job = home
    rows = analyze.json("results", job, *option)
    name, image = rows[-1]["class_name"], rows[0]["image_id"]
    for words, kept in (
        (("--class", name), [row for row in rows if row["class_name"] == name]),
        (("--image", image), [row for row in rows if row["image_id"] == image]),
        (("--ranks", "1-2", "--units", "0,3"), [r for r in rows if r["rank"] <= 2 and r["unit"] in (0, 3)]),
        (("--layer", "1", "--class", name, "--ranks", "1"),
         [r for r in rows if (r["layer"], r["class_name"], r["rank"]) == ("conv1", name, 1)]),
    ):  # fmt: skip
        assert analyze.json("results", job, *option, *words) == kept
        lines = analyze("results", job, *option, *words, "--format", "jsonl").stdout.splitlines()
        assert [json.loads(line) for line in lines] == kept


def test_filters_apply_to_the_best_units_and_the_page(home: tuple[Analyze, str], tmp_path: Path) -> None:
    analyze, job = home
    best = analyze.json("results", job, "--best", 1000)
    kept = [row for row in best if row["layer"] == "conv5" and row["unit"] in (0, 3)]
    assert analyze.json("results", job, "--best", 1000, "--layer", "5", "--units", "0,3") == kept
    assert (
        analyze.json("results", job, "--best", 1, "--layer", "5") == [r for r in best if r["layer"] == "conv5"][:1]
    )
    analyze("results", job, "--best", 3, "--units", "9999", code=4)
    analyze("results", job, "--html", tmp_path / "page.html", "--layer", "5", "--units", kept[0]["unit"])
    page = (tmp_path / "page.html").read_text()
    assert f"conv5, unit {kept[0]['unit']}<" in page
    assert page.count("<figcaption>") == 1
    assert "contact sheet of conv1" not in page


def test_a_search_without_the_options_is_another_job_without_their_rows(
    home: tuple[Analyze, str], network_options: list[str]
) -> None:
    analyze, job = home
    plain = analyze(
        "submit", "--layers", "1,5", "--units", f"0-{UNITS - 1}", "--dataset", "shapes", "--split", "trainval",
        *network_options, "--wait",
    ).stdout.strip()  # fmt: skip
    assert plain != job
    for option in ("--bottom", "--per-class"):
        assert f"without {option}" in analyze("results", plain, option, code=2).stderr
    plain_rows, full_rows = rows_of_top(analyze, plain), rows_of_top(analyze, job)
    assert plain_rows == full_rows
    statistics = [analyze.json("results", which, "--statistics") for which in (plain, job)]
    assert [row | {"job_id": 0} for row in statistics[0]] == [row | {"job_id": 0} for row in statistics[1]]


def test_a_screened_search_has_the_same_top_images(
    home: tuple[Analyze, str], network_options: list[str], tmp_path: Path
) -> None:
    analyze, job = home
    request = (
        "submit", "--layers", "1,5", "--units", f"0-{UNITS - 1}", "--dataset", "shapes", "--split", "trainval",
        *network_options, "--screen", "bfloat16",
    )  # fmt: skip
    assert "leave out --bottom" in analyze(*request, "--bottom", code=2).stderr
    assert "computed again in float32" in analyze(*request, "--dry-run").stdout
    screened = analyze(*request, "--shards", 3, "--wait").stdout.strip()
    assert screened != job
    assert rows_of_top(analyze, screened) == rows_of_top(analyze, job)
    assert "screened in bfloat16" in analyze("ls").stdout
    assert "images computed again in float32" in analyze("logs", screened).stdout
    assert {row["precision"] for row in analyze.json("results", job, "--statistics")} == {"float32"}
    statistics = analyze.json("results", screened, "--statistics")
    assert {row["precision"] for row in statistics} == {"bfloat16"}
    view = analyze.json("query", f"SELECT * FROM unit_statistics WHERE job_id = {screened} ORDER BY layer, unit")
    assert [row | {"histogram": json.loads(row["histogram"])} for row in view] == statistics
    analyze("verify", screened)
    analyze("results", screened, "--html", tmp_path / "page.html")
    assert "all images in bfloat16" in (tmp_path / "page.html").read_text()


def rows_of_top(analyze: Analyze, job: str) -> list[dict[str, Any]]:
    return [row | {"job_id": 0} for row in analyze.json("results", job)]


# --- ties ---


def test_images_with_exactly_equal_activations_are_flagged_as_ties(
    home: tuple[Analyze, str], shapes_root: Path, network_options: list[str], tmp_path: Path
) -> None:
    """Some images of the data set occur twice."""
    files = sorted((shapes_root / "VOC2007" / "JPEGImages").glob("*.jpg"))[:16]
    folder = tmp_path / "photos" / "some"
    folder.mkdir(parents=True)
    for number, file in enumerate(files):
        shutil.copy(file, folder / f"{number:02}.jpg")
        if number < 6:
            shutil.copy(file, folder / f"{number:02}-again.jpg")
    analyze, _ = home
    analyze("dataset", "add", "folder", "--root", tmp_path / "photos", "--name", "photos")
    job = analyze(
        "submit", "--layer", "1", "--units", "0-7", "--dataset", "photos", "--split", "all",
        *network_options, "--classes", CLASSES, "--shards", 2, "--wait",
    ).stdout.strip()  # fmt: skip
    rows = analyze.json("results", job)
    twice = {f"{number:02}" for number in range(6)}
    assert {row["tied"] for row in rows} == {True, False}
    for row in rows:
        assert row["tied"] == (Path(row["image_path"]).name[:2] in twice)
