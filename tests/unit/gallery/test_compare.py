"""Runs and units side by side, at one address."""

from __future__ import annotations

import pytest
from sqlalchemy import delete
from starlette.testclient import TestClient

from producer.gallery.page import Gallery
from shared.kinds.top9.tables import TopActivation
from tests.hostile.test_pages import HOSTILE
from tests.unit.gallery.databases import DONE_RUN, OTHER_SEARCH, RUNNING_RUN, SEARCH, Parsed, unsafe_parts


def test_runs_are_compared_by_curves_results_and_settings(client: TestClient) -> None:
    values = client.get("/compare.json?runs=1,2").raise_for_status().json()
    assert [run["job_id"] for run in values["runs"]] == [DONE_RUN, RUNNING_RUN]
    settings = dict(values["settings"])
    assert settings["seed"] == [1, 2]
    assert settings["recipe.learning_rate"] == [0.01, 0.02]
    assert "recipe.epochs" not in settings  # they are the same
    accuracy = values["charts"][0]
    assert [line["name"] for line in accuracy["lines"]] == [
        "1: circle on circle, validation", "1: circle on circle, training",
        "2: circle on circle, validation", "2: circle on circle, training",
    ]  # fmt: skip
    assert [line["colour"] for line in accuracy["lines"]] == [0, 0, 1, 1]
    page = Parsed(client.get("/compare?runs=1,2").text)
    assert "recipe.learning_rate" in page.words
    assert unsafe_parts(page) == []


def test_marked_boxes_of_the_list_are_compared(client: TestClient) -> None:
    both, one = (client.get(f"/compare.json?{query}").json() for query in ("runs=1&runs=2", "runs=2"))
    assert [run["job_id"] for run in both["runs"]] == [1, 2]
    assert [run["job_id"] for run in one["runs"]] == [2]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("?runs=", 400),
        ("?runs=x", 400),
        ("?runs=1,²", 400),
        ("?runs=" + ",".join(map(str, range(1, 30))), 400),
        ("?runs=1,99", 404),
        (f"?runs={SEARCH}", 404),
        ("?a=x", 400),
        ("?a=3/square/x", 400),
        ("?a=3/square", 400),
        ("?a=99/square/1", 404),
        (f"?a={SEARCH}/other/1", 404),
        (f"?a={SEARCH}/square/99", 404),
        (f"?a={DONE_RUN}/square/1", 400),
    ],
)
def test_what_cannot_be_compared_is_refused(client: TestClient, query: str, status: int) -> None:
    assert client.get(f"/compare{query}").status_code == status
    assert client.get(f"/compare.json{query}").status_code == status


def test_an_address_without_a_question_says_what_it_needs(client: TestClient) -> None:
    error = client.get("/compare.json").json()["error"]
    assert "?runs=..." in error
    assert "?a=..." in error


def test_units_stand_side_by_side(client: TestClient) -> None:
    query = f"?a={SEARCH}/square/1&b={OTHER_SEARCH}/star/2"
    values = client.get(f"/compare.json{query}").raise_for_status().json()
    assert [(unit["job_id"], unit["layer"], unit["unit"]) for unit in values["units"]] == [
        (SEARCH, "square", 1), (OTHER_SEARCH, "star", 2),
    ]  # fmt: skip
    page = Parsed(client.get(f"/compare{query}").text)
    assert f"/jobs/{OTHER_SEARCH}/layers/star/units/2" in page.links
    assert len(page.of("img")) == 2 * 3 * 2  # units, ranks, projection and patch
    assert [box["value"] for box in page.of("input")] == [f"{SEARCH}/square/1", f"{OTHER_SEARCH}/star/2", "", ""]
    assert unsafe_parts(page) == []


def test_a_unit_without_images_says_so(client: TestClient, small: Gallery) -> None:
    with small.database.write() as session:
        session.execute(delete(TopActivation))
    assert "It has no top images" in client.get(f"/compare?a={SEARCH}/square/1").text


def test_the_unit_page_leads_to_the_same_unit_elsewhere(client: TestClient) -> None:
    page = Parsed(client.get(f"/jobs/{SEARCH}/layers/square/units/1").text)
    [link] = [link for link in page.links if link.startswith("/compare?a=")]
    assert [unit["job_id"] for unit in client.get(link.replace("?", ".json?", 1)).json()["units"]] == [
        SEARCH,
        OTHER_SEARCH,
    ]


def test_names_add_no_markup(hostile: TestClient) -> None:
    page = Parsed(hostile.get("/compare", params={"a": f"{SEARCH}/{HOSTILE[1]}/1"}).raise_for_status().text)
    assert unsafe_parts(page) == []
    assert HOSTILE[1] in page.words
