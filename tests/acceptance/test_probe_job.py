"""Probe jobs through the command line: separable classes, controls, shards, a killed worker, left-out images."""

from __future__ import annotations

import csv
import io
import signal
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import func, select

from shared.database.connection import Database
from shared.jobs.tables import Shard
from tests.acceptance.children import children_of, signal_all
from tests.acceptance.conftest import CLASSES, FC, SIZE
from tests.conftest import Analyze

COLOURS = {"blue": (30, 60, 220), "green": (40, 200, 50), "red": (220, 40, 40)}
EACH = 36
PLAIN = ("--layer", "conv1,5,fc6", "--features", 400, "--folds", 2, "--seed", 5)
ROWS = "SELECT * FROM probe_accuracies WHERE job_id = {} ORDER BY depth, classifier, trial"


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three folders of noisy images of one colour each, so that any layer separates them."""
    root = tmp_path_factory.mktemp("data") / "colours"
    drawn = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for number in range(EACH):
            pixels = np.clip(np.array(colour) + drawn.integers(-30, 31, (48, 48, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number:02}.png")
    return root


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, colours: Path) -> Iterator[Analyze]:
    """A home with a worker."""
    analyze = Analyze(tmp_path_factory.mktemp("probes"))
    analyze("dataset", "add", "folder", "--name", "colours", "--root", colours)
    analyze.up()
    yield analyze
    analyze.end()


@pytest.fixture
def network(weights: Path) -> tuple[object, ...]:
    """Options for a network whose classes are others than those of the images."""
    return "--weights", weights, "--network", "zfnet", "--size", SIZE, "--fc", FC, "--classes", CLASSES


@pytest.fixture(scope="module")
def job(home: Analyze, weights: Path) -> str:
    return home(
        "submit", "probe", "--dataset", "colours", *PLAIN, "--shards", 1, "--weights", weights,
        "--network", "zfnet", "--size", SIZE, "--fc", FC, "--classes", CLASSES, "--wait",
    ).stdout.strip()  # fmt: skip


def results_of(home: Analyze, job: str) -> list[dict[str, Any]]:
    """Return the rows of a job without its id."""
    return [{**row, "job_id": 0} for row in home.json("query", ROWS.format(job))]


def test_separable_classes_are_told_apart_at_every_layer(home: Analyze, job: str) -> None:
    rows = results_of(home, job)
    assert [(row["layer"], row["classifier"], row["trial"]) for row in rows] == [
        (layer, classifier, trial)
        for layer in ("conv1", "conv5", "fc6")
        for classifier in ("softmax", "svm")
        for trial in (1, 2)
    ]
    assert {row["class_accuracy"] for row in rows} == {row["accuracy"] for row in rows} == {1}
    assert {row["chance"] for row in rows} == {1 / 3}
    assert {(row["train_images"], row["test_images"]) for row in rows} == {(3 * EACH // 2, 3 * EACH // 2)}
    by_layer = {row["layer"]: row for row in rows}
    pooled = {name: (row["features"], row["pooling"], row["grid_rows"]) for name, row in by_layer.items()}
    assert pooled == {"conv1": (256, "average", 2), "conv5": (256, "average", 1), "fc6": (FC, None, None)}
    assert by_layer["conv1"]["read_path"] == "features.1"
    summary = home.json("status", job)["summary"]
    assert (summary["images"], summary["images_left_out"], summary["trials"]) == (3 * EACH, 0, 2)
    assert (summary["best_layer"], summary["best_class_accuracy"], summary["dtype"]) == ("conv1", 1.0, "float32")


@pytest.mark.parametrize("shards", [3, 8])
def test_rows_do_not_depend_on_the_number_of_shards(
    home: Analyze, job: str, network: tuple[object, ...], shards: int
) -> None:
    again = home(
        "submit", "probe", "--dataset", "colours", *PLAIN, *network, "--shards", shards, "--force", "--wait"
    ).stdout.strip()
    counted = f"SELECT count(*) AS n FROM shards WHERE job_id = {again} AND stage_name = 'features'"
    assert home.json("query", counted) == [{"n": min(shards, 4)}]  # there are four batches
    assert results_of(home, again) == results_of(home, job)


def test_rows_are_the_same_after_a_killed_worker(home: Analyze, job: str, network: tuple[object, ...]) -> None:
    again = home(
        "submit", "probe", "--dataset", "colours", *PLAIN, *network, "--shards", 4, "--force"
    ).stdout.strip()
    database = Database(home.database_url)
    for fits in (0, 3):  # during the features, and during the fits
        home.wait(lambda fits=fits: fits_done(database, again) >= fits)
        signal_all(children_of(home), signal.SIGKILL)
    database.close()
    home("watch", again)
    attempts = home.json("query", f"SELECT max(attempt) AS most FROM shards WHERE job_id = {again}")
    assert attempts[0]["most"] >= 2
    assert results_of(home, again) == results_of(home, job)


def fits_done(database: Database, job: str) -> int:
    with database.read() as session:
        query = select(func.count()).where(
            Shard.job_id == int(job), Shard.stage_name == "fit", Shard.state == "done"
        )
        return session.scalar(query) or 0


def test_shuffled_labels_are_a_control(home: Analyze, network: tuple[object, ...]) -> None:
    """The classes are three clusters, so the accuracy of a trial is near 0, 1/3, 2/3, or 1."""
    job = home(
        "submit", "probe", "--dataset", "colours", "--layer", "fc6", "--seeds", 6, "--per-class", 12,
        "--classifier", "softmax", "--shuffle-labels", *network, "--wait",
    ).stdout.strip()  # fmt: skip
    rows = results_of(home, job)
    assert {(row["seed"], row["fold"], row["shuffled_labels"]) for row in rows} == {
        (seed, None, 1) for seed in range(6)
    }
    assert {row["train_images"] for row in rows} == {36}
    assert statistics.fmean(row["class_accuracy"] for row in rows) < 0.7
    assert statistics.fmean(row["train_accuracy"] for row in rows) < 0.7


def test_results_in_every_format(home: Analyze, job: str, tmp_path: Path) -> None:
    means = home.json("results", job)
    assert [(row["layer"], row["classifier"], row["trials"]) for row in means] == [
        (layer, classifier, 2) for layer in ("conv1", "conv5", "fc6") for classifier in ("svm", "softmax")
    ]
    assert {(row["class_accuracy"], row["class_accuracy_sd"]) for row in means} == {(1, 0)}
    assert home.json("results", job, "--layer", "5") == means[2:4]
    trials = home.json("results", job, "--trials", "--layer", "fc6")
    assert [(row["classifier"], row["trial"], row["fold"]) for row in trials] == [
        ("softmax", 1, 1), ("softmax", 2, 2), ("svm", 1, 1), ("svm", 2, 2),
    ]  # fmt: skip
    as_csv = list(csv.DictReader(io.StringIO(home("results", job, "--format", "csv").stdout)))
    assert [row["layer"] for row in as_csv] == [row["layer"] for row in means]
    assert "conv1, conv5, fc6" in home("results", job, "--layer", "conv2", code=4).stderr
    assert "--class" in home("results", job, "--class", "red", code=2).stderr
    page = tmp_path / "page.html"
    home("results", job, "--html", page)
    text = page.read_text()
    assert "data:image/png;base64," in text
    assert "86.2" in text  # the paper's value for layer 5
    assert "over 2 folds" in text


def test_a_job_is_verified_exported_and_imported(home: Analyze, job: str, colours: Path, tmp_path: Path) -> None:
    checked = home.json("verify", job)
    assert checked["wrong"] == []
    assert checked["rows"] > 60  # images, and a probe
    home("export", job, tmp_path / "job.tar")
    elsewhere = Analyze(tmp_path / "elsewhere")
    number = elsewhere("import", tmp_path / "job.tar", "--root", colours).stdout.strip()
    assert results_of(elsewhere, number) == results_of(home, job)
    assert elsewhere.json("verify", number)["wrong"] == []


def test_an_image_that_has_changed_is_left_out(
    home: Analyze, colours: Path, network: tuple[object, ...], tmp_path: Path
) -> None:
    root = tmp_path / "changed"
    for name in COLOURS:
        (root / name).mkdir(parents=True)
        for file in sorted((colours / name).iterdir())[:8]:
            (root / name / file.name).write_bytes(file.read_bytes())
    home("dataset", "add", "folder", "--name", "changed", "--root", root)
    (root / "red" / "03.png").write_bytes(b"no image")
    job = home(
        "submit", "probe", "--dataset", "changed", "--layer", "fc6", "--folds", 2, *network, "--wait"
    ).stdout.strip()
    left_out = home.json(
        "query",
        f"SELECT i.path FROM left_out_images AS l JOIN images AS i ON i.id = l.image_id WHERE job_id = {job}",
    )
    assert left_out == [{"path": "red/03.png"}]
    rows = results_of(home, job)
    assert {row["train_images"] + row["test_images"] for row in rows} == {23}
    assert home.json("status", job)["summary"]["images_left_out"] == 1


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--folds", 2, "--per-class", 19), 2, "Class 'blue' has 18 training images of fold 1, and 19 are needed"),
        (("--folds", 40), 2, "test images of fold"),
        (("--test-split", "train"), 2, "--folds"),
        (("--folds", 2, "--seeds", 2), 2, "can't be combined"),
        (("--layer", "conv9"), 4, "conv1, conv2, conv3, conv4, conv5, fc6, fc7"),
        (("--features", 63), 2, "64 maps, more than 63 features"),
        (("--train-split", "training"), 4, "train"),
    ],
)
def test_requests_that_can_not_be_computed_are_refused(
    home: Analyze, network: tuple[object, ...], options: tuple[object, ...], code: int, message: str
) -> None:
    refused = home("submit", "probe", "--dataset", "colours", *network, *options, code=code)
    assert message in refused.stderr
    assert refused.stdout == ""


def test_the_cost_is_estimated(home: Analyze, network: tuple[object, ...]) -> None:
    """Features are stored as float32: 256 + 256 + 16 of each image."""
    cost = home.json("submit", "probe", "--dataset", "colours", *PLAIN, *network, "--dry-run")
    assert cost["images"] == 3 * EACH
    assert 3 * EACH * (256 + 256 + FC) * 4 < cost["bytes"] < 3 * EACH * (256 + 256 + FC) * 4 + 200_000
