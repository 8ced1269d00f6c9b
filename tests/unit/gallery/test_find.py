"""Questions about kept maxima, similar units, and links and reports of jobs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, update
from starlette.testclient import TestClient

from producer.gallery.access.headers import DOCUMENT_POLICY
from producer.gallery.page import Gallery
from producer.gallery.report import job_links
from shared.jobs.tables import Job
from shared.kinds.filters.tables import FiltersJob
from shared.kinds.top9.tables import SearchedLayer
from tests.hostile.test_pages import HOSTILE
from tests.unit.gallery.databases import (
    DONE_RUN,
    FILTERS,
    IMAGES,
    OTHER_SEARCH,
    SEARCH,
    SWEEP,
    UNITS,
    Parsed,
    unsafe_parts,
)

VALUES = np.random.default_rng(0).normal(0, 5, (UNITS, IMAGES - 2)).astype(np.float32)  # of the first layer


def found(client: TestClient, **query: Any) -> dict[str, Any]:
    answer: dict[str, Any] = client.get("/find.json", params=query).raise_for_status().json()
    return answer


def test_without_a_question_there_is_a_form_of_the_newest_search(client: TestClient) -> None:
    page = found(client)
    assert (page["job_id"], page["images"], page["units"]) == (SEARCH, None, None)
    assert [search["job_id"] for search in page["searches"]] == [SEARCH]  # the other one kept none
    for question in ("images", "units", "like", "similar"):
        shown = Parsed(client.get(f"/find?question={question}").text)
        assert unsafe_parts(shown) == []
        assert "required" in next(box for box in shown.of("input") if box.get("type") != "hidden")


def test_images_that_activate_a_unit(client: TestClient) -> None:
    page = found(client, units="square:1", top=3)
    assert [image["image_id"] for image in page["images"]] == [int(at) + 1 for at in np.argsort(-VALUES[1])[:3]]
    assert [image["activations"] for image in page["images"]] == [
        [pytest.approx(float(value))] for value in np.sort(VALUES[1])[::-1][:3]
    ]
    shown = Parsed(client.get("/find?units=square:1&top=3").text)
    assert next(link for link in shown.links if link.startswith("/images/")) == page["images"][0]["address"]
    assert client.get(page["images"][0]["picture"]).status_code == 200


def test_units_that_an_image_activates(client: TestClient) -> None:
    page = found(client, question="units", image=4, layer="square")
    active = {int(unit) for unit in np.flatnonzero(VALUES[:, 3] > 0)}
    assert {unit["unit"] for unit in page["units"]} == active
    assert page["units"][0]["address"].startswith(f"/jobs/{SEARCH}/layers/square/units/")


def test_images_like_an_image(client: TestClient) -> None:
    page = found(client, question="like", image=4, units="square", metric="l2", top=50)
    distances = np.linalg.norm(VALUES - VALUES[:, 3:4], axis=0)
    assert len(page["images"]) == IMAGES - 3
    assert 4 not in [image["image_id"] for image in page["images"]]
    assert len(distances) == IMAGES - 2


def test_units_like_a_unit(client: TestClient) -> None:
    page = found(client, question="similar", unit="square:1", layer="square")
    expected = {unit: float(np.corrcoef(VALUES[1], VALUES[unit])[0, 1]) for unit in (0, 2, 3)}
    order = sorted(expected, key=lambda unit: -expected[unit])
    assert [unit["unit"] for unit in page["units"]] == order
    assert page["units"][0]["correlation"] == pytest.approx(expected[order[0]], abs=1e-5)
    assert page["units"][0]["patches_path"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"units": "other:1"}, "has no layer 'other'"),
        ({"units": "square:99"}, "no unit 99"),
        ({"units": ","}, "names no unit"),
        ({"units": "square:1", "class": "dog"}, "has no class 'dog'"),
        ({"question": "units", "image": IMAGES}, "did not search image"),
        ({"question": "like", "image": 999}, "no image with the id 999"),
        ({"question": "similar", "unit": "square:0-2"}, "names 3 units"),
    ],
)
def test_a_question_that_has_no_answer_says_why(client: TestClient, query: dict[str, Any], words: str) -> None:
    page = found(client, **query)
    assert words in page["problem"]
    assert (page["images"], page["units"]) == (None, None)
    assert words in Parsed(client.get("/find", params=query).text).words


def test_a_unit_that_is_not_finite_is_named(client: TestClient, small: Gallery) -> None:
    with small.database.write() as session:
        layer = session.get_one(SearchedLayer, 1)
        values = VALUES.copy()
        values[1, 0] = np.nan
        layer.maxima_path = small.store.write(".npy", lambda file: np.save(file, values)).path
    for query in ({"units": "square:1"}, {"question": "similar", "unit": "square:1"}):
        page = found(client, **query)
        assert "not a finite number" in page["problem"]


def test_a_search_of_another_version_leaves_the_form(client: TestClient, small: Gallery) -> None:
    with small.database.write() as session:
        job = session.get_one(Job, SEARCH)
        job.specification, job.key = {**job.specification, "layers": 1}, "e" * 64
    page = found(client)
    assert "choose another search" in page["problem"]
    assert client.get(f"/find?job={SEARCH}").status_code != 200


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"job": 99}, 404),
        ({"job": DONE_RUN}, 400),
        ({"job": OTHER_SEARCH}, 400),  # kept no maxima
        ({"question": "x"}, 400),
        ({"question": "like", "image": "/etc/passwd"}, 400),  # only ids
        ({"question": "like", "image": "0.png"}, 400),
        ({"units": "square:1", "top": 10**6}, 400),
        ({"job": "1' OR 1=1"}, 400),
    ],
)
def test_wrong_queries_are_refused(client: TestClient, query: dict[str, Any], status: int) -> None:
    assert client.get("/find", params=query).status_code == status


def test_without_a_search_the_page_says_so(client: TestClient, small: Gallery) -> None:
    with small.database.write() as session:
        session.execute(update(SearchedLayer).values(maxima_path=None))
    assert "There is no search yet that kept its maxima" in client.get("/find").text


def test_missing_maxima_are_named(client: TestClient, small: Gallery) -> None:
    with small.database.read() as session:
        path = session.get_one(SearchedLayer, 1).maxima_path
    assert path
    small.store.locate(path).unlink()
    answer = client.get("/find?units=square:1")
    assert answer.status_code == 404
    assert path[3:20] in answer.text


# --- similar units on the page of a unit ---


def test_the_page_of_a_unit_loads_similar_ones(client: TestClient) -> None:
    unit = Parsed(client.get(f"/jobs/{SEARCH}/layers/square/units/1").text)
    [section] = unit.of("section")
    assert section["hx-get"] == f"/jobs/{SEARCH}/layers/square/units/1/similar"
    similar = client.get(section["hx-get"])
    assert {"id": "similar"} in Parsed(similar.text).of("section")
    values = client.get(section["hx-get"] + ".json").json()
    assert len(values["units"]) == 7  # of two layers, without itself
    without = Parsed(client.get(f"/jobs/{OTHER_SEARCH}/layers/square/units/1").text)
    assert without.of("section") == []


@pytest.mark.parametrize(
    ("address", "status"),
    [("3/layers/square/units/99", 404), ("3/layers/x/units/1", 404), ("6/layers/square/units/1", 400)],
)
def test_similar_units_of_what_is_not_there(client: TestClient, address: str, status: int) -> None:
    assert client.get(f"/jobs/{address}/similar").status_code == status


# --- links and reports of jobs ---


def test_jobs_lead_to_what_they_found(client: TestClient, small: Gallery) -> None:
    with small.database.read() as session:
        jobs = {number: session.get_one(Job, number) for number in (DONE_RUN, SEARCH, SWEEP, FILTERS)}
    links = {number: job_links(small, job) for number, job in jobs.items()}
    assert [link.address for link in links[DONE_RUN]] == [f"/runs/{DONE_RUN}"]
    assert [link.title for link in links[FILTERS]] == ["First layer", "square of circle", "Report"]
    assert links[FILTERS][-1].address == f"/jobs/{FILTERS}/report"
    for listed in links.values():
        for link in listed:
            assert client.get(link.address).status_code == 200, link
    with small.database.write() as session:
        session.execute(delete(FiltersJob))
    assert [link.title for link in job_links(small, jobs[FILTERS])] == ["square of circle", "Report"]


def test_a_report_has_a_policy_of_its_own(client: TestClient, hostile: TestClient) -> None:
    answer = client.get(f"/jobs/{FILTERS}/report")
    assert answer.headers["content-security-policy"] == DOCUMENT_POLICY
    assert "script" not in DOCUMENT_POLICY
    assert "data:image/png;base64," in answer.text
    assert "<script" not in hostile.get(f"/jobs/{FILTERS}/report").raise_for_status().text
    assert client.get("/jobs/99/report").status_code == 404
    assert client.get(f"/jobs/{DONE_RUN}/report").status_code == 400  # a run has none


def test_names_add_no_markup(hostile: TestClient) -> None:
    units = f"{HOSTILE[1]}:1"
    for query in ({}, {"units": units}, {"question": "similar", "unit": units}, {"question": "like", "image": 1}):
        page = Parsed(hostile.get("/find", params=query).raise_for_status().text)
        assert unsafe_parts(page) == []
        assert HOSTILE[1] in page.words
