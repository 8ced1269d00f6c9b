"""Occlusion jobs through the command line: rows, arrays and pictures equal a plain loop, and are bitwise equal
regardless of shards, workers and interruptions."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from PIL import Image
from sqlalchemy import func, select, text
from torch import nn

from producer.datasets.shapes import CLASSES as NAMES
from producer.datasets.shapes import generate
from shared.database.connection import Database
from shared.jobs.ledger import Ledger
from shared.jobs.tables import ACTIVE_JOBS, Job, Shard, ShardState
from shared.kinds.occlusion.tables import OcclusionPosition
from shared.store.store import Store
from tests import reference
from tests.acceptance.children import children_of, signal_all
from tests.acceptance.conftest import CLASSES, FC, SIZE
from tests.conftest import Analyze, fresh_database
from tests.integration.cli.helpers import Done, Home, refusal

PATCH, STRIDE = 24, 15
STARTS = [0, 15, 30, 40]  # the last square is moved to the border
IMAGES = 4  # a figure takes half a second
# Batches are padded to a size that depends on the memory: a small memory avoids computing padding.
SQUARE = ("--patch", PATCH, "--stride", STRIDE, "--memory", 8)
PLAIN = ("--images", IMAGES, *SQUARE, "--positions")
SMALL = (*PLAIN, "--engine", "incremental", "--memory", 1)  # one image at a time
UNIT, TARGET = 7, "dotted-star"

Row = dict[str, Any]


# --- homes with a worker ---


def submit(*options: object, dataset: str = "shapes") -> tuple[object, ...]:
    return "submit", "occlusion", "--dataset", dataset, *options


def note_run(home: Analyze, weights: Path) -> int:
    """Insert the rows of a done training run with these weights."""
    job = int(
        home(
            "submit", "train", "--dataset", "shapes", "--network", "zfnet", "--size", SIZE, "--fc", FC,
            "--epochs", 1,
        ).stdout
    )  # fmt: skip
    stored = Store(home.home / "store").put(weights.read_bytes(), ".safetensors")
    database = Database(home.database_url)
    with database.write() as session:
        for statement in (
            "UPDATE jobs SET state = 'done', shards_left = 0, finished_at = created_at WHERE id = :job",
            "UPDATE shards SET state = 'done' WHERE job_id = :job",
            "UPDATE training_runs SET best_epoch = 1, best_accuracy = 0.5 WHERE job_id = :job",
            "INSERT INTO checkpoints (job_id, kind, epoch, path, sha256, bytes) "
            f"VALUES (:job, 'best', 1, '{stored.path}', '{stored.sha256}', {stored.bytes})",
        ):
            session.execute(text(statement), {"job": job})
    database.close()
    return job


def make_home(folder: Path, shapes_root: Path, weights: Path, url: str | None = None) -> Home:
    home = Home(folder / "home", url)
    if url:
        home("db", "upgrade")
    home("dataset", "add", "shapes", "--root", shapes_root)
    note_run(home, weights)
    home.up()
    return home


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, shapes_root: Path, weights: Path) -> Iterator[Home]:
    """A home on SQLite with the data set, a trained network and a worker."""
    home = make_home(tmp_path_factory.mktemp("occlusion"), shapes_root, weights)
    yield home
    home.end()


@pytest.fixture(scope="module")
def other_home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, shapes_root: Path, weights: Path
) -> Iterator[Home]:
    """A second home on PostgreSQL with two workers."""
    folder = tmp_path_factory.mktemp("other")
    home = make_home(folder, shapes_root, weights, fresh_database("postgresql", request, folder))
    second = home.start("worker", "--devices", "cpu")
    home.wait(lambda: home.live_workers() == 2, second)
    yield home
    home.end()


def answered(home: Home, calls: Sequence[Sequence[object]]) -> list[str]:
    """Run commands in this process, which must succeed, and return their outputs."""
    done = home.many([(words, {}) for words in calls])
    for outcome in done:
        assert outcome.returncode == 0, outcome
        assert "Traceback" not in outcome.stderr
    return [outcome.stdout for outcome in done]


def wait_for(home: Home, jobs: Sequence[str]) -> None:
    """Wait until jobs have ended. Queries the database, since a command takes longer than a sweep."""
    database = Database(home.database_url)

    def ended() -> bool:
        with database.read() as session:
            active = select(Job.id).where(Job.id.in_(map(int, jobs)), Job.state.in_(ACTIVE_JOBS))
            return session.scalar(active.limit(1)) is None

    home.wait(ended)
    database.close()


@dataclass(frozen=True)
class Sweep:
    """A job that has ended, and its results; rows are ordered by image and position."""

    home: Home
    job: str
    status: Row
    rows: list[Row]
    positions: list[Row]

    def arrays(self, row: Row) -> dict[str, np.ndarray]:
        with np.load(self.home.home / "store" / row["array_path"], allow_pickle=False) as file:
            return dict(file)


def check_same(sweep: Sweep, other: Sweep) -> None:
    """Check that all rows are bitwise equal. One by one, since pytest's comparison of long lists is slow."""
    for rows, others in ((sweep.rows, other.rows), (sweep.positions, other.positions)):
        assert len(rows) == len(others)
        for row, same in zip(rows, others, strict=True):
            assert row | {"job_id": 0} == same | {"job_id": 0}


def read_sweeps(home: Home, jobs: Sequence[str]) -> list[Sweep]:
    calls: list[Sequence[object]] = []
    for job in jobs:
        calls += [
            ("status", job, "--json"),
            ("query", f"SELECT * FROM occlusion_maps WHERE job_id = {job} ORDER BY image_id", "--json"),
            (
                "query",
                f'SELECT * FROM occlusion_positions WHERE job_id = {job} ORDER BY image_id, "row", "col"',
                "--json",
            ),
        ]
    read = [json.loads(out) for out in answered(home, calls)]
    return [Sweep(home, job, *read[3 * place : 3 * place + 3]) for place, job in enumerate(jobs)]


def run_sweeps(home: Home, calls: dict[str, Sequence[object]], *, may_fail: bool = False) -> dict[str, Sweep]:
    """Submit jobs, wait for their end, and read them."""
    jobs = [out.strip() for out in answered(home, list(calls.values()))]
    wait_for(home, jobs)
    sweeps = dict(zip(calls, read_sweeps(home, jobs), strict=True))
    for sweep in sweeps.values():
        assert may_fail or sweep.status["state"] == "done", sweep.status
    return sweeps


@pytest.fixture(scope="module")
def swept(
    home: Home, shapes_root: Path, val_images: list[Row], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Sweep]:
    """Finished sweeps by name."""
    link = tmp_path_factory.mktemp("links") / "shapes"
    link.symlink_to(shapes_root)
    first, second = val_images[10]["path"], val_images[-1]["path"]
    named = [str(row["id"]) for row in val_images if row["path"] in (first, second)]
    files = ("--image", first, "--image", shapes_root / second)
    ids = tuple(word for image in named for word in ("--image-id", image))
    return run_sweeps(
        home,
        {
            "plain": submit(*PLAIN, "--shards", 1),
            "full": submit(*PLAIN, "--engine", "full", "--shards", 1),
            "small": submit(*SMALL, "--shards", 2),
            "class": submit(*SQUARE, "--class", "plain-circle", "--target", TARGET, "--shards", 1),
            "files": submit(
                *SQUARE, "--shards", 1, *files, "--fill", "noise", "--seed", 5, "--unit", UNIT, "--layer", "1"
            ),
            "linked": submit(
                *(*SQUARE, "--image", link / first, "--image", second, "--layer", "features.0"),
                *("--fill", "noise", "--seed", 5, "--unit", UNIT),
            ),
            "ids": submit(*SQUARE, *ids, "--fill", "noise", "--seed", 5, "--unit", UNIT, "--layer", "conv1"),
            "whole": submit(*SQUARE, "--shards", 1, "--whole", "--images", 2, "--fill", "mean"),
        },
    )


# --- the plain loop ---


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Use one torch thread, since workers run at the same time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def val_images(home: Home) -> list[Row]:
    """The images of the split, ordered by id."""
    return home.json(
        "query",
        "SELECT images.* FROM images JOIN image_splits ON image_splits.image_id = images.id "
        "WHERE split = 'val' AND images.dataset_id = 1 ORDER BY images.id",
    )


@pytest.fixture(scope="module")
def model(weights: Path) -> nn.Module:
    model = reference.zfnet(CLASSES, FC)
    model.load_state_dict(safetensors.torch.load_file(weights))
    return model.eval()


@dataclass(frozen=True)
class Answer:
    """Outputs for an image, occluded or not: sums over a layer's rectified maps, their maxima, and
    probabilities."""

    sums: np.ndarray
    maxima: np.ndarray
    probabilities: np.ndarray


class Loop:
    """Reference implementation of a sweep, one position after the other; arrays are [rows, columns] by
    position."""

    def __init__(
        self, model: nn.Module, pixels: np.ndarray, filling: np.ndarray, unit: int | None = None, layer: int = 5
    ) -> None:
        self.model, self.layer = model, reference.CONVOLUTIONS[layer]
        self.clear = self.answer(pixels)
        self.unit = int(self.clear.maxima.argmax()) if unit is None else unit
        hidden = []
        for row in STARTS:
            for col in STARTS:
                image = pixels.copy()
                square = slice(row, row + PATCH), slice(col, col + PATCH)
                image[square] = filling[square]
                hidden.append(self.answer(image))
        shape = len(STARTS), len(STARTS)
        self.activation = np.array([answer.sums[self.unit] for answer in hidden]).reshape(shape)
        self.probabilities = np.stack([answer.probabilities for answer in hidden]).reshape(*shape, -1)

    @torch.no_grad()
    def answer(self, pixels: np.ndarray) -> Answer:
        image = (torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.5
        maps = self.model.features[: self.layer + 1](image)
        features = F.adaptive_avg_pool2d(self.model.features[self.layer + 1 :](maps), 6)
        probabilities = self.model.classifier(features.flatten(1)).double().softmax(1)
        sums = maps[0].double().clamp(min=0).sum((1, 2))
        return Answer(sums.numpy(), maps[0].amax((1, 2)).numpy(), probabilities[0].numpy())

    @property
    def classes(self) -> np.ndarray:
        return self.probabilities.argmax(2)

    @cached_property
    def correlation(self) -> Callable[[str], float]:
        return lambda name: float(
            np.corrcoef(self.activation.ravel(), self.probabilities[:, :, NAMES.index(name)].ravel())[0, 1]
        )


def decoded(root: Path, image: Row, *, whole: bool = False) -> np.ndarray:
    """Return the image as the input of the network, uint8 [SIZE, SIZE, 3]."""
    picture = Image.open(root / image["path"]).convert("RGB")
    if not whole:
        picture = picture.crop(tuple(image[f"box_{side}"] for side in ("left", "top", "right", "bottom")))
    return np.asarray(picture.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


GREY = np.full((SIZE, SIZE, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def loops(model: nn.Module, val_images: list[Row], shapes_root: Path, swept: dict[str, Sweep]) -> dict[int, Loop]:
    """The reference results for the images of the plain sweep, by image id."""
    expected = {row["image_id"] for row in swept["plain"].rows}
    return {
        image["id"]: Loop(model, decoded(shapes_root, image), GREY)
        for image in val_images
        if image["id"] in expected
    }


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-5, abs=1e-7)


def check_row(sweep: Sweep, row: Row, loop: Loop) -> None:
    """Check that a row and its arrays equal the reference results."""
    truth = NAMES.index(row["class_name"])
    probability = loop.probabilities[:, :, truth]
    assert row["unit"] == loop.unit
    assert row["positions"] == row["computed"] == len(STARTS) ** 2
    assert row["error"] is None
    assert row["clear_activation"] == close(loop.clear.sums[loop.unit])
    assert row["clear_probability"] == close(loop.clear.probabilities[truth])
    assert row["clear_class"] == NAMES[loop.clear.probabilities.argmax()]
    for name, values in (("activation", loop.activation), ("probability", probability)):
        assert row[f"min_{name}"] == close(values.min())
        place = STARTS.index(row[f"min_{name}_row"]), STARTS.index(row[f"min_{name}_col"])
        assert values[place] == close(values.min())
    assert row["class_changes"] == (loop.classes != loop.clear.probabilities.argmax()).sum()
    assert row["correlation"] == pytest.approx(loop.correlation(row["class_name"]), abs=1e-4)
    arrays = sweep.arrays(row)
    assert np.allclose(arrays["activation"], loop.activation, rtol=1e-5, atol=1e-5 * loop.activation.max())
    assert np.allclose(arrays["probability"], probability, rtol=1e-5, atol=1e-7)
    assert np.array_equal(arrays["classes"], loop.classes)
    assert arrays["starts"].tolist() == STARTS
    assert arrays["computed"].all()
    if row["target_class"] is None:
        assert row["clear_target_probability"] is row["min_target_probability"] is None
        assert "target_probability" not in arrays
    else:
        target = NAMES.index(row["target_class"])
        values = loop.probabilities[:, :, target]
        assert row["clear_target_probability"] == close(loop.clear.probabilities[target])
        assert row["min_target_probability"] == close(values.min())
        assert row["max_target_probability"] == close(values.max())
        assert np.allclose(arrays["target_probability"], values, rtol=1e-5, atol=1e-7)


def test_rows_and_arrays_equal_a_plain_loop(swept: dict[str, Sweep], loops: dict[int, Loop]) -> None:
    sweep = swept["plain"]
    assert len(sweep.rows) == len(loops) == IMAGES
    for row in sweep.rows:
        assert (row["layer"], row["layer_path"]) == ("conv5", "features.10")
        check_row(sweep, row, loops[row["image_id"]])
    assert any(row["class_changes"] for row in sweep.rows)
    assert len({row["unit"] for row in sweep.rows}) > 1


def test_images_are_evenly_spaced_in_the_split(swept: dict[str, Sweep], val_images: list[Row]) -> None:
    chosen = [row["image_id"] for row in swept["plain"].rows]
    assert len(val_images) == 60
    assert chosen == [image["id"] for image in val_images[7::15]]
    assert len({row["class_name"] for row in swept["plain"].rows}) > 2


def test_the_array_file_describes_its_arrays(swept: dict[str, Sweep]) -> None:
    for name, targets in (("plain", set()), ("class", {"target_probability"})):
        sweep = swept[name]
        for row in sweep.rows:
            arrays = sweep.arrays(row)
            axes = json.loads(str(arrays["axes"]))
            with_axes = {array for array, values in arrays.items() if values.ndim}
            assert set(axes) == with_axes
            assert set(axes) == {"activation", "probability", "classes", "computed", "starts"} | targets
            assert all("row" in words for words in axes.values())
            single = {array: values.item() for array, values in arrays.items() if not values.ndim}
            for same in ("unit", "clear_activation", "clear_probability"):
                assert single[same] == row[same]
            assert (single["patch"], NAMES[single["clear_class"]]) == (PATCH, row["clear_class"])


def test_positions_equal_the_arrays(swept: dict[str, Sweep]) -> None:
    sweep = swept["plain"]
    assert len(sweep.positions) == IMAGES * len(STARTS) ** 2
    expected = []
    for row in sweep.rows:
        arrays = sweep.arrays(row)
        for (i, j), label in np.ndenumerate(arrays["classes"]):
            numbers = (float(arrays[name][i, j]) for name in ("activation", "probability"))
            image = row["image_id"], row["image_path"], row["class_name"]
            expected.append((int(sweep.job), *image, STARTS[i], STARTS[j], *numbers, None, NAMES[label]))
    assert [tuple(position.values()) for position in sweep.positions] == expected


def test_every_picture_exists_and_is_registered(swept: dict[str, Sweep]) -> None:
    sweep = swept["plain"]
    store = sweep.home.home / "store"
    answers = answered(
        sweep.home,
        [
            ("query", f"SELECT * FROM occlusion_jobs WHERE job_id = {sweep.job}", "--json"),
            ("query", "SELECT path, sha256, bytes FROM artifacts", "--limit", 100_000, "--json"),
        ],
    )
    (sheet,), artifacts = map(json.loads, answers)
    registered = {row["path"]: row for row in artifacts}
    paths = {row[f"{name}_path"] for row in sweep.rows for name in ("array", "picture", "projection", "patch")}
    paths.add(sheet["contact_sheet_path"])
    assert None not in paths
    for path in paths:
        content = (store / path).read_bytes()
        assert (registered[path]["sha256"], registered[path]["bytes"]) == (
            hashlib.sha256(content).hexdigest(),
            len(content),
        )
    for row in sweep.rows:
        sizes = {}
        for name in ("picture", "projection", "patch"):
            with Image.open(store / row[f"{name}_path"]) as picture:
                picture.load()
                sizes[name] = picture.size
        assert sizes["picture"][0] > 600
        assert sizes["projection"] == sizes["patch"] == (139, 139)
    with Image.open(store / sheet["contact_sheet_path"]) as picture:
        picture.load()
        assert picture.size[0] > 300
    on_disk = {path.relative_to(store).as_posix() for path in store.glob("??/*")}
    assert on_disk <= set(registered) | {on_disk_weights(sweep.home)}
    assert not list((store / "incoming").iterdir())


def on_disk_weights(home: Home) -> str:
    return str(home.json("query", "SELECT path FROM checkpoints")[0]["path"])


def test_the_summary_has_the_main_figures(swept: dict[str, Sweep], loops: dict[int, Loop]) -> None:
    sweep = swept["plain"]
    summary = sweep.status["summary"]
    falls = [row["clear_probability"] - row["min_probability"] for row in sweep.rows]
    assert sweep.status["state"] == "done"
    assert summary == {
        "images": IMAGES,
        "images_left_out": 0,
        "positions": len(STARTS) ** 2,
        "computed_share": 1,
        "engine": sweep.rows[0]["engine"],
        "images_whose_class_changes": sum(row["class_changes"] > 0 for row in sweep.rows),
        "mean_drop": pytest.approx(np.mean(falls)),
    }


# --- the same rows regardless of engine, shards, workers and interruptions ---


def test_submitting_the_same_sweep_returns_the_existing_job(home: Home, swept: dict[str, Sweep]) -> None:
    same = submit(*PLAIN, "--split", "val", "--layer", "conv5", "--fill", "grey", "--shards", 5)
    ids = [word for row in swept["plain"].rows for word in ("--image-id", row["image_id"])]
    again = answered(home, [same, submit(*SQUARE, "--positions", *ids)])
    assert [out.strip() for out in again] == [swept["plain"].job] * 2


def test_engines_give_the_same_rows(swept: dict[str, Sweep], loops: dict[int, Loop]) -> None:
    full, incremental = swept["full"], swept["small"]
    assert {row["engine"] for row in full.rows} == {"full"}
    assert {row["engine"] for row in incremental.rows} == {"incremental"}
    for sweep in (full, incremental):
        for row in sweep.rows:
            check_row(sweep, row, loops[row["image_id"]])
    for one, other in zip(full.rows + full.positions, incremental.rows + incremental.positions, strict=True):
        assert one.keys() == other.keys()
        for name in one.keys() - {"job_id", "engine", "array_path", "picture_path"}:
            if name == "correlation":  # for a nearly constant map it depends on rounding errors
                assert one[name] == pytest.approx(other[name], abs=1e-4)
            elif isinstance(one[name], float):
                assert one[name] == pytest.approx(other[name], rel=1e-5, abs=1e-6)
            else:
                assert one[name] == other[name], name


def test_engine_auto_chooses_an_engine_and_logs_the_reason(swept: dict[str, Sweep]) -> None:
    sweep = swept["plain"]
    (engine,) = {row["engine"] for row in sweep.rows}
    assert engine in ("full", "incremental")
    assert f"engine {engine}: the incremental engine needs" in sweep.home("logs", sweep.job).stdout


@pytest.fixture(scope="module")
def swept_elsewhere(other_home: Home) -> Sweep:
    return run_sweeps(other_home, {"plain": submit(*PLAIN, "--shards", 3)})["plain"]


def test_rows_do_not_depend_on_shards_workers_and_database(
    swept: dict[str, Sweep], swept_elsewhere: Sweep
) -> None:
    check_same(swept_elsewhere, swept["plain"])
    workers = swept_elsewhere.home.json(
        "query", f"SELECT DISTINCT worker FROM shards WHERE job_id = {swept_elsewhere.job}"
    )
    assert len(workers) == 2


class Watch:
    """The progress of a job, read directly from the database."""

    def __init__(self, home: Home, job: str) -> None:
        self.home, self.job = home, int(job)
        self.database = Database(home.database_url)

    def count(self, *conditions: Any) -> int:
        with self.database.read() as session:
            query = select(func.count()).select_from(Shard).where(Shard.job_id == self.job, *conditions)
            return session.scalar(query.where(Shard.stage_name == "sweep")) or 0

    @property
    def running(self) -> int:
        return self.count(Shard.state == ShardState.RUNNING)

    @property
    def done(self) -> int:
        return self.count(Shard.state == ShardState.DONE)

    @property
    def positions(self) -> int:
        with self.database.read() as session:
            query = select(func.count()).select_from(OcclusionPosition)
            return session.scalar(query.where(OcclusionPosition.job_id == self.job)) or 0


def submit_and_watch(
    home: Home, shards: int, begun: Callable[[Watch], bool]
) -> tuple[Watch, list[psutil.Process]]:
    """Submit the sweep ``small`` again and wait until it is half done; returns it and the processes that compute.

    The processes are stopped during the submit, since the command takes as long as the sweep. They must not be
    stopped later: a process stopped within a transaction would lock the SQLite file.
    """
    children = children_of(home)
    signal_all(children, signal.SIGSTOP)
    try:
        watch = Watch(home, home(*submit(*SMALL, "--shards", shards, "--force")).stdout.strip())
    finally:
        signal_all(children, signal.SIGCONT)
    deadline = time.monotonic() + 60
    while not (begun(watch) and watch.running):
        assert time.monotonic() < deadline, home.log()
        time.sleep(0.005)
    return watch, children


def test_rows_do_not_change_after_kill_9(home: Home, swept: dict[str, Sweep]) -> None:
    """Some of the shard's positions are already written, and the next attempt finds them."""
    watch, children = submit_and_watch(home, 2, lambda watch: watch.positions > 0 and not watch.done)
    signal_all(children, signal.SIGKILL)
    assert 0 < watch.positions <= IMAGES // 2 * len(STARTS) ** 2
    job = str(watch.job)
    wait_for(home, [job])
    (sweep,) = read_sweeps(home, [job])
    assert sweep.status["state"] == "done"
    check_same(sweep, swept["small"])
    attempts = home.json("query", f"SELECT max(attempt) AS most FROM shards WHERE job_id = {job}")
    assert attempts == [{"most": 2}]


def test_a_cancelled_sweep_stops_and_continues_at_retry(other_home: Home, swept: dict[str, Sweep]) -> None:
    home = other_home
    watch, _ = submit_and_watch(home, IMAGES, lambda watch: watch.done > 0)
    Ledger(watch.database).cancel(watch.job)
    job = str(watch.job)
    wait_for(home, [job])
    (sweep,) = read_sweeps(home, [job])
    assert sweep.status["state"] == "cancelled"
    assert 0 < watch.done < IMAGES
    assert len(sweep.rows) == watch.done
    undisturbed = {row["image_id"]: row for row in swept["small"].rows}
    for row in sweep.rows:
        assert row == undisturbed[row["image_id"]] | {"job_id": int(job), "picture_path": None}
    done_shards = (
        f"SELECT id, finished_at FROM shards WHERE job_id = {job} AND stage_name = 'sweep' AND state = 'done'"
    )
    before = home.json("query", done_shards)
    home("retry", job, "--wait")
    assert [shard for shard in home.json("query", done_shards) if shard in before] == before
    (sweep,) = read_sweeps(home, [job])
    check_same(sweep, swept["small"])


# --- images that can't be read ---


@pytest.fixture(scope="module")
def broken(home: Home, tmp_path_factory: pytest.TempPathFactory) -> tuple[Sweep, Path, Sweep]:
    """Sweeps over data that has changed since registration: one with a truncated file, its path, and one without
    any files."""
    folder = tmp_path_factory.mktemp("broken")
    roots = {name: folder / name for name in ("truncated", "gone")}
    for seed, (name, root) in enumerate(roots.items(), start=41):
        generate(root, images=4, seed=seed)
        home("dataset", "add", "shapes", "--root", root, "--name", name)
    run = home.json("query", "SELECT job_id FROM training_runs")[0]["job_id"]
    val = sorted((roots["truncated"] / "VOC2007" / "ImageSets" / "Main" / "val.txt").read_text().split())
    truncated = roots["truncated"] / "VOC2007" / "JPEGImages" / f"{val[0]}.jpg"
    truncated.write_bytes(truncated.read_bytes()[:2000])
    roots["gone"].rename(folder / "elsewhere")
    asked = {name: submit(*SQUARE, "--run", run, "--shards", 2, dataset=name) for name in roots}
    sweeps = run_sweeps(home, asked, may_fail=True)
    return sweeps["truncated"], truncated, sweeps["gone"]


def test_an_unreadable_image_is_left_out_and_reported(broken: tuple[Sweep, Path, Sweep]) -> None:
    sweep, truncated, _ = broken
    assert sweep.status["state"] == "done"
    assert sweep.status["summary"]["images"] == 2
    assert sweep.status["summary"]["images_left_out"] == 2  # both objects of the file
    assert [Path(row["image_path"]).name == truncated.name for row in sweep.rows] == [False, False]
    assert all(row["picture_path"] for row in sweep.rows)
    left_out = [line for line in sweep.home("logs", sweep.job).stdout.splitlines() if "left out" in line]
    assert len(left_out) == 2
    assert all(truncated.name in line and "has changed since it was registered" in line for line in left_out)


def test_a_job_fails_if_no_image_can_be_read(broken: tuple[Sweep, Path, Sweep]) -> None:
    sweep = broken[2]
    assert sweep.status["state"] == "failed"
    assert " can't be read on " in sweep.status["error"]
    assert sweep.rows == []


# --- options ---


def test_a_sweep_of_one_class_with_the_probability_of_another(
    swept: dict[str, Sweep], val_images: list[Row], shapes_root: Path, model: nn.Module
) -> None:
    sweep = swept["class"]
    images = {image["id"]: image for image in val_images if image["class_name"] == "plain-circle"}
    assert [row["image_id"] for row in sweep.rows] == list(images)
    assert sweep.positions == []
    for row in sweep.rows:
        assert row["target_class"] == TARGET
        check_row(sweep, row, Loop(model, decoded(shapes_root, images[row["image_id"]]), GREY))


def test_images_given_by_file_and_by_id_give_the_same_rows(
    swept: dict[str, Sweep], val_images: list[Row], shapes_root: Path, model: nn.Module
) -> None:
    """A file stands for both of its objects. The square is filled with noise."""
    sweep = swept["files"]
    assert swept["ids"].job == swept["linked"].job == sweep.job
    images = {image["id"]: image for image in val_images}
    assert sorted(
        (Path(row["image_path"]).name, images[row["image_id"]]["object_number"]) for row in sweep.rows
    ) == [
        (Path(path).name, number)
        for path in sorted({row["image_path"] for row in sweep.rows})
        for number in (1, 2)
    ]
    assert len(sweep.rows) == 4
    drawn = torch.Generator().manual_seed(5)
    noise = torch.randint(256, (3, SIZE, SIZE), generator=drawn, dtype=torch.uint8).permute(1, 2, 0).numpy()
    for row in sweep.rows:
        assert (row["unit"], row["layer"], row["layer_path"]) == (UNIT, "conv1", "features.0")
        check_row(sweep, row, Loop(model, decoded(shapes_root, images[row["image_id"]]), noise, UNIT, layer=1))


def test_sweeps_of_whole_files_separate_inside_and_outside_of_the_box(
    swept: dict[str, Sweep], val_images: list[Row], shapes_root: Path, model: nn.Module
) -> None:
    sweep = swept["whole"]
    assert len(sweep.rows) == 2
    images = {image["id"]: image for image in val_images}
    for row in sweep.rows:
        image = images[row["image_id"]]
        pixels = decoded(shapes_root, image, whole=True)
        mean = np.broadcast_to(pixels.mean((0, 1)).round().astype(np.uint8), pixels.shape)
        loop = Loop(model, pixels, mean)
        check_row(sweep, row, loop)
        inside = np.zeros(loop.activation.shape, bool)
        for place in np.ndindex(inside.shape):
            y, x = ((STARTS[index] + PATCH / 2) / SIZE for index in place)
            inside[place] = (
                image["box_left"] <= x * image["width"] < image["box_right"]
                and image["box_top"] <= y * image["height"] < image["box_bottom"]
            )
        probability = loop.probabilities[:, :, NAMES.index(row["class_name"])]
        assert row["inside_probability"] == close(probability[inside].mean())
        assert row["outside_probability"] == close(probability[~inside].mean())
    summary = sweep.status["summary"]
    for name in ("inside", "outside"):
        mean_of_all = np.mean([row[f"{name}_probability"] for row in sweep.rows])
        assert summary[f"probability_{name}_box"] == pytest.approx(mean_of_all)
    others = [row for row in swept["plain"].rows if row["inside_probability"] is not None]
    assert others == []


def test_figures_show_a_search_of_the_same_weights(home: Home, swept: dict[str, Sweep]) -> None:
    by_file = swept["files"]
    asked = "submit", "--dataset", "shapes", "--split", "val", "--layer", "1"
    search, part = (out.strip() for out in answered(home, [asked, (*asked, "--units", f"{UNIT},9")]))
    wait_for(home, [search, part])
    ids = [word for row in by_file.rows[:2] for word in ("--image-id", row["image_id"])]
    again = submit(*SQUARE, *ids, "--fill", "noise", "--seed", 5, "--unit", UNIT, "--layer", "1", "--shards", 1)
    sweep = run_sweeps(home, {"": again})[""]
    assert sweep.job != by_file.job
    assert by_file.status["specification"]["top9_job_id"] is None
    assert sweep.status["specification"]["top9_job_id"] == int(search)
    for before, after in zip(by_file.rows[:2], sweep.rows, strict=True):
        widths = []
        for row in (before, after):
            with Image.open(home.home / "store" / row["picture_path"]) as picture:
                widths.append(picture.size[0])
        assert widths[1] > 1.1 * widths[0]
        assert {**before, "job_id": 0, "picture_path": ""} == {**after, "job_id": 0, "picture_path": ""}


# --- results ---


def test_results_in_every_format(home: Home, swept: dict[str, Sweep]) -> None:
    sweep, bare = swept["plain"], swept["class"]
    calls = [("results", sweep.job, *form) for form in ((), ("--json",), ("--format", "csv"))]
    table, as_json, as_csv, positions, few = answered(
        home,
        [
            *calls,
            ("results", sweep.job, "--positions", "--json"),
            ("results", bare.job, "--format", "csv"),
        ],
    )
    rows = json.loads(as_json)
    assert rows == [{name: row[name] for name in rows[0]} for row in sweep.rows]
    assert {"image_path", "class_name", "unit", "clear_probability", "min_probability", "class_changes",
            "correlation", "array_path", "picture_path"} <= set(rows[0])  # fmt: skip
    lines = list(csv.DictReader(io.StringIO(as_csv)))
    assert [line["image_path"] for line in lines] == [row["image_path"] for row in rows]
    assert [float(line["min_probability"]) for line in lines] == [row["min_probability"] for row in rows]
    assert len(table.splitlines()) == 1 + IMAGES
    assert "array_path" not in table
    assert json.loads(positions) == sweep.positions
    assert len(few.splitlines()) == 1 + len(bare.rows)


def test_results_that_a_sweep_does_not_have_are_refused(home: Home, swept: dict[str, Sweep]) -> None:
    options: list[tuple[tuple[str, ...], str]] = [
        (("--positions",), "--positions"),
        (("--best", "3"), "occlusion"),
        (("--statistics",), "occlusion"),
        (("--bottom",), "occlusion"),
        (("--per-class",), "occlusion"),
        (("--positions", "--bottom"), "exclusive"),
        (("--positions", "--html", "page.html"), "exclusive"),
        (("--ranks", "1"), "--ranks"),
    ]
    done = home.many([(("results", swept["class"].job, *words), {}) for words, _ in options])
    for outcome, (_, says) in zip(done, options, strict=True):
        refusal(outcome, 2, [says])
    (other,) = home.many([(("results", swept["class"].job, "--layer", "2"), {})])
    refusal(other, 4, ["'2'", "conv5"])


def test_filters_apply_to_every_output(home: Home, swept: dict[str, Sweep]) -> None:
    sweep = swept["plain"]
    rows = json.loads(answered(home, [("results", sweep.job, "--json")])[0])
    first = rows[-1]
    filters: list[tuple[tuple[object, ...], str]] = [
        (("--layer", "5", "--units", first["unit"]), "unit"),
        (("--image", first["image_id"]), "image_id"),
        (("--class", first["class_name"]), "class_name"),
    ]
    forms: list[tuple[object, ...]] = [("--json",), ("--positions", "--json")]
    calls = [("results", sweep.job, *words, *form) for words, _ in filters for form in forms]
    answers = iter(answered(home, calls))
    for _, column in filters:
        selected = [row for row in rows if row[column] == first[column]]
        images = {row["image_id"] for row in selected}
        assert json.loads(next(answers)) == selected
        assert json.loads(next(answers)) == [row for row in sweep.positions if row["image_id"] in images]


def test_the_page_is_self_contained(home: Home, swept: dict[str, Sweep], tmp_path: Path) -> None:
    sweep = swept["plain"]
    page = tmp_path / "deep" / "page.html"
    out, sheets = answered(
        home,
        [
            ("results", sweep.job, "--html", page),
            ("query", f"SELECT * FROM occlusion_jobs WHERE job_id = {sweep.job}", "--json"),
        ],
    )
    assert out.strip() == str(page)
    html = page.read_text()
    links = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert all(link.startswith("data:image/") for link in links)
    assert not re.search(r"https?://", html)
    store = home.home / "store"
    pictures = [json.loads(sheets)[0]["contact_sheet_path"], *(row["picture_path"] for row in sweep.rows)]
    for path in pictures:
        assert base64.b64encode((store / path).read_bytes()).decode() in html
    for words in ("conv5", sweep.rows[0]["image_path"], sweep.status["key"], "correlation"):
        assert words in html


def queries(job: str) -> list[str]:
    return [
        f"SELECT image_id FROM occlusion_maps WHERE job_id = {job} AND class_changes > 0 ORDER BY image_id",
        "SELECT class_name, count(*) AS images, avg(clear_probability - min_probability) AS fall "
        f"FROM occlusion_maps WHERE job_id = {job} GROUP BY class_name ORDER BY fall DESC",
        f"SELECT image_id, correlation FROM occlusion_maps WHERE job_id = {job} ORDER BY image_id",
        f"SELECT image_id, corr(activation, probability) AS correlation FROM occlusion_positions "
        f"WHERE job_id = {job} GROUP BY image_id ORDER BY image_id",
    ]


@pytest.mark.parametrize("where", ["sqlite", "postgresql"])
def test_typical_queries_return_the_expected_rows(
    request: pytest.FixtureRequest, swept: dict[str, Sweep], loops: dict[int, Loop], where: str
) -> None:
    sweep = swept["plain"] if where == "sqlite" else request.getfixturevalue("swept_elsewhere")
    asked = queries(sweep.job)[: 3 if where == "sqlite" else 4]  # SQLite has no corr()
    changing, falling, correlations, *own = map(
        json.loads, answered(sweep.home, [("query", sql, "--json") for sql in asked])
    )
    names = {row["image_id"]: row["class_name"] for row in sweep.rows}
    changed = [
        image for image, loop in sorted(loops.items())
        if (loop.classes != loop.clear.probabilities.argmax()).any()
    ]  # fmt: skip
    assert [row["image_id"] for row in changing] == changed
    by_class: dict[str, list[float]] = {}
    for image, loop in loops.items():
        truth = NAMES.index(names[image])
        fall = loop.clear.probabilities[truth] - loop.probabilities[:, :, truth].min()
        by_class.setdefault(names[image], []).append(fall)
    assert {row["class_name"]: row["images"] for row in falling} == {n: len(v) for n, v in by_class.items()}
    for row in falling:
        assert row["fall"] == pytest.approx(np.mean(by_class[row["class_name"]]), rel=1e-4, abs=1e-6)
    assert [row["fall"] for row in falling] == sorted((row["fall"] for row in falling), reverse=True)
    for rows in (correlations, *own):
        assert [row["image_id"] for row in rows] == sorted(loops)
        for row in rows:
            expected = loops[row["image_id"]].correlation(names[row["image_id"]])
            assert row["correlation"] == pytest.approx(expected, abs=1e-4)


def test_ls_lists_a_sweep_with_its_description(home: Home, swept: dict[str, Sweep]) -> None:
    listed, status, logs = answered(
        home, [("ls", "--kind", "occlusion"), ("status", swept["class"].job), ("logs", swept["class"].job)]
    )
    assert f"hide {PATCH} px, every {STRIDE}" in listed
    assert "train zfnet" not in listed
    assert "3 images, zfnet conv5" in status
    assert [stage for stage in ("sweep", "draw", "finish") if stage in status] == ["sweep", "draw", "finish"]
    assert "finish" in logs


def test_a_dry_run_estimates_the_cost(home: Home) -> None:
    before = home.jobs()
    images = ("--images", 7, "--patch", 24, "--stride", 4)
    printed = home(*submit(*images, "--dry-run")).stdout
    estimate = {line[:30].strip(): line[30:].strip() for line in printed.splitlines()}
    assert estimate["sweep"] == "7 images, 121 positions each"
    counted = re.fullmatch(
        r"full ([\d,]+) million, incremental ([\d,]+) million", estimate["multiplications per position"]
    )
    assert counted
    full, incremental = (int(number.replace(",", "")) for number in counted.groups())
    assert full == pytest.approx(multiplications(), rel=0.02)
    assert 0 < incremental < 1.5 * full
    assert re.match(
        r"(full|incremental): the incremental engine needs \d+% of the full engine's multiplications",
        estimate["engine"],
    )
    assert re.match(r"[\d.]+ s$", estimate["time of an image"])
    assert re.match(r"\d+:\d\d with 1 worker", estimate["time"])
    assert re.search(r"^  sweep +\d+:\d\d: 7 images at [\d.]+/s, measured on this machine \(cpu\)$", printed, re.M)
    assert home.jobs() == before


def multiplications() -> float:
    """Return the multiplications of the network's layers in millions; the map sizes are 31, 8, 3, 3, 3."""
    maps = [(3 * 49 * 64, 31), (64 * 25 * 192, 8), (192 * 9 * 384, 3), (384 * 9 * 256, 3), (256 * 9 * 256, 3)]
    return (sum(each * side**2 for each, side in maps) + 9216 * FC + FC * FC + FC * CLASSES) / 1e6


# --- invalid options ---


@pytest.fixture(scope="module")
def other_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a network with seven classes."""
    path = tmp_path_factory.mktemp("seven") / "zfnet.safetensors"
    safetensors.torch.save_file(reference.zfnet(7, FC).state_dict(), path)
    return path


def test_invalid_options_give_an_error_and_no_job(
    home: Home, swept: dict[str, Sweep], other_weights: Path, tmp_path: Path
) -> None:
    seven = ("--weights", other_weights, "--network", "zfnet", "--size", SIZE, "--fc", FC, "--classes", 7)
    stranger = tmp_path / "stranger.jpg"
    Image.new("RGB", (9, 9)).save(stranger)
    mistakes: list[tuple[tuple[object, ...], int, str]] = [
        (("--class", "dog"), 4, "'dog'"),
        (("--target", "cat"), 4, "'cat'"),
        (("--unit", 256), 4, "0 to 255"),
        (("--layer", "9"), 4, "'9'"),
        (("--layer", "features.1"), 2, "features.1"),
        (("--split", "holiday"), 4, "'holiday'"),
        (("--image", "VOC2007/JPEGImages/nowhere.jpg"), 4, "nowhere.jpg"),
        (("--image", stranger), 4, "stranger.jpg"),
        (("--image-id", 99_999), 4, "99999"),
        (("--run", 9_999), 4, "9999"),
        (("--patch", SIZE + 1), 2, f"{SIZE + 1} pixels"),
        (("--patch", 0), 2, "--patch"),
        (("--stride", 0), 2, "--stride"),
        (("--images", 0), 2, "--images"),
        (("--fill", "white"), 2, "white"),
        (("--engine", "fast"), 2, "fast"),
        (("--memory", 0), 2, "--memory"),
        (("--seed", -1), 2, "--seed"),
        (("--unit", -1), 2, "--unit"),
        (("--image", stranger, "--class", "plain-star"), 2, "--class"),
        (("--image-id", 1, "--split", "val"), 2, "--split"),
        (("--image-id", 1, "--images", 3), 2, "--images"),
        (("--patch", SIZE + 1, "--dry-run"), 2, f"{SIZE + 1} pixels"),
        (seven, 2, "7 classes"),
    ]
    before = home.jobs()
    calls = [submit(*options) for options, _, _ in mistakes] + [submit(dataset="nowhere")]
    done: list[Done] = home.many([(call, {}) for call in calls])
    expected = [(code, says) for _, code, says in mistakes] + [(4, "'nowhere'")]
    wrong = []
    for outcome, (code, says) in zip(done, expected, strict=True):
        try:
            refusal(outcome, code, [says])
        except AssertionError:
            wrong.append((outcome, code, says))
    assert wrong == []
    assert home.jobs() == before


def test_a_square_as_large_as_the_image_has_one_position(home: Home) -> None:
    sweep = run_sweeps(home, {"": submit("--patch", SIZE, "--images", 2, "--positions", "--shards", 1)})[""]
    assert [(row["positions"], row["correlation"]) for row in sweep.rows] == [(1, None)] * 2
    assert [(row["row"], row["col"]) for row in sweep.positions] == [(0, 0)] * 2
    assert (
        len({row["min_probability"] for row in sweep.rows if row["class_name"] == sweep.rows[0]["class_name"]})
        == 1
    )
