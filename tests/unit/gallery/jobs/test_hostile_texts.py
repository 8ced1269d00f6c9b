"""Texts of the database are text on the pages, whatever they contain."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from producer.gallery.page import Gallery
from shared.database.datasets import Dataset, DatasetProblem, Image
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Event, Job, JobState, Shard
from tests.integration.ledger.helpers import top9
from tests.unit.gallery.jobs.conftest import add_dataset

Read = Callable[[str], str]
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "' onmouseover='alert(3)",
    "{{ 7 * 7 }}",
    "a\x1b[31mb\x07\u202eevil",
    "half \ud83d of a pair",
]
ADDRESSES = (
    "/",
    "/live",
    "/jobs",
    "/jobs/1",
    "/jobs/1/live",
    "/jobs/1/log",
    "/jobs/1/shards",
    "/workers",
    "/images/2000",
)


@pytest.fixture(params=HOSTILE)
def text(request: pytest.FixtureRequest, gallery: Gallery, ledger: Ledger) -> str:
    """A text that is the name of everything."""
    text: str = request.param
    add_dataset(gallery.database, text, [text, "dog"])
    specification = top9(2)
    network = specification.network.model_copy(update={"name": text.encode("utf-8", "replace").decode()})
    ledger.submit(specification.model_copy(update={"network": network}))
    ledger.worker_seen(text.encode("utf-8", "replace").decode(), "cpu", ["analysis"], 17)
    with gallery.database.write() as session:
        session.execute(
            update(Job).values(state=JobState.FAILED, error=text, summary={text.replace("\ud83d", "?"): 1})
        )
        session.execute(update(Shard).values(state="failed", error=text, worker=text))
        session.execute(update(Image).where(Image.dataset_id == 2, Image.id == 2000).values(path=text))
        session.execute(update(DatasetProblem).values(reason=text, path=text))
        session.add(Event(job_id=1, level="error", message=text))
    return text


def test_markup_and_control_characters_are_inert(text: str, gallery: Gallery, client: TestClient) -> None:
    with gallery.database.read() as session:
        name = session.get_one(Dataset, 2).name
    from producer.gallery.templates import dataset_link

    for address in (*ADDRESSES, dataset_link(name)):
        answer = client.get(address)
        assert answer.status_code == 200, f"{address}\n{answer.text[-2000:]}"
        shown = answer.text
        assert "<script>alert" not in shown
        assert "<img src=x" not in shown
        assert not re.search(r"<[^>]*\sonmouseover=", shown)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown)
        assert "49" not in re.findall(r">\s*49\s*<", shown)


def test_json_has_the_texts_unchanged(text: str, client: TestClient) -> None:
    answer = client.get("/jobs/1.json")
    assert answer.status_code == 200
    stored = text.encode("utf-8", "replace").decode()
    assert answer.json()["error"] == stored
    assert answer.json()["dataset"] == stored


@pytest.mark.parametrize("query", ["%ED%A0%BD", "%FF", "%22%3E%3Cscript%3E", "%1b[31m", "\N{PILE OF POO}"])
def test_odd_texts_in_an_address(client: TestClient, query: str) -> None:
    for address in (
        f"/jobs?text={query}",
        f"/jobs?kind={query}",
        f"/sql?q={query}",
        f"/datasets/{query}",
        f"/studies/{query}",
    ):
        answer = client.get(address)
        assert answer.status_code in (200, 400, 404), address
        assert "<script>" not in answer.text
        assert "\x1b" not in answer.text
