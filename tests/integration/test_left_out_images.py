"""Images that a job leaves out because their content can't be decoded are a part of its result."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from shared.database.datasets import Image
from shared.jobs.left_out import LEFT_OUT
from shared.jobs.tables import Job, LeftOutImage, Shard, ShardState
from tests.faults.content import content_of
from tests.integration.machines import ELSEWHERE, HERE, SAME, Machines

REASON = "its content has changed since it was registered, and is broken"
# Of each kind, the parts that read images; with the search, the rows and the summary are tested on both databases.
KINDS = [("sqlite", "top9"), ("postgresql", "top9"), ("sqlite", "occlusion"), ("postgresql", "train")]
# What these tests read and write, others of this module read and write on the other database.
ONE_DATABASE = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


class Broken:
    """Files of the data set whose content is replaced."""

    def __init__(self, machines: Machines, files: int = 2, every: int = 2) -> None:
        paths = sorted(machines.root.rglob("*.jpg"))
        self.contents = {path: path.read_bytes() for path in paths[::every][:files]}
        for path in self.contents:
            path.write_bytes(b"no image")

    def restore(self) -> None:
        for path, content in self.contents.items():
            path.write_bytes(content)


def rows(machines: Machines, job: str) -> list[dict[str, Any]]:
    query = (
        "SELECT l.*, i.path, i.object_number, i.sha256 FROM left_out_images l JOIN images i ON i.id = l.image_id"
    )
    return machines.analyze.json("query", f"{query} WHERE l.job_id = {job} ORDER BY l.image_id")


def content(machines: Machines, job: str) -> dict[str, list[str]]:
    return content_of(machines.database, int(job))


def undisturbed(machines: Machines, kind: str = "top9") -> dict[str, list[str]]:
    """Run a job that leaves out no image, and return its content."""
    whole = machines.submit(kind)
    machines.run_all(HERE)
    return content(machines, whole)


@pytest.mark.parametrize(("database_url", "kind"), KINDS, indirect=["database_url"])
def test_left_out_images_are_rows_and_part_of_the_summary(machines: Machines, kind: str) -> None:
    broken = Broken(machines)
    job = machines.submit(kind)
    other = None if kind == "train" else machines.submit(kind, "--shards", 1)
    machines.run_all(HERE)
    found, status = rows(machines, job), machines.status(job)
    assert {Path(row["path"]).name for row in found} == {path.name for path in broken.contents}
    stage = {"top9": "search", "occlusion": "sweep", "train": "train"}[kind]
    assert {(row["stage"], row["reason"], row["worker"]) for row in found} == {(stage, REASON, HERE)}
    lines = sorted(json.dumps([row[n] for n in ("sha256", "path", "object_number", "reason")]) for row in found)
    assert status["summary"][LEFT_OUT] == status[LEFT_OUT] == len(found) > 0
    assert status["summary"]["images_left_out_sha256"] == hashlib.sha256("\n".join(lines).encode()).hexdigest()
    if other:  # with another number of shards
        assert content(machines, other) == content(machines, job)
    assert f"{len(found)} images were left out" in machines.analyze("status", job).stdout
    assert machines.analyze.json("ls")[0][LEFT_OUT] == len(found)
    assert "left out" in machines.analyze("ls").stdout
    assert machines.analyze("logs", job).stdout.count(f"left out: {REASON}") == len(found)
    assert machines.analyze.json("verify", job)["wrong"] == []


def test_verify_names_images_that_can_be_read_and_changed_rows(machines: Machines) -> None:
    broken = Broken(machines)
    job = machines.submit()
    machines.run_all(HERE)
    broken.restore()
    wrong = json.loads(machines.analyze("verify", job, "--json", code=1).stdout)["wrong"]
    assert len(wrong) == len(rows(machines, job))
    assert all("left out, but can be read" in line for line in wrong)
    for change, said in (("SET reason = 'another'", "was changed"), (None, "left_out_images has 0")):
        with machines.database.write() as session:
            if change:
                session.execute(update(LeftOutImage).values(reason="another"))
            else:
                for row in session.scalars(select(LeftOutImage)):
                    session.delete(row)
        wrong = json.loads(machines.analyze("verify", job, "--json", "--sample", 0, code=1).stdout)["wrong"]
        assert said in wrong[0]


@pytest.mark.parametrize(
    ("database_url", "kind"),
    [("sqlite", "top9"), ("postgresql", "top9"), ("postgresql", "occlusion")],
    indirect=["database_url"],
)
def test_retry_of_a_done_job_makes_its_result_right(machines: Machines, kind: str) -> None:
    whole = undisturbed(machines, kind)
    broken = Broken(machines, files=1)
    job = machines.submit(kind)
    machines.run_all(HERE)
    assert content(machines, job) != whole
    broken.restore()
    machines.analyze("retry", job)
    assert len(machines.shards(ShardState.QUEUED)) == 1  # the other shard left out none
    assert len(machines.shards(ShardState.WAITING)) == {"top9": 4, "occlusion": 3}[kind]  # of all later stages
    assert machines.status(job)["summary"] is None
    machines.run_all(HERE)
    assert content(machines, job) == whole
    assert rows(machines, job) == []
    assert machines.status(job)["shards_left"] == 0
    assert "it can't be retried" in machines.analyze("retry", job, code=2).stderr


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_image_that_one_epoch_of_an_evolution_leaves_out_is_recorded(machines: Machines) -> None:
    run = machines.submit("train")
    machines.run_all(HERE)
    job = machines.analyze("submit", "evolution", "--run", run, "--layers", 1, "--draw", 1).stdout.strip()
    broken = Broken(machines, files=1)
    for number in (0, -1):  # shards of the first and of the last epoch
        machines.run(
            HERE, [shard for shard in machines.shards(ShardState.QUEUED) if shard.payload["start"] == 0][number]
        )
        broken.restore()
    left_out = rows(machines, job)
    assert {Path(row["path"]).name for row in left_out} == {path.name for path in broken.contents}
    machines.run_all(HERE)
    assert rows(machines, job) == left_out
    assert machines.status(job)["summary"][LEFT_OUT] == len(left_out)
    machines.analyze("retry", job)
    machines.run_all(HERE)
    assert rows(machines, job) == []


@ONE_DATABASE
def test_retry_while_the_images_are_still_broken_gives_the_same_result(machines: Machines) -> None:
    Broken(machines)
    job = machines.submit()
    machines.run_all(HERE)
    before = content(machines, job)
    machines.analyze("retry", job)
    machines.run_all(HERE)
    assert content(machines, job) == before


@ONE_DATABASE
def test_retry_of_a_failed_job_runs_shards_that_left_out_images_again(machines: Machines) -> None:
    whole = undisturbed(machines)
    broken = Broken(machines, files=1)
    job = machines.submit()
    while machines.shards(ShardState.QUEUED)[0].stage_name != "finish":
        machines.run(HERE)
    machines.analyze("cancel", job)
    broken.restore()
    machines.analyze("retry", job)
    machines.run_all(HERE)
    assert content(machines, job) == whole


@ONE_DATABASE
def test_a_done_training_run_is_not_retried(machines: Machines) -> None:
    Broken(machines, files=1)
    job = machines.submit("train")
    machines.run_all(HERE)
    refused = machines.analyze("retry", job, code=2)
    assert "`analyze submit train --force`" in refused.stderr
    assert machines.status(job)["state"] == "done"


def test_a_job_is_not_retried_while_another_one_uses_it(machines: Machines) -> None:
    Broken(machines, files=1)
    job = machines.submit()
    machines.run_all(HERE)
    user = machines.submit("occlusion")
    with machines.database.write() as session:  # as if the search had been of all units
        entry = session.get_one(Job, int(user))
        entry.specification = {**entry.specification, "top9_job_id": int(job)}
    refused = machines.analyze("retry", job, code=2)
    assert f"used by job {user}" in refused.stderr


def test_the_files_of_one_machine_are_suspected(machines: Machines) -> None:
    """Only the machine of the first shard has other files."""
    job = machines.submit()
    broken = Broken(machines, files=24, every=1)
    machines.run(HERE)
    broken.restore()
    machines.run_all(ELSEWHERE)
    (warning,) = machines.status(job)["warnings"]
    assert warning.startswith("a-1 left out ")
    assert "the other machines 0 of their" in warning
    assert warning in machines.analyze("logs", job).stdout
    assert "warning: a-1 left out" in machines.analyze("status", job).stdout.replace("\n", " ")
    check = machines.images_check()
    assert not check["well"]
    assert warning in check["found"]
    assert machines.images_check_of_doctor() == check
    machines.analyze("retry", job)
    machines.run_all(ELSEWHERE)
    assert machines.status(job)["warnings"] == []
    assert machines.images_check()["well"]


def test_images_that_every_machine_leaves_out_are_no_suspicion(machines: Machines) -> None:
    job = machines.submit()
    Broken(machines, files=12)
    machines.run(HERE)
    machines.run_all(ELSEWHERE)
    status = machines.status(job)
    assert status[LEFT_OUT] > 0
    assert status["warnings"] == []


def test_a_job_of_an_earlier_version_is_named_and_can_be_retried(machines: Machines) -> None:
    """It left out images without recording which, and marked no shard."""
    whole = undisturbed(machines)
    broken = Broken(machines, files=1)
    job, run = machines.submit(), machines.submit("train")
    machines.run_all(HERE)
    broken.restore()
    with machines.database.write() as session:
        for row in session.scalars(select(LeftOutImage)):
            session.delete(row)
        for shard in session.scalars(select(Shard)):
            shard.payload = {key: value for key, value in shard.payload.items() if key != LEFT_OUT}
        for entry in session.scalars(select(Job)):
            entry.summary = {k: v for k, v in (entry.summary or {}).items() if k != "images_left_out_sha256"}
    check = machines.images_check()
    assert f"job {job} by an earlier version" in check["found"]
    assert f"job {run} by an earlier version" in check["found"]
    assert "`analyze retry JOB`" in check["found"]
    machines.analyze("verify", job, code=1)
    machines.analyze("retry", job)
    machines.run_all(HERE)
    assert content(machines, job) == whole
    assert f"job {job} by" not in machines.images_check()["found"]


@ONE_DATABASE
def test_a_second_attempt_leaves_no_rows_of_the_first(machines: Machines) -> None:
    """The first attempt's worker is stopped before it completes the shard."""
    broken = Broken(machines)
    job = machines.submit("train")
    claimed = machines.shards(ShardState.QUEUED)[0]
    claim = machines.ledger.claim(claimed.id, SAME)
    assert claim is not None
    machines.ledger.fail(claim, "stopped", again=True)
    broken.restore()
    machines.run_all(HERE)
    assert rows(machines, job) == []
    with machines.database.read() as session:
        assert session.scalars(select(Image.id)).all()
