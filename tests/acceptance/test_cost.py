"""The cost of jobs of all kinds before they are submitted, and what the same jobs then wrote and took."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from shared.kinds import kind_names
from tests.acceptance.conftest import FC, SIZE
from tests.conftest import Analyze

EPOCHS = 2
KINDS = sorted({*kind_names()} - {"evolution"})  # which needs a training run: see test_evolution_job
NETWORK = ("--size", SIZE, "--fc", FC)
HUGE = ("submit", "train", "--dataset", "shapes", "--size", 64, "--epochs", 10_000, "--batch-size", 4)


class Home(Analyze):
    """A home with the data set ``shapes`` and a worker."""

    def dump(self) -> list[str]:
        """Return every row of the database, but those of workers, which change all the time."""
        with sqlite3.connect(f"file:{self.home / 'unitscope.sqlite3'}?mode=ro", uri=True) as connection:
            return [line for line in connection.iterdump() if not line.startswith('INSERT INTO "workers"')]

    def cost(self, job: Sequence[object]) -> Any:
        return self.json(*job, "--dry-run")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, shapes_root: Path) -> Iterator[Home]:
    command = Home(tmp_path_factory.mktemp("cost") / "home")
    command("dataset", "add", "shapes", "--root", shapes_root)
    yield command
    command.end()


@pytest.fixture(scope="module")
def jobs(home: Home, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[object, ...]]:
    """A request of each kind; units of the given weights are active."""
    objects = home.json("query", "SELECT path, object_number, box_left, box_top FROM images ORDER BY id LIMIT 4")
    boxes = tmp_path_factory.mktemp("boxes") / "boxes.csv"
    boxes.write_text(
        "image,object,part,left,top,right,bottom\n"
        + "".join(
            f"{path},{number},eye,{left},{top},{left + 9},{top + 9}\n"
            for path, number, left, top in (row.values() for row in objects)
        )
    )
    network = ("--dataset", "shapes", "--weights", weights, "--network", "zfnet", *NETWORK)
    return {
        "train": ("submit", "train", "--dataset", "shapes", *NETWORK, "--epochs", EPOCHS, "--batch-size", 16),
        "top9": ("submit", "top9", *network, "--layer", 5, "--units", "0-3", "--shards", 1),
        "occlusion": ("submit", "occlusion", *network, "--images", 2, "--patch", 16, "--stride", 16),
        "filters": ("submit", "filters", *network, "--layer", "conv1,conv2"),
        "features": ("submit", "features", *network, "--images", 2, "--layer", 5, "--arrays"),
        "invariance": ("submit", "invariance", *network, "--images", 2),
        "correspondence": ("submit", "correspondence", *network, "--boxes", boxes, "--draws", 2),
        "probe": ("submit", "probe", *network, "--folds", 2, "--layer", "conv1,fc6"),
    }


@pytest.fixture(scope="module")
def before(home: Home, jobs: dict[str, tuple[object, ...]]) -> dict[str, Any]:
    """The cost that is estimated of each kind, in a home without any job, and without a worker."""
    content = home.dump()
    costs = {kind: home.cost(job) for kind, job in jobs.items()}
    assert home.dump() == content  # not even the description of a network
    return costs


@pytest.fixture(scope="module")
def done(home: Home, jobs: dict[str, tuple[object, ...]], before: dict[str, Any]) -> dict[str, int]:
    """The jobs, done by a worker."""
    home.up("--devices", "cpu")
    done: dict[str, int] = {}
    first = ("train", "top9")  # a sweep has the top images of a search that is done
    for together in (first, [kind for kind in jobs if kind not in first]):
        done |= {kind: int(home(*jobs[kind]).stdout) for kind in together}
        for kind in together:
            home("watch", done[kind])
    return done


def test_the_requests_are_of_all_kinds(jobs: dict[str, tuple[object, ...]]) -> None:
    assert sorted(jobs) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_the_estimate_without_earlier_jobs_is_near_what_a_job_then_writes(
    home: Home, before: dict[str, Any], done: dict[str, int], kind: str
) -> None:
    cost, status = before[kind], home.json("status", done[kind])
    (row,) = home.json("query", f"SELECT count(*) AS files, sum(bytes) AS bytes FROM artifacts "
                       f"WHERE job_id = {done[kind]}")  # fmt: skip
    written = row["files"] + (kind == "train")  # the training state has no row
    assert written <= cost["files"] <= 2 * written
    assert status["bytes"] <= 1.1 * cost["bytes"] <= 2.2 * status["bytes"], (cost["bytes"], status["bytes"])
    assert cost["fits"] is True
    assert cost["like_job"] is cost["existing_job"] is None
    assert cost["shards"] == status["shards_total"]
    counted = [stage for stage in cost["stages"] if stage["unit"]]
    assert {stage["measured"] for stage in counted} == {"this machine (cpu)"}
    assert cost["seconds"] == pytest.approx(sum(stage["seconds"] or 0 for stage in cost["stages"]))
    assert all(stage["seconds"] > 0 for stage in counted)


@pytest.mark.parametrize("kind", KINDS)
def test_the_estimate_after_such_a_job_is_what_it_wrote_and_took(
    home: Home, jobs: dict[str, tuple[object, ...]], done: dict[str, int], kind: str
) -> None:
    content = home.dump()
    cost, job = home.cost(jobs[kind]), done[kind]
    assert cost["existing_job"] == job
    if kind != "occlusion":  # whose figures now have the top images of the search as well
        assert cost["like_job"] == job
        assert cost["bytes"] == pytest.approx(home.json("status", job)["bytes"], rel=1e-3)
    assert [stage["measured"] for stage in cost["stages"]] == [
        stage["measured"] for stage in cost["stages"] if f" in job {job}" in stage["measured"]
    ]
    assert all(stage["measured"].startswith("worker ") for stage in cost["stages"])
    seconds = home.json(
        "query", "SELECT sum((julianday(finished_at) - julianday(started_at)) * 86400) AS seconds FROM shards "
        f"WHERE job_id = {job}",
    )[0]["seconds"]  # fmt: skip
    assert cost["seconds"] == pytest.approx(seconds, rel=0.01)
    assert home.dump() == content


def test_the_cost_for_people(home: Home, jobs: dict[str, tuple[object, ...]], done: dict[str, int]) -> None:
    lines = home(*jobs["train"], "--dry-run")
    assert f"job {done['train']}" in lines.stderr
    for word in ("images", "shards", "files", "size", "free space", "time", "measured on worker"):
        assert word in lines.stdout


def test_a_job_keeps_its_number_of_shards(home: Home, done: dict[str, int]) -> None:
    """By default it depends on the speed of earlier jobs, which can change."""
    found = {row["kind"]: json.loads(row["specification"]) for row in home.json(
        "query", "SELECT kind, specification FROM jobs"
    )}  # fmt: skip
    counts = {kind: specification["shards"] for kind, specification in found.items() if "shards" in specification}
    assert set(counts) == {*done} - {"train"}
    assert all(counts.values()), counts


def test_sizes_are_listed_with_jobs(home: Home, done: dict[str, int]) -> None:
    listed = {row["id"]: row for row in home.json("ls")}
    usage = home.json("du")
    assert {row["job_id"]: row["bytes"] for row in usage["jobs"]} == {
        job: row["bytes"] for job, row in listed.items()
    }
    assert sum(usage["kinds"].values()) == sum(row["bytes"] for row in listed.values())
    store = home.home / "store"
    files = [file for file in store.rglob("*") if file.is_file() and file != store / "store.json"]
    in_store = sum(usage["kinds"].values()) + usage["incoming"] + usage["other"]
    assert in_store == sum(file.stat().st_size for file in files)
    (weights,) = home.json("query", "SELECT bytes FROM checkpoints WHERE kind = 'state'")
    assert listed[done["train"]]["bytes"] > weights["bytes"] > 0
    assert "MB" in home("ls").stdout
    assert "files written: " in home("status", done["train"]).stdout
    assert f"and {len(listed) - 1} more jobs" in home("du", "--limit", 1).stdout


def test_a_job_that_the_store_cannot_hold_is_refused(home: Home, before: dict[str, Any]) -> None:
    jobs = home.json("ls")
    refused = home(*HUGE, code=2)
    assert "--ignore-space" in refused.stderr
    assert " GB" in refused.stderr
    assert home.cost(HUGE)["fits"] is False
    assert home.json("ls") == jobs
    job = home(*HUGE, "--ignore-space").stdout.strip()
    home("cancel", job)
    home("watch", job, code=1)  # until the worker has stopped
    assert home(*HUGE).stdout.strip() == job  # it exists, so nothing has to be stored


def test_json_is_for_dry_runs(home: Home, jobs: dict[str, tuple[object, ...]]) -> None:
    assert "--dry-run" in home(*jobs["train"], "--json", code=2).stderr


def test_old_jobs_are_pruned_after_a_question(home: Home, done: dict[str, int]) -> None:
    with sqlite3.connect(home.home / "unitscope.sqlite3") as connection:
        connection.execute("UPDATE jobs SET finished_at = '2020-01-01', created_at = '2020-01-01'")
        connection.execute("UPDATE events SET at = '2020-01-01'")
    old = home.json("prune", "--older-than", "90d", "--keep", 1)
    assert old["removed"] is False
    assert {job["job_id"] for job in old["jobs"]} == set(done.values())
    assert old["bytes"] == sum(home.json("status", job)["bytes"] for job in done.values())
    assert "--yes" in home("prune", "--older-than", "90d", "--delete", code=2).stderr
    assert "90d" in home("prune", "--older-than", "90", code=2).stderr
    home("prune", "--older-than", "90d", "--state", "done", "--delete", "--yes")
    assert {row["state"] for row in home.json("ls")} == {"cancelled"}
    assert home.json("prune", "--older-than", "1h", "--events", "--delete")["removed"] is True
    assert home.json("query", "SELECT count(*) AS n FROM events")[0]["n"] == 0
    assert home.json("du")["of_removed_jobs"] > 0
