"""Pages of training runs: the list, a run, a class of a run."""

from __future__ import annotations

import math

import pytest
from sqlalchemy import delete, update
from starlette.testclient import TestClient

from producer.gallery.page import Gallery
from producer.kinds.train.gallery.chart import Line, draw_chart, nice_ticks
from producer.kinds.train.gallery.confusion import LINKED, MOST_CELLS, read_confusion
from shared.database.networks import TrainingRun
from shared.jobs.tables import Job
from shared.kinds.train.tables import Answer, Epoch
from tests.hostile.test_pages import HOSTILE
from tests.unit.gallery.databases import DONE_RUN, FILTERS, RUNNING_RUN, SEARCH, Parsed, unsafe_parts

# --- the list ---


def runs_of(client: TestClient, query: str = "") -> list[int]:
    return [run["job_id"] for run in client.get(f"/runs.json{query}").raise_for_status().json()["runs"]]


def test_runs_are_listed_with_filters(client: TestClient) -> None:
    assert runs_of(client) == [RUNNING_RUN, DONE_RUN]
    assert runs_of(client, "?order=accuracy") == [DONE_RUN, RUNNING_RUN]
    assert runs_of(client, "?state=running") == [RUNNING_RUN]
    assert runs_of(client, "?recipe=square&network=circle&dataset=circle") == [RUNNING_RUN, DONE_RUN]
    for query in ("?recipe=other", "?network=other", "?dataset=other"):
        assert runs_of(client, query) == []
    page = Parsed(client.get("/runs").text)
    assert "/runs/1" in page.links
    assert "75.0\u00a0%" in page.words
    assert "3 of 3" in page.words
    assert "1 of 3" in page.words


@pytest.mark.parametrize("order", ["newest", "accuracy"])
def test_runs_are_read_in_pages(client: TestClient, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    monkeypatch.setattr("producer.kinds.train.gallery.runs.RUNS", 1)
    first = client.get(f"/runs.json?order={order}").json()
    second = client.get(first["next"].replace("/runs.json", "/runs.json")).json()
    expected = [RUNNING_RUN, DONE_RUN] if order == "newest" else [DONE_RUN, RUNNING_RUN]
    assert [run["job_id"] for page in (first, second) for run in page["runs"]] == expected
    assert second["next"] is None


@pytest.mark.parametrize("query", ["?order=x", "?state=x", "?after=x", "?after=1,x"])
def test_wrong_queries_of_the_list_are_refused(client: TestClient, query: str) -> None:
    assert client.get(f"/runs{query}").status_code == 400


def test_an_empty_list_says_what_to_do(client: TestClient, small: Gallery) -> None:
    with small.database.write() as session:
        session.execute(delete(TrainingRun))
    assert "There are no training runs yet" in client.get("/runs").text


# --- a run ---


def test_a_run_shows_curves_classes_checkpoints_and_jobs_that_rest_on_it(client: TestClient) -> None:
    page = Parsed(client.get(f"/runs/{DONE_RUN}").text)
    assert len([line for line in page.of("polyline") if line["class"].startswith("curve")]) == 4
    assert "Accuracy by epoch: training from 25 % to 75 %" in page.words
    assert "best accuracy" in page.words
    assert "kept epoch" in page.words
    assert f"/jobs/{SEARCH}" in page.links
    assert f"/jobs/{FILTERS}" in page.links
    pictures = [image["alt"] for image in page.of("img")]
    assert "Filters of the first layer of run 1, and the root mean square of each" in pictures
    assert f"First layer of job {FILTERS}" in pictures  # by the links of its kind
    assert f"/runs/{DONE_RUN}/classes/0?as=1" in page.links
    assert unsafe_parts(page) == []


def test_the_numbers_of_a_run_are_those_of_its_rows(client: TestClient) -> None:
    run = client.get(f"/runs/{DONE_RUN}.json").json()
    confusion = run["confusion"]
    assert confusion["images"] == 12
    assert [(row["name"], row["right"], row["images"], row["accuracy"]) for row in confusion["classes"]] == [
        ("circle", 3, 4, 0.75), ("square", 3, 4, 0.75), ("star", 3, 4, 0.75),
    ]  # fmt: skip
    assert [(row["true_class"], row["answer_class"], row["images"]) for row in confusion["confusions"]] == [
        ("circle", "square", 1), ("square", "star", 1), ("star", "circle", 1),
    ]  # fmt: skip
    assert len(confusion["matrix"]["cells"]) == 6
    assert [row["epoch"] for row in run["checkpoints"]] == [1, 3]
    assert len(run["epochs"]) == 6


def test_a_run_in_progress_is_followed(client: TestClient) -> None:
    running = Parsed(client.get(f"/runs/{RUNNING_RUN}").text)
    [live] = [values for _, values in running.elements if values.get("id") == "live"]
    assert live["hx-get"] == f"/runs/{RUNNING_RUN}"
    assert len(running.of("progress")) == 1
    assert len(running.of("circle")) == 4  # a single epoch is a dot
    done = Parsed(client.get(f"/runs/{DONE_RUN}").text)
    assert [values for _, values in done.elements if "hx-get" in values] == []


def test_a_run_without_epochs_or_of_another_version_has_a_page(client: TestClient, small: Gallery) -> None:
    with small.database.write() as session:
        session.execute(delete(Epoch).where(Epoch.job_id == RUNNING_RUN))
        session.execute(update(Job).where(Job.id == DONE_RUN).values(specification={"what": 1}))
    assert "No epoch has been validated yet" in client.get(f"/runs/{RUNNING_RUN}").text
    assert "of another version" in client.get(f"/runs/{DONE_RUN}").text
    assert "of another version" in client.get("/runs").text
    assert client.get(f"/runs/{DONE_RUN}/classes/0").status_code == 200


def test_unknown_runs_are_not_found(client: TestClient) -> None:
    for address in ("/runs/99", f"/runs/{SEARCH}", "/runs/99/classes/0", f"/runs/{DONE_RUN}/classes/3"):
        assert client.get(address).status_code == 404
        assert client.get(f"{address}.json").status_code == 404


# --- a class ---


def test_a_class_shows_its_answers_and_its_images(client: TestClient) -> None:
    page = client.get(f"/runs/{DONE_RUN}/classes/0.json?as=1").json()
    assert [(row["answer_class"], row["images"], row["share"]) for row in page["answers"]] == [
        ("circle", 3, 0.75), ("square", 1, 0.25),
    ]  # fmt: skip
    assert [(row["true_class"], row["images"]) for row in page["mistaken"]] == [("star", 1)]
    assert [image["path"] for image in page["images"]] == ["0.png", "3.png", "6.png", "9.png"]  # of val only
    shown = Parsed(client.get(f"/runs/{DONE_RUN}/classes/0?as=1").text)
    assert {"class": "marked"} in shown.of("tr")
    picture = client.get(page["images"][0]["picture"])
    assert (picture.status_code, picture.headers["content-type"]) == (200, "image/webp")


def test_images_of_a_class_are_read_in_pages(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producer.kinds.train.gallery.run_class.IMAGES", 3)
    first = client.get(f"/runs/{DONE_RUN}/classes/0.json").json()
    second = client.get(first["next"]).json()
    assert [image["path"] for page in (first, second) for image in page["images"]] == [
        "0.png", "3.png", "6.png", "9.png",
    ]  # fmt: skip


# --- a large matrix, charts ---


def test_a_matrix_of_many_classes_stays_small(client: TestClient, small: Gallery) -> None:
    classes = 300
    assert classes > LINKED
    with small.database.write() as session:
        session.execute(delete(Answer))
        session.add_all(
            Answer(
                job_id=DONE_RUN, true_index=true, answer_index=(true + step) % classes, true_class=f"c{true}",
                answer_class=f"c{(true + step) % classes}", images=100 if step == 0 else 1,
            )
            for true in range(classes)
            for step in range(30)
        )  # fmt: skip
    with small.database.read() as session:
        confusion = read_confusion(session, DONE_RUN)
    assert confusion is not None
    assert confusion.matrix.left_out == classes * 30 - MOST_CELLS
    assert confusion.matrix.cells == []
    text = client.get(f"/runs/{DONE_RUN}").text
    assert len(text) < 600_000
    page = Parsed(text)
    assert f"/runs/{DONE_RUN}/classes/299" in page.links  # a row is a link
    assert "The 1,000 cells of the smallest shares are left out" in page.words


def test_charts_leave_gaps_where_values_are_not_finite() -> None:
    values = [(1, 2.0), (2, math.nan), (3, 1.0), (4, 0.5), (5, math.inf), (6, 0.4)]
    chart = draw_chart("Loss", [Line("a", 0, values), Line("b", 9, [(1, math.nan)])])
    assert chart is not None
    [line] = chart.lines
    assert len(line.parts) == 1
    assert len(line.dots) == 2
    assert chart.sentence == "Loss by epoch: a from 2 to 0.4, between 0.4 and 2."
    assert draw_chart("Loss", [Line("a", 0, [(1, math.inf)])]) is None


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 0.36, [0, 0.1, 0.2, 0.3, 0.4]),
        (0, 0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-3, 3, [-3, -2, -1, 0, 1, 2, 3]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high, 5 if low == 0 else 6) == pytest.approx(ticks)


# --- names from outside ---


@pytest.mark.parametrize("address", ["/runs", "/runs/1", "/runs/2", "/runs/1/classes/0?as=1", "/compare?runs=1,2"])
def test_names_add_no_markup(hostile: TestClient, address: str) -> None:
    page = Parsed(hostile.get(address).raise_for_status().text)
    assert unsafe_parts(page) == []
    assert HOSTILE[0] in page.words
