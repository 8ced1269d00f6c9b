"""Kept maxima, and the questions that ``analyze find`` answers from them, with a real worker."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from shared.store.store import Store
from tests.acceptance.conftest import FC, SIZE
from tests.conftest import Analyze, fresh_database

UNITS = 8
SELECTIVITY = "SELECT * FROM unit_selectivity WHERE job_id = {} ORDER BY layer_path, unit, class_rank"
IMAGES = """
    SELECT id, path, class_name FROM images WHERE id IN
    (SELECT image_id FROM image_splits WHERE split = 'trainval') ORDER BY id
"""


def submit(analyze: Analyze, weights: Path, *options: object) -> str:
    return analyze(
        "submit", "--layers", "1,5", "--units", f"0-{UNITS - 1}", "--dataset", "shapes", "--split", "trainval",
        "--weights", weights, "--network", "zfnet", "--size", SIZE, "--fc", FC, *options, "--wait",
    ).stdout.strip()  # fmt: skip


def maxima_of(analyze: Analyze, job: str, layer: str) -> np.ndarray:
    rows = analyze.json("query", f"SELECT DISTINCT layer, maxima_path FROM units WHERE job_id = {job}")
    path = next(row["maxima_path"] for row in rows if row["layer"] == layer)
    values: np.ndarray = np.load(analyze.home / "store" / path, allow_pickle=False)
    return values


def selectivity_of(analyze: Analyze, job: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = analyze.json("query", SELECTIVITY.format(job))
    return [{name: value for name, value in row.items() if name != "job_id"} for row in rows]


def remove_unused_files(analyze: Analyze) -> None:
    """Run ``analyze gc`` two days later."""
    then = time.time() - 2 * 24 * 3600
    for file in (analyze.home / "store").rglob("*"):
        os.utime(file, (then, then))
    analyze("gc", "--delete", "--yes")


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, shapes_root: Path, weights: Path
) -> Iterator[tuple[Analyze, str]]:
    """A home on SQLite with a finished search in one shard, and the job's id."""
    analyze = Analyze(tmp_path_factory.mktemp("find") / "home")
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze.up()
    yield analyze, submit(analyze, weights, "--shards", 1)
    analyze.end()


@pytest.fixture(scope="module")
def maxima(home: tuple[Analyze, str]) -> dict[str, np.ndarray]:
    """The kept maxima, float32 [units, images], by layer."""
    return {layer: maxima_of(*home, layer) for layer in ("conv1", "conv5")}


@pytest.fixture(scope="module")
def images(home: tuple[Analyze, str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = home[0].json("query", IMAGES)
    return rows


def normalized(analyze: Analyze, job: str, maxima: dict[str, np.ndarray], *units: tuple[str, int]) -> np.ndarray:
    rows = analyze.json("query", f"SELECT layer, unit, q999, maximum FROM unit_statistics WHERE job_id = {job}")
    scales = {(row["layer"], row["unit"]): row["q999"] if row["q999"] > 0 else row["maximum"] for row in rows}
    return np.array(
        [np.maximum(maxima[layer][unit], 0) / np.float32(scales[layer, unit]) for layer, unit in units]
    )


def best(values: np.ndarray, count: int) -> list[int]:
    return sorted((i for i in range(len(values)) if values[i] > -np.inf), key=lambda i: (-values[i], i))[:count]


def test_the_maxima_are_the_activations_of_the_rows(
    home: tuple[Analyze, str], maxima: dict[str, np.ndarray], images: list[dict[str, Any]]
) -> None:
    analyze, job = home
    position = {image["id"]: at for at, image in enumerate(images)}
    for values in maxima.values():
        assert (values.shape, values.dtype) == ((UNITS, len(images)), np.float32)
    rows = analyze.json("results", job)
    assert len(rows) > 100
    for row in rows:
        assert maxima[row["layer"]][row["unit"], position[row["image_id"]]] == row["activation"]
    for row in analyze.json("results", job, "--statistics"):
        assert (row["maximum"], row["minimum"]) == (
            maxima[row["layer"]][row["unit"]].max(),
            maxima[row["layer"]][row["unit"]].min(),
        )


def test_the_selectivity_is_that_of_scikit_learn(
    home: tuple[Analyze, str], maxima: dict[str, np.ndarray], images: list[dict[str, Any]]
) -> None:
    analyze, job = home
    names = np.array([image["class_name"] for image in images])
    rows = selectivity_of(analyze, job)
    assert rows == [
        {name: value for name, value in row.items() if name != "job_id"}
        for row in analyze.json("results", job, "--selectivity")
    ]
    for row in rows:
        values, of_class = maxima[row["layer"]][row["unit"]], names == row["class_name"]
        assert row["auc"] == pytest.approx(roc_auc_score(of_class, values), abs=1e-12)
        assert row["precision_at_k"] == of_class[best(values, row["k"])].mean()
    live = analyze.json("query", f"SELECT * FROM units WHERE job_id = {job} AND NOT dead")
    assert len(rows) == len(live) * len(set(names))
    first = {(row["layer"], row["unit"]): row for row in rows if row["class_rank"] == 1}
    for unit in live:
        row = first[unit["layer"], unit["unit"]]
        assert (unit["best_class"], unit["best_class_auc"]) == (row["class_name"], row["auc"])
        assert row["auc"] == max(r["auc"] for r in rows if (r["layer"], r["unit"]) == (row["layer"], row["unit"]))
    assert analyze.json("results", job, "--selectivity", "--layer", "conv5", "--units", 3, "--ranks", 1) == [
        {"job_id": int(job), **first["conv5", 3]}
    ]


def test_shards_on_postgresql_leave_the_same_maxima_and_rows(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    shapes_root: Path,
    weights: Path,
    home: tuple[Analyze, str],
) -> None:
    analyze = Analyze(tmp_path / "home", fresh_database("postgresql", request, tmp_path))
    analyze("db", "upgrade")
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze.up()
    request.addfinalizer(analyze.end)
    job = submit(analyze, weights, "--shards", 7)  # of 17 and 18 images
    paths = "SELECT DISTINCT layer, maxima_path FROM units WHERE job_id = {} ORDER BY layer"
    expected = home[0].json("query", paths.format(home[1]))
    assert all(row["maxima_path"].endswith(".npy") for row in expected)
    assert analyze.json("query", paths.format(job)) == expected
    assert selectivity_of(analyze, job) == selectivity_of(*home)
    question = ("--units", "conv1:0-3,conv5:2", "--sum", "--top", 7)
    answers = [on.json("find", "images", one, *question) for on, one in (home, (analyze, job))]
    expected_values, values = ([row["value"] for row in rows] for rows in answers)
    assert values == expected_values
    analyze("verify", job)
    files = [analyze.home / "store" / row["maxima_path"] for row in expected]
    remove_unused_files(analyze)
    assert all(file.is_file() for file in files)
    analyze("rm", job)
    remove_unused_files(analyze)
    assert not any(file.is_file() for file in files)


@pytest.mark.parametrize("combination", ["all", "any", "sum"])
def test_images_equal_a_plain_answer(
    home: tuple[Analyze, str], maxima: dict[str, np.ndarray], images: list[dict[str, Any]], combination: str
) -> None:
    analyze, job = home
    units = [("conv1", 2), ("conv5", 3), ("conv5", 4)]
    values = normalized(analyze, job, maxima, *units)
    plain = {"all": values.min(0), "any": values.max(0), "sum": values.astype(np.float64).sum(0)}[combination]
    left = (plain > 0) & (normalized(analyze, job, maxima, ("conv5", 5))[0] < 0.5)
    expected = best(np.where(left, plain, -np.inf), 30)
    options = ("--units", "conv1:2,5:3,4", f"--{combination}", "--not", "conv5:5", "--top", 30)
    rows = analyze.json("find", "images", job, *options)
    assert [row["image_id"] for row in rows] == [images[at]["id"] for at in expected]
    assert [row["value"] for row in rows] == plain[expected].tolist()
    assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
    for row, at in zip(rows, expected, strict=True):
        assert (row["image_path"], row["class_name"]) == (images[at]["path"], images[at]["class_name"])
        assert row["activations"] == [float(maxima[layer][unit, at]) for layer, unit in units]
    name = images[expected[0]]["class_name"]
    of_class = analyze.json("find", "images", job, *options, "--class", name)
    assert of_class[0]["image_id"] == rows[0]["image_id"]
    assert {row["class_name"] for row in of_class} == {name}


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_like_equals_a_plain_answer(
    home: tuple[Analyze, str], maxima: dict[str, np.ndarray], images: list[dict[str, Any]], metric: str
) -> None:
    analyze, job = home
    query = f"SELECT unit FROM units WHERE job_id = {job} AND NOT dead AND layer = 'conv5' ORDER BY unit"
    live = [row["unit"] for row in analyze.json("query", query)]
    space = normalized(analyze, job, maxima, *(("conv5", unit) for unit in live)).astype(np.float64)
    rows = analyze.json("find", "like", job, "--image", images[11]["id"], "--metric", metric, "--top", 10)
    assert images[11]["id"] not in [row["image_id"] for row in rows]
    if metric == "cosine":
        plain = space.T @ space[:, 11] / (np.linalg.norm(space, axis=0) * np.linalg.norm(space[:, 11]))
    else:
        plain = -np.linalg.norm(space - space[:, 11:12], axis=0)
    plain[11] = -np.inf
    found = [next(at for at, image in enumerate(images) if image["id"] == row["image_id"]) for row in rows]
    assert np.allclose([row["value"] for row in rows], np.abs(plain[found]), rtol=1e-9)
    assert np.allclose(np.abs(plain[best(plain, 10)]), [row["value"] for row in rows], rtol=1e-9)


def test_units_of_an_image_and_of_the_same_file_elsewhere(
    home: tuple[Analyze, str],
    maxima: dict[str, np.ndarray],
    images: list[dict[str, Any]],
    shapes_root: Path,
    tmp_path: Path,
) -> None:
    analyze, job = home
    at = 5
    rows = analyze.json("find", "units", job, "--image", images[at]["id"], "--top", 100)
    assert len(rows) > UNITS // 2
    for row in rows:
        values = maxima[row["layer"]][row["unit"]]
        above = int((values > values[at]).sum())
        assert (row["activation"], row["images_above"]) == (float(values[at]), above)
        assert row["percentile"] == pytest.approx(100 * (1 - above / (len(values) - 1)))
    assert [row["images_above"] for row in rows] == sorted(row["images_above"] for row in rows)
    of_pattern = ("--layer", "conv*", "--top", 100)
    assert analyze.json("find", "units", job, "--image", images[at]["id"], *of_pattern) == rows
    assert analyze.json("find", "units", job, "--image", images[at]["id"], "--layer", 5) == [
        {**row, "rank": rank} for rank, row in enumerate([row for row in rows if row["layer"] == "conv5"][:20], 1)
    ]
    # The file has several objects, each an image of its own.
    refused = analyze("find", "units", job, "--image", images[at]["path"], code=2)
    assert f"{images[at]['id']}" in refused.stderr
    # A copy outside of the data set: the network is run, on the whole picture.
    copy = shutil.copy(shapes_root / images[at]["path"], tmp_path / "copy.jpg")
    found = analyze.json("find", "like", job, "--image", copy, "--units", "conv1", "--top", 3)
    assert len(found) == 3
    assert found[0]["value"] > 0.5
    for row in analyze.json("find", "units", job, "--image", copy):
        assert row["images_above"] == (maxima[row["layer"]][row["unit"]] > np.float32(row["activation"])).sum()


def test_similar_units_equal_a_plain_answer(home: tuple[Analyze, str], maxima: dict[str, np.ndarray]) -> None:
    analyze, job = home
    unit = next(unit for unit in range(UNITS) if maxima["conv5"][unit].max() > 0)
    rows = analyze.json("find", "similar", job, "--unit", f"conv5:{unit}", "--top", 2 * UNITS)
    plain = {
        (layer, other): float(np.corrcoef(values[other].astype(float), maxima["conv5"][unit].astype(float))[0, 1])
        for layer, values in maxima.items()
        for other in range(UNITS)
        if (layer, other) != ("conv5", unit)
    }
    assert {(row["layer"], row["unit"]): row["correlation"] for row in rows} == pytest.approx(plain, abs=1e-9)
    assert [row["correlation"] for row in rows] == sorted((row["correlation"] for row in rows), reverse=True)
    assert {row["images"] for row in rows} == {maxima["conv5"].shape[1]}
    ranked = analyze.json("find", "similar", job, "--unit", f"conv5:{unit}", "--ranks", "--layer", "conv5")
    assert {row["layer"] for row in ranked} == {"conv5"}
    assert [row["correlation"] for row in ranked] != [row["correlation"] for row in rows[: len(ranked)]]


def test_similar_units_of_another_search(home: tuple[Analyze, str], weights: Path) -> None:
    """The other search has fewer layers and units, and images of another split among its own."""
    analyze, job = home
    other = submit(analyze, weights, "--layers", "5", "--units", "3,7", "--top", 3, "--split", "train")
    images = analyze.json("query", "SELECT count(*) AS n FROM image_splits WHERE split = 'train'")[0]["n"]
    for unit in (3, 7):
        rows = analyze.json("find", "similar", job, "--unit", f"conv5:{unit}", "--in", other, "--layer", 5)
        assert (rows[0]["unit"], rows[0]["images"]) == (unit, images)
        assert rows[0]["correlation"] == pytest.approx(1)


def test_a_page_has_the_images(home: tuple[Analyze, str], tmp_path: Path) -> None:
    analyze, job = home
    page = tmp_path / "found.html"
    analyze("find", "images", job, "--units", "conv5", "--any", "--top", 5, "--html", page)
    assert page.read_text().count("data:image/jpeg;base64,") == 5
    analyze("find", "like", job, "--image", 9, "--top", 4, "--html", page)
    assert page.read_text().count("data:image/jpeg;base64,") == 4


def test_a_search_without_maxima_has_the_same_rows(home: tuple[Analyze, str], weights: Path) -> None:
    analyze, job = home
    without = submit(analyze, weights, "--no-maxima")
    assert without != job
    assert submit(analyze, weights, "--no-maxima") == without
    ignored = ("job_id", "patch_path", "projection_path")
    rows, others = (
        [{k: v for k, v in row.items() if k not in ignored} for row in analyze.json("results", one)]
        for one in (job, without)
    )
    assert rows == others
    assert selectivity_of(analyze, without) == selectivity_of(analyze, job)
    refused = analyze("find", "images", without, "--units", "conv5:3", code=2)
    assert "--no-maxima" in refused.stderr
    assert not list((analyze.home / "store" / "incoming").iterdir())


def test_mistakes_are_explained(home: tuple[Analyze, str], tmp_path: Path) -> None:
    analyze, job = home
    question = ("find", "images", job, "--units")
    for units, code, text in (
        ("conv5:99", 4, "no unit 99"),
        ("conv3:1", 4, "conv1, conv5"),
        ("3", 4, "no layer '3'"),
        ("conv5:a", 2, "conv5:a"),
        ("conv5:9-3", 2, "ascending"),
        (",", 2, "names no unit"),
    ):
        assert text in analyze(*question, units, code=code).stderr
    assert "NoSuchClass" not in analyze(*question, "conv5:3", "--class", "dgo", code=None).stderr
    assert "no image with the id" in analyze("find", "units", job, "--image", 99999, code=2).stderr
    assert "does not exist" in analyze("find", "units", job, "--image", "no.jpg", code=4).stderr
    text = tmp_path / "text.jpg"
    text.write_text("hello")
    assert "can't be read" in analyze("find", "units", job, "--image", text, code=1).stderr
    assert "2 units" in analyze("find", "similar", job, "--unit", "conv5:3,4", code=2).stderr
    assert (
        "memory is too small" in analyze("find", "similar", job, "--unit", "conv5:3", "--memory", 1, code=2).stderr
    )


def test_a_file_that_is_not_of_the_search_is_refused(home: tuple[Analyze, str], tmp_path: Path) -> None:
    analyze, job = home
    path = (
        analyze.home
        / "store"
        / analyze.json("query", f"SELECT maxima_path FROM units WHERE job_id = {job}")[0]["maxima_path"]
    )
    saved = path.read_bytes()
    try:
        values = np.load(path)
        with path.open("wb") as file:
            np.save(file, values[:, ::-1].copy())
        assert "strongest activation" in analyze("find", "images", job, "--units", "conv1", code=1).stderr
        assert "differences" in analyze("verify", job, code=1).stderr
        path.write_bytes(saved[:-4])
        assert "can't be used" in analyze("find", "images", job, "--units", "conv1", code=1).stderr
    finally:
        path.write_bytes(saved)
    analyze("find", "images", job, "--units", "conv1:0")


def test_verify_computes_kept_maxima_again(home: tuple[Analyze, str]) -> None:
    """A file with the SHA-256 of its name whose values are wrong, as a worker with a defect would write it."""
    analyze, job = home
    assert analyze("verify", job).returncode == 0
    store = analyze.home / "store"
    row = f"FROM searched_layers WHERE job_id = {job} AND layer = 'conv5'"
    path = analyze.json("query", f"SELECT maxima_path {row}")[0]["maxima_path"]
    values = np.load(store / path)
    wrong = Store(store).write(".npy", lambda file: np.save(file, values + np.float32(0.01) * values.max()))

    def refer_to(path: str) -> None:
        with sqlite3.connect(analyze.home / "unitscope.sqlite3") as connection:
            connection.execute("UPDATE searched_layers SET maxima_path = ? WHERE layer = 'conv5'", [path])

    refer_to(wrong.path)
    try:
        assert "kept maximum" in analyze("verify", job, code=1).stdout
    finally:
        refer_to(path)


def test_the_dry_run_counts_the_maxima(home: tuple[Analyze, str], weights: Path) -> None:
    analyze, _ = home

    def dry_run(*options: object) -> dict[str, Any]:
        """Return the cost of a search like no earlier one, by which it would be corrected."""
        answer: dict[str, Any] = analyze.json(
            "submit", "--layers", "1,5", "--dataset", "shapes", "--split", "trainval", "--weights", weights,
            "--network", "zfnet", "--size", SIZE, "--fc", FC, "--per-class", "--dry-run", *options,
        )  # fmt: skip
        return answer

    kept, without = dry_run(), dry_run("--no-maxima")
    assert kept["bytes"] - without["bytes"] == 120 * (64 + 256) * 4
    assert kept["files"] - without["files"] == 2
    assert (kept["temporary_bytes"], without["temporary_bytes"]) == (0, 120 * 256 * 4)


def test_a_search_of_a_version_that_kept_no_maxima_does_not_count(
    home: tuple[Analyze, str], weights: Path
) -> None:
    """Its files are fewer than those that the same request writes now."""
    analyze, job = home
    asked = (
        "submit", "--layers", "1,5", "--units", f"0-{UNITS - 1}", "--dataset", "shapes", "--split", "trainval",
        "--weights", weights, "--network", "zfnet", "--size", SIZE, "--fc", FC, "--shards", 1, "--force",
        "--dry-run",
    )  # fmt: skip
    assert analyze.json(*asked)["like_job"] == int(job)
    paths = analyze.json("query", f"SELECT id, maxima_path FROM searched_layers WHERE job_id = {job}")

    def write(path: str | None, layer: int) -> None:
        with sqlite3.connect(analyze.home / "unitscope.sqlite3") as connection:
            connection.execute("UPDATE searched_layers SET maxima_path = ? WHERE id = ?", [path, layer])

    try:
        write(None, paths[0]["id"])
        assert analyze.json(*asked)["like_job"] != int(job)
    finally:
        write(paths[0]["maxima_path"], paths[0]["id"])


def test_an_export_has_the_maxima(home: tuple[Analyze, str], tmp_path: Path, shapes_root: Path) -> None:
    analyze, job = home
    archive = tmp_path / "job.tar"
    analyze("export", job, archive)
    other = Analyze(tmp_path / "other")
    other("dataset", "add", "shapes", "--root", shapes_root)
    other("import", archive)
    question = ("--units", "conv5:3,conv1:2", "--sum")
    assert other.json("find", "images", 1, *question) == analyze.json("find", "images", job, *question)


def test_units_are_labelled_with_planted_concepts(
    home: tuple[Analyze, str],
    maxima: dict[str, np.ndarray],
    images: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    """A concept for each unit of conv1, similar to the files of its strongest images, and concepts of noise."""
    analyze, job = home
    assert "has no labels" in analyze("results", job, "--labels", code=2).stderr
    paths = sorted({image["path"] for image in images})
    names = [f"concept {unit}" for unit in range(UNITS)] + [f"noise {number}" for number in range(20)]
    similarities = np.random.default_rng(0).normal(0.2, 0.01, (len(paths), len(names))).astype(np.float32)
    for unit, values in enumerate(maxima["conv1"]):
        for at in np.argsort(-values)[:30]:
            similarities[paths.index(images[at]["path"]), unit] += 0.3
    file = tmp_path / "similarities.npz"
    np.savez(file, names=names, paths=paths, similarities=similarities)
    labelled = analyze.json("label", job, "--similarities", file, "--labels", 3)
    live = analyze.json("query", f"SELECT layer, unit FROM units WHERE job_id = {job} AND NOT dead")
    assert labelled == {"units": len(live), "images": len(images), "concepts": len(names)}
    rows = analyze.json("query", f"SELECT * FROM unit_labels WHERE job_id = {job} ORDER BY layer_path, unit, rank")
    assert len(rows) == 3 * len(live)
    first = {row["unit"]: row["label"] for row in rows if row["layer"] == "conv1" and row["rank"] == 1}
    assert sum(label == f"concept {unit}" for unit, label in first.items()) >= UNITS - 1
    printed = analyze.json("results", job, "--labels", "--layer", "conv1", "--ranks", 1)
    assert {row["unit"]: row["label"] for row in printed} == first
    # Labels are replaced; a file of other images, or a broken one, changes nothing.
    for wrong in (["other.jpg"], ["\u00e9.jpg"]):
        np.savez(file, names=names, paths=wrong, similarities=similarities[:1])
        assert "No path" in analyze("label", job, "--similarities", file, code=2).stderr
    similarities[5, 5] = np.nan
    np.savez(file, names=names, paths=paths, similarities=similarities)
    assert "NaN" in analyze("label", job, "--similarities", file, code=2).stderr
    assert len(analyze.json("results", job, "--labels")) == len(rows)
    similarities[5, 5] = 0
    np.savez(file, names=names, paths=paths, similarities=similarities)
    analyze("label", job, "--similarities", file, "--labels", 1)
    assert len(analyze.json("results", job, "--labels")) == len(live)


def test_images_that_were_left_out_are_not_in_the_maxima(
    tmp_path: Path, shapes_root: Path, weights: Path, home: tuple[Analyze, str]
) -> None:
    root = Path(shutil.copytree(shapes_root, tmp_path / "shapes"))
    analyze = Analyze(tmp_path / "home")
    analyze("dataset", "add", "shapes", "--root", root)
    images = analyze.json("query", IMAGES)
    broken = images[7]["path"]
    (root / broken).write_bytes((root / broken).read_bytes()[:200])
    analyze.up()
    try:
        job = submit(analyze, weights, "--shards", 2, "--top", 1)
        left = [at for at, image in enumerate(images) if image["path"] != broken]
        assert len(left) < len(images)
        for layer in ("conv1", "conv5"):
            kept, whole = maxima_of(analyze, job, layer), maxima_of(*home, layer)
            assert kept.shape == (UNITS, len(left))
            assert np.allclose(kept, whole[:, left], rtol=1e-5, atol=1e-5)
        rows = analyze.json("find", "images", job, "--units", "conv1", "--any", "--top", 1000)
        found = {row["image_id"]: row["activations"] for row in rows}
        assert broken not in {row["image_path"] for row in rows}
        position = {images[at]["id"]: place for place, at in enumerate(left)}
        kept = maxima_of(analyze, job, "conv1")
        live = [unit for unit in range(UNITS) if kept[unit].max() > 0]
        for image_id, activations in found.items():
            assert activations == kept[live, position[image_id]].tolist()
        # The image was registered, so that its box is known, but it can't be read.
        gone = next(image["id"] for image in images if image["path"] == broken)
        assert "can't be read" in analyze("find", "units", job, "--image", gone, code=1).stderr
    finally:
        analyze.end()


def test_maxima_of_a_screened_search_are_of_the_lower_precision(
    home: tuple[Analyze, str], weights: Path, maxima: dict[str, np.ndarray]
) -> None:
    analyze, job = home
    screened = submit(analyze, weights, "--screen", "bfloat16", "--top", 1)
    kept = maxima_of(analyze, screened, "conv5")
    assert kept.shape == maxima["conv5"].shape
    assert not np.array_equal(kept, maxima["conv5"])
    assert np.allclose(kept, maxima["conv5"], atol=0.05 * abs(maxima["conv5"]).max())
    done = analyze("find", "images", screened, "--units", "conv5", "--any")
    assert "its maxima are in bfloat16" in done.stderr
    assert "bfloat16" not in analyze("find", "images", job, "--units", "conv5", "--any").stderr
    unit = next(unit for unit in range(UNITS) if maxima["conv5"][unit].max() > 0)
    rows = analyze.json("find", "similar", job, "--unit", f"conv5:{unit}", "--in", screened)
    assert (rows[0]["layer"], rows[0]["unit"]) == ("conv5", unit)
    assert rows[0]["correlation"] > 0.99
