"""Pages of jobs: the list, a job with its parts that are read again, its log and its shards."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import insert, update
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from producer.gallery.application import create_app
from producer.gallery.page import Gallery
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Event, Job, JobState, LeftOutImage, Shard
from tests.integration.ledger.helpers import SHA256, claimed, finish, queued, top9, training

Read = Callable[[str], str]


@pytest.fixture
def job(ledger: Ledger) -> int:
    """A search of two shards a stage."""
    number, _ = ledger.submit(top9(1))
    ledger.take_unsent(100)
    return number


def add_jobs(gallery: Gallery, count: int) -> None:
    specification = top9(1).model_dump(mode="json")
    row = {"kind": "top9", "specification": specification, "dataset_id": 1, "state": JobState.DONE}
    rows = [{**row, "key": f"{n:064}", "shards_total": 6, "shards_left": 0} for n in range(count)]
    with gallery.database.write() as session:
        session.execute(insert(Job), rows)


def ids(client: TestClient, address: str) -> list[int]:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["jobs"]]


def test_all_jobs_are_listed_once_page_by_page(gallery: Gallery, client: TestClient) -> None:
    add_jobs(gallery, 120)
    address, found = "/jobs.json", []
    while address:
        answer = client.get(address).json()
        found.append([row["id"] for row in answer["jobs"]])
        address = answer["next"]
    assert [len(part) for part in found] == [50, 50, 20]
    assert [job for part in found for job in part] == list(range(120, 0, -1))


def test_jobs_are_filtered(gallery: Gallery, ledger: Ledger, client: TestClient, job: int) -> None:
    run, _ = ledger.submit(training(1))
    with gallery.database.write() as session:
        session.execute(update(Job).where(Job.id == run).values(state=JobState.FAILED, error="No space 100%_left"))
    assert ids(client, "/jobs.json") == [run, job]
    assert ids(client, "/jobs.json?kind=top9") == [job]
    assert ids(client, "/jobs.json?state=failed") == [run]
    assert ids(client, "/jobs.json?dataset=voc.2007") == [run, job]
    assert ids(client, "/jobs.json?dataset=other") == []
    assert ids(client, "/jobs.json?text=CONV5+zfnet") == [job]
    assert ids(client, "/jobs.json?text=100%25_LEFT") == [run]
    assert ids(client, "/jobs.json?text=conv5+space") == []
    assert ids(client, "/jobs.json?text=%25") == [run]  # a percent sign, and no wildcard


@pytest.mark.parametrize(
    "address",
    ["/jobs?kind=soup", "/jobs?state=odd", "/jobs?before=x", "/jobs?text=" + "a" * 300, "/jobs?text=%00"],
)
def test_odd_filters_are_refused(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 400
    assert "This address is not valid" in answer.text


def test_a_jobs_page_shows_what_is_known(gallery: Gallery, ledger: Ledger, page: Read, job: int) -> None:
    waits = page(f"/jobs/{job}")
    assert "waits for a worker: none that is running serves the queue analysis" in waits
    shard = queued(ledger, job)[0]
    ledger.heartbeat(claimed(ledger, shard, "host-cpu-abcdef"), 16)
    runs = page(f"/jobs/{job}")
    assert "host-cpu-abcdef" in runs
    assert "16 of 64 images" in runs
    assert "1 running, 1 queued" in runs or "1 queued, 1 running" in runs
    assert f'hx-get="/jobs/{job}/live"' in runs
    assert f"/jobs/{job}/events?after=" in runs
    for text in ("conv5 (2 units)", top9(1).weights_sha256, SHA256, top9(1).key(), "version 2 of the computation"):
        assert text in runs
    assert "analyze retry" not in runs


def test_an_ended_job_is_not_read_again(ledger: Ledger, page: Read, job: int) -> None:
    finish(ledger, job)
    for address in (f"/jobs/{job}", f"/jobs/{job}/live", f"/jobs/{job}/events?after=0"):
        assert "hx-trigger" not in page(address)
    assert f"analyze results {job} --html job{job}.html" in page(f"/jobs/{job}/live")


def test_a_failed_job_shows_its_first_error_and_how_to_go_on(ledger: Ledger, page: Read, job: int) -> None:
    for attempt in range(3):
        shard = queued(ledger, job)[0]
        ledger.fail(claimed(ledger, shard), f"the disk is full ({attempt})", again=True)
        ledger.take_unsent(100)
    shown = page(f"/jobs/{job}/live")
    assert "Job 1: failed." in shown
    assert "the disk is full (2)" in shown
    assert f"<code>analyze retry {job}</code>" in shown
    assert "hx-trigger" not in shown


def test_new_events_are_appended_and_old_ones_paged(gallery: Gallery, client: TestClient, job: int) -> None:
    with gallery.database.write() as session:
        session.execute(
            insert(Event), [{"job_id": job, "level": "info", "message": f"line {n}"} for n in range(450)]
        )
    shown = client.get(f"/jobs/{job}.json").json()
    assert [event["message"] for event in shown["events"]] == [f"line {n}" for n in range(250, 450)]
    earlier = client.get(shown["more_events"].replace("/log?", "/log.json?")).json()
    assert [event["message"] for event in earlier["events"]] == [f"line {n}" for n in range(50, 250)]
    nothing = client.get(f"/jobs/{job}/events.json?after={shown['last_event']}").json()
    assert (nothing["events"], nothing["last_event"]) == ([], shown["last_event"])
    with gallery.database.write() as session:
        session.add(Event(job_id=job, level="error", message="the last one"))
    new = client.get(f"/jobs/{job}/events?after={shown['last_event']}").text
    assert "the last one" in new
    assert "line 449" not in new
    assert f"after={shown['last_event'] + 1}" in new  # from where the next look goes on


def test_shards_are_listed_page_by_page(gallery: Gallery, client: TestClient, job: int) -> None:
    row = {
        "job_id": job, "stage": 9, "stage_name": "more", "queue": "cpu", "payload": {}, "state": "waiting",
        "work_total": 1,
    }  # fmt: skip
    with gallery.database.write() as session:
        session.execute(insert(Shard), [{**row, "number": number} for number in range(450)])
    seen, address = [], f"/jobs/{job}/shards.json?state=waiting"
    while address:
        answer = client.get(address).json()
        seen.append(len(answer["shards"]))
        address = answer["next"]
    assert seen == [200, 200, 54]  # with those of select, project and finish


def test_images_that_were_left_out_are_listed(gallery: Gallery, page: Read, job: int) -> None:
    with gallery.database.write() as session:
        session.add(LeftOutImage(job_id=job, image_id=1003, stage="search", reason="truncated file"))
    shown = page(f"/jobs/{job}")
    assert "truncated file" in shown
    assert 'href="/images/1003"' in shown


def test_what_made_a_job_of_another_version(gallery: Gallery, page: Read, job: int) -> None:
    with gallery.database.write() as session:
        session.execute(update(Job).values(key="0" * 64))
    assert "another version of the computation" in page(f"/jobs/{job}")


@pytest.mark.parametrize(
    "address", ["/jobs/77", "/jobs/77/live", "/jobs/77/log", "/jobs/77/shards", "/jobs/77/events"]
)
@pytest.mark.parametrize("form", ["", ".json"])
def test_a_job_that_does_not_exist(client: TestClient, address: str, form: str) -> None:
    answer = client.get(address + form)
    assert answer.status_code == 404
    assert "77" in (answer.json()["error"] if form else answer.text)


def test_numbers_that_no_database_has_are_not_found(client: TestClient) -> None:
    for address in (
        "/jobs/99999999999999999999",
        "/images/99999999999999999999",
        "/images/9999999999999/ab/240.webp",
    ):
        assert client.get(address).status_code == 404, address


def test_the_first_page_shows_what_runs(ledger: Ledger, page: Read, job: int) -> None:
    shard = queued(ledger, job)[0]
    ledger.heartbeat(claimed(ledger, shard), 16)
    for address in ("/", "/live"):
        shown = page(address)
        assert "top 9 of zfnet conv5, val" in shown
        assert re.search(r'<progress max="100" value="8\.3"', shown)  # 16 of 64 images of 2 of 6 shards
        assert 'hx-get="/live"' in shown


def test_workers_and_queues(gallery: Gallery, ledger: Ledger, client: TestClient, job: int) -> None:
    ledger.worker_seen("host-cpu-abcdef", "cpu", ["analysis"], 17)
    claimed(ledger, queued(ledger, job)[0], "host-cpu-abcdef")
    shown = client.get("/workers.json").json()
    [worker] = shown["workers"]
    assert (worker["alive"], worker["job_id"], worker["shard"]["stage"]) == (True, job, "search")
    queues = {queue["name"]: queue for queue in shown["queues"]}
    assert queues["analysis"] == {
        "name": "analysis", "jobs_waiting": 1, "shards_waiting": 1, "shards_running": 1, "workers": 1,
    }  # fmt: skip
    assert "host-cpu-abcdef" in client.get("/workers").text


def test_no_page_has_styles_or_scripts_inside(page: Read, job: int) -> None:
    for address in ("/", "/jobs", f"/jobs/{job}", f"/jobs/{job}/shards", "/workers", "/sql", "/datasets/voc.2007"):
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src)", page(address)), address


def test_every_route_only_reads_unless_changes_are_allowed(gallery: Gallery) -> None:
    def methods(app: Starlette) -> dict[str, set[str]]:
        routes = [route for route in app.routes if isinstance(route, Route)]
        assert len(routes) + 1 == len(app.routes)  # and that of the static files
        return {route.path: set(route.methods or ()) for route in routes}

    reading = methods(create_app(gallery))
    assert len(reading) > 20
    assert {frozenset(allowed) for allowed in reading.values()} == {frozenset({"GET", "HEAD"})}
    changing = methods(create_app(replace(gallery, form_key=b"key")))
    added = {path: changing[path] for path in changing.keys() - reading.keys()}
    assert added == {f"/jobs/{{job_id:int}}/{change}": {"POST"} for change in ("cancel", "retry", "priority")}
