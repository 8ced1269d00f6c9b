"""Evolution jobs through the command line: rows equal a plain loop over the epochs' weights, and are the same
regardless of shards, workers and a killed worker."""

from __future__ import annotations

import base64
import csv
import io
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from sqlalchemy import func, select, text
from torch import nn

from producer.datasets.shapes import generate
from shared.database.connection import Database
from shared.jobs.tables import ACTIVE_JOBS, Job, Shard, ShardState
from shared.store.store import Store
from tests import reference
from tests.acceptance.children import children_of, signal_all
from tests.acceptance.conftest import CLASSES, FC, SIZE
from tests.integration.cli.helpers import Home, refusal

EPOCHS = [1, 4, 9]
LAYERS = {"conv1": 1, "conv5": 5}
DEAD, FAINT = 3, 5  # units of conv1: dead at the last epoch; dead before it
DRAWN = 3
# Ids of training runs.
RUNS = {"all": 1, "part": 2, "without weights": 3, "one epoch": 4, "failed": 5, "damaged image": 6}
QUERY = "SELECT * FROM unit_evolution WHERE job_id = {job} ORDER BY layer_path, unit, epoch"

Row = dict[str, Any]


@pytest.fixture(scope="module")
def models(weights: Path) -> dict[int, nn.Module]:
    """The network with the weights of each epoch, which change less and less."""
    torch.manual_seed(7)
    models: dict[int, nn.Module] = {}
    final = safetensors.torch.load_file(weights)
    for epoch in EPOCHS:
        model = reference.zfnet(CLASSES, FC)
        noise = {"1": 0.3, "4": 0.05, "9": 0.0}[str(epoch)]
        model.load_state_dict(
            {name: value + noise * value.std() * torch.randn_like(value) for name, value in final.items()}
        )
        first = model.get_submodule("features.0")
        assert isinstance(first, nn.Conv2d)
        assert first.bias is not None
        with torch.no_grad():
            first.bias[DEAD if epoch == EPOCHS[-1] else FAINT] = -1000
        models[epoch] = model.eval()
    return models


def note_run(
    home: Home, models: dict[int, nn.Module], *options: object, state: str = "done", dataset: str = "shapes"
) -> int:
    """Insert the rows of a training run that kept these weights."""
    job = int(
        home(
            "submit", "train", "--dataset", dataset, "--network", "zfnet", "--size", SIZE, "--fc", FC,
            "--epochs", 9, *options,
        ).stdout
    )  # fmt: skip
    database = Database(home.database_url)
    with database.write() as session:
        for statement in (
            f"UPDATE jobs SET state = '{state}', shards_left = 0, finished_at = created_at WHERE id = {job}",
            f"UPDATE shards SET state = 'done' WHERE job_id = {job}",
            f"UPDATE training_runs SET best_epoch = 1, best_accuracy = 0.5 WHERE job_id = {job}",
        ):
            session.execute(text(statement))
        for epoch, model in models.items():
            content = safetensors.torch.save(model.state_dict())
            stored = Store(home.home / "store").put(content, ".safetensors")
            session.execute(
                text(
                    "INSERT INTO checkpoints (job_id, kind, epoch, path, sha256, bytes) "
                    f"VALUES ({job}, 'epoch', {epoch}, '{stored.path}', '{stored.sha256}', {stored.bytes})"
                )
            )
    database.close()
    return job


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, shapes_root: Path, models: dict[int, nn.Module]
) -> Iterator[Home]:
    """A home with training runs (``RUNS``) and two workers."""
    home = Home(tmp_path_factory.mktemp("evolution") / "home")
    home("dataset", "add", "shapes", "--root", shapes_root)
    assert note_run(home, models) == RUNS["all"]
    assert note_run(home, models, "--train-per-class", 2, "--seed", 5) == RUNS["part"]
    assert note_run(home, {}, "--seed", 11) == RUNS["without weights"]
    assert note_run(home, {1: models[1]}, "--seed", 12) == RUNS["one epoch"]
    assert note_run(home, models, "--seed", 13, state="failed") == RUNS["failed"]
    damaged = tmp_path_factory.mktemp("damaged") / "shapes"
    generate(damaged, images=4, seed=41)
    home("dataset", "add", "shapes", "--root", damaged, "--name", "damaged")
    assert note_run(home, models, dataset="damaged") == RUNS["damaged image"]
    name = min((damaged / "VOC2007" / "ImageSets" / "Main" / "train.txt").read_text().split())
    file = damaged / "VOC2007" / "JPEGImages" / f"{name}.jpg"
    file.write_bytes(file.read_bytes()[:2000])
    process = home.up()
    second = home.start("worker", "--devices", "cpu")
    home.wait(lambda: home.live_workers() == 2, process)
    assert second.poll() is None
    yield home
    home.end()


def wait_for(home: Home, *jobs: int) -> None:
    database = Database(home.database_url)

    def ended() -> bool:
        with database.read() as session:
            active = select(Job.id).where(Job.id.in_(jobs), Job.state.in_(ACTIVE_JOBS))
            return session.scalar(active.limit(1)) is None

    home.wait(ended)
    database.close()


def submit(home: Home, *options: object) -> int:
    return int(
        home("submit", "evolution", "--run", RUNS["all"], "--layer", "1,5", "--draw", DRAWN, *options).stdout
    )


def rows_of(home: Home, job: int) -> list[Row]:
    status = home.json("status", job)
    assert status["state"] == "done", status
    return [row | {"job_id": 0} for row in home.json("query", QUERY.format(job=job), "--limit", 100_000)]


@pytest.fixture(scope="module")
def job(home: Home) -> int:
    """A finished evolution, in one shard for each epoch."""
    job = submit(home, "--shards", 1)
    wait_for(home, job)
    return job


@pytest.fixture(scope="module")
def rows(home: Home, job: int) -> list[Row]:
    return rows_of(home, job)


@pytest.fixture(scope="module")
def train_images(home: Home) -> list[Row]:
    """The training images, ordered by id."""
    return home.json(
        "query",
        "SELECT images.* FROM images JOIN image_splits ON image_splits.image_id = images.id "
        "WHERE split = 'train' AND images.dataset_id = 1 ORDER BY images.id",
    )


@pytest.fixture(scope="module")
def maxima(
    models: dict[int, nn.Module], shapes_root: Path, train_images: list[Row]
) -> dict[tuple[str, int], np.ndarray]:
    """Maxima of each map, [images, units], by layer and epoch: a plain loop over the crops."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found: dict[tuple[str, int], list[np.ndarray]] = {}
    with torch.no_grad():
        for image in train_images:
            picture = Image.open(shapes_root / image["path"]).convert("RGB")
            box = tuple(image[f"box_{side}"] for side in ("left", "top", "right", "bottom"))
            crop = np.array(picture.crop(box).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
            pixels = (torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.5
            for epoch, model in models.items():
                for layer, number in LAYERS.items():
                    features: Any = model.get_submodule("features")
                    maps = features[: reference.CONVOLUTIONS[number] + 1](pixels)
                    found.setdefault((layer, epoch), []).append(maps[0].amax((1, 2)).numpy())
    torch.set_num_threads(threads)
    return {key: np.stack(values) for key, values in found.items()}


def test_rows_equal_a_plain_loop_over_epochs_and_images(
    rows: list[Row], maxima: dict[tuple[str, int], np.ndarray], train_images: list[Row]
) -> None:
    assert len(train_images) == 60
    assert len(rows) == sum(values.shape[1] for values in maxima.values())
    for row in rows:
        values = maxima[row["layer"], row["epoch"]][:, row["unit"]]
        if values.max() <= 0:
            assert row["state"] == "dead"
            assert row["activation"] is row["image_id"] is row["image_path"] is row["tied"] is None
            continue
        assert row["state"] == "active"
        assert row["activation"] == pytest.approx(values.max(), rel=1e-4)
        image = next(number for number, i in enumerate(train_images) if i["id"] == row["image_id"])
        assert values[image] == pytest.approx(values.max(), rel=1e-4)  # the image, unless two are nearly equal
        assert row["image_path"] == train_images[image]["path"]
    states = {(row["unit"], row["epoch"]): row["state"] for row in rows if row["layer"] == "conv1"}
    assert [states[DEAD, epoch] for epoch in EPOCHS] == ["active", "active", "dead"]
    assert [states[FAINT, epoch] for epoch in EPOCHS] == ["dead", "dead", "active"]


def test_units_settle_where_their_top_image_last_changes(home: Home, job: int, rows: list[Row]) -> None:
    images: dict[tuple[str, int], list[int | None]] = {}
    settled = {}
    for row in rows:
        images.setdefault((row["layer"], row["unit"]), []).append(row["image_id"])
        settled[row["layer"], row["unit"]] = row["settled_epoch"]
    for unit, (first, second, last) in images.items():
        expected = None if last is None else 9 if second != last else 4 if first != last else 1
        assert settled[unit] == expected, unit
    assert settled["conv1", DEAD] is None
    assert settled["conv1", FAINT] == 9
    assert set(settled.values()) == {None, *EPOCHS}
    counted = home.json("query", f"SELECT * FROM settled_units WHERE job_id = {job}")
    assert counted == home.json("results", job, "--settled")
    for count in counted:
        epochs = [epoch for (layer, _), epoch in settled.items() if layer == count["layer"] and epoch]
        assert count["active_at_end"] == len(epochs)
        assert count["settled"] == sum(epoch <= count["epoch"] for epoch in epochs)
        assert count["share"] == pytest.approx(count["settled"] / len(epochs))
        active = [row for row in rows if (row["layer"], row["epoch"]) == (count["layer"], count["epoch"])]
        assert count["active"] == sum(row["state"] == "active" for row in active)
    summary = home.json("status", job)["summary"]
    assert (summary["images"], summary["images_left_out"], summary["epochs"]) == (60, 0, EPOCHS)
    for layer in summary["layers"]:
        assert layer["settled"] == [count["settled"] for count in counted if count["layer"] == layer["layer"]]


def test_drawn_units_have_checked_pictures(home: Home, job: int, rows: list[Row]) -> None:
    drawn = [row for row in rows if row["drawn"]]
    assert len(drawn) == len(LAYERS) * DRAWN * len(EPOCHS)
    store = home.home / "store"
    for row in rows:
        has_pictures = bool(row["drawn"]) and row["state"] == "active"
        for name in ("patch_path", "projection_path", "projection_scale"):
            assert (row[name] is not None) == has_pictures
        if has_pictures:
            sides = {Image.open(store / row[f"{name}_path"]).size for name in ("patch", "projection")}
            assert len(sides) == 1
            projection = np.asarray(Image.open(store / row["projection_path"])).astype(int)
            assert row["projection_empty"] or np.abs(projection - 128).max() == 127  # its own contrast
    (pictures,) = home.json("query", f"SELECT * FROM evolution_jobs WHERE job_id = {job}")
    blocks = home.json("query", f"SELECT * FROM evolution_layers WHERE job_id = {job}")
    for path in (pictures["figure_path"], pictures["curve_path"], *(block["block_path"] for block in blocks)):
        assert Image.open(store / path).size[0] > 300
    assert ", 20 rows" in home("verify", job, "--sample", 20).stdout


def test_the_same_request_is_the_same_job(home: Home, job: int) -> None:
    assert submit(home, "--shards", 5) == job
    assert submit(home, "--epochs", "1,4,9", "--split", "train", "--shards", 1) == job
    dry = home.json(
        "submit", "evolution", "--run", 1, "--layer", 1, "--epochs", "1,9", "--split", "val", "--dry-run"
    )
    assert (dry["images"], dry["stages"][0]["name"]) == (60, "search")


def test_rows_do_not_depend_on_shards_and_on_a_killed_worker(home: Home, rows: list[Row]) -> None:
    others = [submit(home, "--shards", shards, "--force") for shards in (3, 8)]
    wait_for(home, *others)
    for other in others:
        assert rows_of(home, other) == rows
    workers = {
        row["worker"]
        for row in home.json("query", f"SELECT DISTINCT worker FROM shards WHERE job_id = {others[1]}")
    }
    assert len(workers) == 2
    children = children_of(home)
    killed = submit(home, "--shards", 1, "--force")
    database = Database(home.database_url)
    deadline = time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline, home.log()
        with database.read() as session:
            running = (Shard.job_id == killed, Shard.state == ShardState.RUNNING)
            if session.scalar(select(func.count()).where(*running)):
                break
    database.close()
    signal_all(children, signal.SIGKILL)
    wait_for(home, killed)
    assert rows_of(home, killed) == rows
    attempts = home.json("query", f"SELECT max(attempt) AS most FROM shards WHERE job_id = {killed}")
    assert attempts == [{"most": 2}]


def test_results_in_every_format_and_with_filters(home: Home, job: int, rows: list[Row]) -> None:
    listed = home.json("results", job)
    assert [{**row, "job_id": 0} for row in listed] == [{name: row[name] for name in listed[0]} for row in rows]
    as_csv = list(csv.DictReader(io.StringIO(home("results", job, "--format", "csv").stdout)))
    assert [line["state"] for line in as_csv] == [row["state"] for row in rows]
    some = home.json("results", job, "--layer", "1", "--units", f"{DEAD},{FAINT}")
    assert [(row["unit"], row["epoch"]) for row in some] == [(u, e) for u in (DEAD, FAINT) for e in EPOCHS]
    name = next(row["class_name"] for row in rows if row["class_name"])
    of_class = home.json("results", job, "--class", name)
    assert len(of_class) == sum(row["class_name"] == name for row in rows) > 0
    assert len(home.json("results", job, "--settled", "--layer", "conv5")) == len(EPOCHS)
    home.refused("results", job, "--settled", "--units", 1, code=2, says=["--units does not apply"])
    home.refused("results", job, "--layer", "2", code=4, says=["conv1, conv5"])


def test_the_page_is_self_contained(home: Home, job: int, tmp_path: Path) -> None:
    home("results", job, "--html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    pictures = re.findall(r'<img src="data:image/(?:png|jpeg);base64,([^"]+)"', page)
    assert len(pictures) == 2 + len(LAYERS)
    for picture in pictures:
        Image.open(io.BytesIO(base64.b64decode(picture))).verify()
    assert 'src="http' not in page
    for words in ("conv1", "conv5", "epoch 9", "active at the end"):
        assert words in page


def test_a_job_can_be_exported_and_imported(
    home: Home, job: int, rows: list[Row], shapes_root: Path, tmp_path: Path
) -> None:
    home("export", job, tmp_path / "job.tar")
    other = Home(tmp_path / "other")
    imported = int(other("import", tmp_path / "job.tar", "--root", shapes_root).stdout)
    ids = {"image_id"}
    assert [
        {name: value for name, value in row.items() if name not in ids} for row in rows_of(other, imported)
    ] == [{name: value for name, value in row.items() if name not in ids} for row in rows]


def test_only_the_images_that_a_run_was_trained_on_are_searched(home: Home) -> None:
    run = RUNS["part"]
    job = int(home("submit", "evolution", "--run", run, "--layer", "1", "--draw", 0).stdout)
    wait_for(home, job)
    assert home.json("status", job)["summary"]["images"] == 40
    by_class = home.json(
        "query",
        "SELECT class_name, count(DISTINCT image_id) AS images FROM unit_evolution "
        f"WHERE job_id = {job} AND image_id IS NOT NULL GROUP BY class_name",
    )
    assert 0 < max(row["images"] for row in by_class) <= 2
    assert home.json("query", f"SELECT figure_path FROM evolution_jobs WHERE job_id = {job}") == [
        {"figure_path": None}
    ]


def test_an_image_that_cannot_be_read_is_left_out_once(home: Home) -> None:
    """Each epoch's shard meets it."""
    options = ("--layer", "5", "--draw", 1, "--shards", 1)
    job = int(home("submit", "evolution", "--run", RUNS["damaged image"], *options).stdout)
    wait_for(home, job)
    summary = home.json("status", job)["summary"]
    left_out = home.json("query", f"SELECT * FROM left_out_images WHERE job_id = {job}")
    assert (summary["images"], summary["images_left_out"], len(left_out)) == (2, 2, 2)  # two objects of the file
    listed = {row["image_id"] for row in rows_of(home, job)} - {None}
    assert listed
    assert not listed & {row["image_id"] for row in left_out}


def test_invalid_requests_give_an_error_and_no_job(home: Home, job: int) -> None:
    running = int(
        home("submit", "train", "--dataset", "shapes", "--size", SIZE, "--fc", FC, "--epochs", 200).stdout
    )
    refused: list[tuple[tuple[object, ...], int, str]] = [
        (("--run", RUNS["without weights"]), 2, "kept the weights of no epoch"),
        (("--run", RUNS["one epoch"]), 2, "kept the weights of only one epoch"),
        (("--run", RUNS["failed"]), 2, "is failed, not done"),
        (("--run", running), 2, "Submit its evolution when it is done"),
        (("--run", job), 4, "no training run"),
        (("--run", 9999), 4, "no job 9999"),
        (("--run", 1, "--epochs", "1,5"), 2, "Kept epochs: 1, 4, 9"),
        (("--run", 1, "--epochs", "4"), 2, "at least two epochs"),
        (("--run", 1, "--layer", "7"), 4, "no layer '7'"),
        (("--run", 1, "--layer", "1", "--units", "64"), 4, "numbered 0 to 63"),
        (("--run", 1, "--split", "tset"), 4, "tset"),
        (("--run", 1, "--units", "1", "--draw", 2), 2, "mutually exclusive"),
        ((), 2, "--run"),
    ]
    before = len(home.jobs())
    outcomes = home.many([(("submit", "evolution", *options), {}) for options, _, _ in refused])
    for outcome, (_, code, says) in zip(outcomes, refused, strict=True):
        refusal(outcome, code, [says])
    assert len(home.jobs()) == before
    home("cancel", running)
    wait_for(home, running)
    home.refused("rm", RUNS["all"], code=2, says=["results are used by", "--cascade"])
    weights = home.json("query", f"SELECT path FROM checkpoints WHERE job_id = {RUNS['one epoch']}")[0]["path"]
    home("gc", "--older-than", 1, "--delete", "--yes")
    assert (home.home / "store" / weights).is_file()  # as a checkpoint of the run, and of the evolutions
    (home.home / "store" / weights).unlink()
    home.refused(
        "submit", "evolution", "--run", 1, "--layer", "1", code=2, says=["epoch 1", "no longer in the store"]
    )


def test_the_run_is_removed_with_its_evolutions(home: Home) -> None:
    before = {number for number, _ in home.jobs()}
    evolutions = home.json("query", "SELECT id, specification FROM jobs WHERE kind = 'evolution'")
    of_run = {row["id"] for row in evolutions if f'"training_job_id": {RUNS["all"]},' in row["specification"]}
    assert 0 < len(of_run) < len(evolutions)
    home("rm", RUNS["all"], "--cascade")
    assert before - {number for number, _ in home.jobs()} == {RUNS["all"], *of_run}
    left = home.json("query", "SELECT count(*) AS rows FROM unit_evolution_rows WHERE layer_id NOT IN "
                     "(SELECT id FROM evolution_layers)")  # fmt: skip
    assert left == [{"rows": 0}]
