"""Training jobs: recorded results, bitwise equal resumption, cancelling, extension, and use by a search."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import safetensors.torch
import torch
from PIL import Image
from sqlalchemy import select

from shared.database.connection import Database
from shared.jobs.tables import Shard
from tests.acceptance.conftest import epochs_done, outcome
from tests.conftest import Analyze, fresh_database

EPOCHS = 6


def submit(analyze: Analyze, *options: object, code: int = 0) -> str:
    return analyze(
        "submit", "train", "--dataset", "shapes", "--size", 64, "--fc", 16, "--init", "he", "--batch-size", 4,
        "--learning-rate", "5e-4", "--epochs", EPOCHS, *options, code=code,
    ).stdout.strip()  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, shapes_root: Path) -> Iterator[tuple[Analyze, str]]:
    """A home with a worker and an undisturbed run."""
    analyze = Analyze(tmp_path_factory.mktemp("training"))
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze.up()
    yield analyze, submit(analyze, "--wait")
    analyze.end()


@pytest.fixture(scope="module")
def undisturbed(home: tuple[Analyze, str]) -> tuple[Any, ...]:
    return outcome(*home)


def test_a_killed_run_resumes_from_its_checkpoint_with_bitwise_equal_results(
    request: pytest.FixtureRequest, tmp_path: Path, shapes_root: Path, undisturbed: tuple[Any, ...]
) -> None:
    """The killed run is on PostgreSQL, the undisturbed one on SQLite."""
    analyze = Analyze(tmp_path / "home", fresh_database("postgresql", request, tmp_path))
    request.addfinalizer(analyze.end)
    analyze("db", "upgrade")
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze.up()
    job = submit(analyze)
    parent = psutil.Process(analyze.json("query", "SELECT pid FROM workers")[0]["pid"])
    database = Database(analyze.database_url)
    for epochs in (1, 3):
        analyze.wait(lambda epochs=epochs: epochs_done(database, job) >= epochs)
        os.kill(parent.children()[0].pid, signal.SIGKILL)
    database.close()
    analyze("watch", job)
    assert outcome(analyze, job) == undisturbed
    assert "resumed after epoch" in analyze("logs", job).stdout
    assert analyze.json("query", f"SELECT attempt FROM shards WHERE job_id = {job}") == [{"attempt": 3}]


def test_a_cancelled_run_stops_within_its_epoch_and_continues_at_retry(
    request: pytest.FixtureRequest, tmp_path: Path, shapes_root: Path
) -> None:
    """The run is cancelled while its worker is stopped, so that the work done afterwards can be counted.

    It runs on PostgreSQL, since a stopped process may hold SQLite's lock.
    """
    analyze = Analyze(tmp_path / "home", fresh_database("postgresql", request, tmp_path))
    analyze.environment |= {"ANALYZE_HEARTBEAT_SECONDS": "0.1", "ANALYZE_LEASE_SECONDS": "60"}
    analyze("db", "upgrade")
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    try:
        analyze.up()
        worker = psutil.Process(analyze.json("query", "SELECT pid FROM workers")[0]["pid"])
        long_epochs = ("--epochs", 2, "--batch-size", 1, "--train-split", "trainval")
        job = submit(analyze, *long_epochs)
        specification = analyze.json("status", job)["specification"]
        learned = specification["train_count"]  # training images per epoch; the batch size is 1
        begin = learned + specification["val_count"]  # start of the second epoch
        database = Database(analyze.database_url)
        analyze.wait(lambda: work_done(database, job) > begin)
        child = worker.children()[0]
        child.suspend()
        before = work_done(database, job)
        assert begin < before < begin + learned / 2
        analyze("cancel", job)
        child.resume()
        analyze("watch", job, code=1)
        assert analyze.json("status", job)["state"] == "cancelled"
        assert (
            work_done(database, job) < before + learned / 4
        )  # the worker may run some batches before its next heartbeat
        database.close()
        state = analyze.json("query", f"SELECT * FROM checkpoints WHERE job_id = {job} AND kind = 'state'")[0]
        assert state["epoch"] == 1
        assert (analyze.home / "store" / state["path"]).stat().st_size == state["bytes"]
        analyze("retry", job, "--wait")
        assert "resumed after epoch 1" in analyze("logs", job).stdout
        assert outcome(analyze, job) == outcome(analyze, submit(analyze, *long_epochs, "--force", "--wait"))
    finally:
        analyze.end()


def work_done(database: Database, job: str) -> int:
    """Return the number of processed images at the last heartbeat."""
    with database.read() as session:
        return session.scalars(select(Shard.work_done).where(Shard.job_id == int(job))).one()


def test_rows_and_artifacts_of_a_finished_run(home: tuple[Analyze, str]) -> None:
    analyze, job = home
    epochs = analyze.json("results", job)
    assert [(row["epoch"], row["phase"]) for row in epochs] == [
        (epoch, phase) for epoch in range(1, EPOCHS + 1) for phase in ("train", "val")
    ]
    assert epochs[-2]["loss"] < epochs[0]["loss"]
    run = analyze.json("query", f"SELECT * FROM training_runs WHERE job_id = {job}")[0]
    best = max(row["accuracy"] for row in epochs if row["phase"] == "val")
    assert run["best_accuracy"] == best
    store = analyze.home / "store"
    assert (store / run["curves_path"]).is_file()
    kept = analyze.json("query", f"SELECT * FROM checkpoints WHERE job_id = {job} ORDER BY epoch")
    assert {c["kind"] for c in kept} == {"best", "last", "state", "epoch"}
    assert [c["epoch"] for c in kept if c["kind"] == "epoch"] == [1, 2, 5]
    assert all((store / c["path"]).stat().st_size == c["bytes"] for c in kept)
    kinds = {c["kind"]: c for c in kept}
    # The states of all epochs but the last have been removed. There may be other runs.
    states = {row["path"] for row in analyze.json("query", "SELECT path FROM checkpoints WHERE kind = 'state'")}
    assert kinds["state"]["path"] in states
    assert {path.relative_to(store).as_posix() for path in store.glob("*/*.pt")} == states
    assert not list((store / "incoming").iterdir())
    # Environment, pictures, and the confusion matrix of the best epoch.
    assert json.loads(run["environment"])["device_kind"] == "cpu"
    assert all((store / run[name]).is_file() for name in ("confusion_path", "filters_path"))
    matrix = analyze.json("query", f"SELECT * FROM confusion_matrix WHERE job_id = {job}")
    images = sum(row["images"] for row in matrix)
    assert images == epochs[-1]["images"]
    assert sum(r["images"] for r in matrix if r["true_class"] == r["answer_class"]) / images == pytest.approx(best)
    classes = analyze.json("query", f"SELECT * FROM class_accuracies WHERE job_id = {job}")
    assert sum(row["images"] * row["accuracy"] for row in classes) / images == pytest.approx(best)
    # A search uses the latest run by default, which is this one.
    search = analyze(
        "submit", "--layer", "conv1", "--units", "0-3", "--dataset", "shapes", "--wait"
    ).stdout.strip()
    specification = analyze.json("status", search)["specification"]
    assert specification["training_job_id"] == int(job)
    assert specification["weights_sha256"] == kinds["best"]["sha256"]
    # Submitting the same run returns the existing one.
    assert submit(analyze) == job


def test_a_run_lets_a_search_run_between_two_epochs_and_ends_with_the_same_bits(
    home: tuple[Analyze, str], undisturbed: tuple[Any, ...]
) -> None:
    """There is one worker, and the run may begin its turn again and again while the search has shards left."""
    analyze, run = home
    job = submit(analyze, "--force", "--time-slice", 0)
    options = ("--run", run, "--layer", 1, "--units", "0-3", "--split", "train", "--shards", 4)
    search = analyze("submit", "--dataset", "shapes", *options, "--priority", "high", "--wait").stdout.strip()
    assert analyze.json("status", job)["state"] == "running"
    assert analyze.json("status", search)["priority"] == "high"
    analyze("watch", job)
    assert outcome(analyze, job) == undisturbed
    assert f"pauses, since job {search} waits" in analyze("logs", job).stdout
    assert analyze.json("query", f"SELECT attempt FROM shards WHERE job_id = {job}") == [{"attempt": 1}]


def test_an_extended_run_equals_a_run_that_was_longer_from_the_start(
    home: tuple[Analyze, str], undisturbed: tuple[Any, ...]
) -> None:
    analyze, _ = home
    short = submit(analyze, "--epochs", EPOCHS - 3, "--wait")
    longer = analyze("submit", "train", "--extend", short, "--epochs", EPOCHS, "--wait").stdout.strip()
    assert outcome(analyze, longer) == undisturbed
    assert analyze.json("status", longer)["share"] == 1.0
    # Invalid extensions are refused.
    analyze("submit", "train", "--extend", short, "--epochs", 2, code=2)
    analyze("submit", "train", "--extend", 99, "--epochs", 20, code=4)
    nan = analyze("submit", "train", "--extend", short, "--epochs", 20, "--time-slice", "nan", code=2)
    assert "--time-slice: Input should be" in nan.stderr
    assert (
        "--learning-rate can't be combined with --extend"
        in analyze("submit", "train", "--extend", short, "--lr", 1, code=2).stderr
    )
    rows = analyze.json("compare", short, longer)
    assert [row["epochs"] for row in rows["runs"]] == [EPOCHS - 3, EPOCHS]
    assert rows["runs"][0]["recipe.epochs"] == EPOCHS - 3
    picture = analyze.home / "compared.png"
    analyze("compare", short, longer, "--picture", picture)
    assert Image.open(picture).size > (800, 300)


def test_a_run_with_few_images_per_class_frozen_layers_and_given_weights(home: tuple[Analyze, str]) -> None:
    analyze, _ = home
    first = submit(
        analyze, "--epochs", 1, "--train-per-class", 2, "--without", "conv3,conv4", "--freeze", "features.0",
        "--rate", "classifier.*=1e-4", "--set", "crop_padding=4", "--schedule", "cosine", "--tensorboard",
        "--wait",
    )  # fmt: skip
    epochs = analyze.json("results", first)
    counts = analyze.json(
        "query",
        "SELECT class_name, count(*) AS n FROM images JOIN image_splits ON image_id = id WHERE split = 'train' "
        "GROUP BY class_name",
    )
    assert epochs[0]["images"] == sum(min(2, row["n"]) for row in counts)
    assert list((analyze.home / "store" / "tensorboard" / f"run-{first}").iterdir())
    best = analyze.json("query", f"SELECT path FROM checkpoints WHERE job_id = {first} AND kind = 'best'")[0]
    again = submit(
        analyze, "--epochs", 1, "--without", "conv4,conv3", "--weights", analyze.home / "store" / best["path"],
        "--wait",
    )  # fmt: skip
    assert "initial weights loaded; randomly initialized: none" in analyze("logs", again).stdout
    # The same weights by the number of their run, whose network is the default; and the same settings.
    recipe = ("--init", "he", "--batch-size", 4, "--learning-rate", "5e-4", "--epochs", 1)
    weights_of = analyze("submit", "train", "--dataset", "shapes", *recipe, "--weights-of", first)
    assert weights_of.stdout.strip() == again
    assert analyze("submit", "train", "--like", first).stdout.strip() == first


def test_a_fold_with_a_number_of_images_of_each_class(home: tuple[Analyze, str]) -> None:
    """The protocol of Tables 4 to 6 of the paper."""
    analyze, _ = home
    query = (
        "SELECT class_name, count(DISTINCT image_id) AS n FROM images JOIN image_splits ON image_id = id "
        "WHERE split IN ('train', 'val') GROUP BY class_name"
    )
    counts = [row["n"] for row in analyze.json("query", query)]
    fold = ("--fold", "1/2", "--val-per-class", 2, "--per-class", min(count - count // 2 for count in counts))
    job = submit(analyze, "--epochs", 1, *fold, "--wait")
    training, validation = analyze.json("results", job)
    assert training["images"] == len(counts) * fold[-1]
    assert validation["images"] == sum(min(2, count // 2) for count in counts)
    classes = analyze.json("query", f"SELECT accuracy FROM class_accuracies WHERE job_id = {job}")
    assert validation["class_accuracy"] == pytest.approx(sum(row["accuracy"] for row in classes) / len(counts))
    assert training["class_accuracy"] is None
    assert analyze.json("status", job)["summary"]["class_accuracy"] == validation["class_accuracy"]
    assert analyze.json("verify", job)["wrong"] == []
    most = analyze("submit", "train", "--dataset", "shapes", "--fold", "1/2", "--per-class", max(counts), code=2)
    assert "training images with these folds" in most.stderr
    assert "no fold 3 among 2" in analyze("submit", "train", "--dataset", "shapes", "--fold", "3/2", code=2).stderr


def test_a_layer_on_top_of_the_head_of_given_weights(home: tuple[Analyze, str]) -> None:
    analyze, job = home
    query = "SELECT path FROM checkpoints WHERE job_id = {} AND kind = 'best'"
    below = analyze.home / "store" / analyze.json("query", query.format(job))[0]["path"]
    topped = submit(
        analyze, "--epochs", 1, "--head", 20, "--weights", below, "--freeze", "features.[368]*", "--freeze",
        "features.10", "--freeze", "classifier", "--rate", "features.0=1e-3", "--wait",
    )  # fmt: skip
    assert "randomly initialized: top.weight, top.bias" in analyze("logs", topped).stdout
    before = safetensors.torch.load_file(below)
    best = analyze.home / "store" / analyze.json("query", query.format(topped))[0]["path"]
    after = safetensors.torch.load_file(best)
    changed = {name for name in after if name not in before or not torch.equal(after[name], before[name])}
    assert changed == {"features.0.weight", "features.0.bias", "top.weight", "top.bias"}
    assert analyze.json("verify", topped)["wrong"] == []


def test_a_diverging_run_fails_with_epoch_and_batch(home: tuple[Analyze, str]) -> None:
    analyze, _ = home
    job = submit(analyze, "--optimizer", "sgd", "--learning-rate", 10, "--wait", code=1)
    assert "The loss of epoch 1, batch" in analyze.json("status", job)["error"]
