"""Files of the store that are gone or can't be read: each page says so, and no page fails."""

from __future__ import annotations

import html
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from producer.gallery import report
from producer.gallery.application import all_pages
from producer.gallery.page import Gallery
from producer.gallery.problems import DAMAGED, MISSING, NO_STORE
from shared.kinds.top9.tables import SearchedLayer
from shared.store.ownership import open_store
from shared.store.store import IDENTITY_FILE
from tests.unit.gallery.databases import CLASSES, DONE_RUN, FILTERS, SEARCH, SWEEP

LAYER = CLASSES[1]
UNIT = f"/jobs/{SEARCH}/layers/{LAYER}/units/2"
# Pages that show files of the store themselves, not by the address of a picture.
READING = (
    f"{UNIT}/similar", f"/find?job={SEARCH}", f"/find?job={SEARCH}&question=similar&unit={LAYER}:1",
    *(f"/jobs/{job}/report" for job in (SEARCH, SWEEP, FILTERS)),
)  # fmt: skip


def addresses(client: TestClient) -> set[str]:
    """Return the address of every page of the small home that has one, and of all pictures on them."""
    values = {
        "job_id": SEARCH, "layer": LAYER, "unit": 2, "image_id": 2, "number": 1, "name": CLASSES[0],
    }  # fmt: skip
    found: set[str] = {"/compare?runs=1,2", f"/compare?a={SEARCH}/{LAYER}/1&b={SEARCH}/{LAYER}/2"}
    for page in all_pages():
        job = DONE_RUN if page.path.startswith("/runs") else SWEEP if "occlusion" in page.path else SEARCH
        path = re.sub(
            r"\{(\w+)(?::\w+)?\}", lambda match, job=job: str({**values, "job_id": job}[match[1]]), page.path
        )
        if page.template and page.path != "/compare":
            found.add(path)
    for address in sorted(found):
        answer = client.get(address)
        found.update(re.findall(r'(?:src|href)="(/(?:pictures|jobs/\d+/occlusion)/[^"#?]+)"', answer.text))
    assert len([address for address in found if address.startswith("/pictures")]) > 10
    return found


@pytest.fixture
def client(small: Gallery) -> TestClient:
    from producer.gallery.application import create_app

    open_store(small.database, small.store.root)  # writes its identity file, as a worker does
    return TestClient(create_app(small), base_url="http://127.0.0.1:8080", raise_server_exceptions=False)


def words(page: str) -> str:
    """Return a page with its commands between backticks, as messages have them."""
    return html.unescape(re.sub("</?code>", "`", page))


def remove(store: Path) -> None:
    for file in store.rglob("*"):
        if file.is_file() and file.name != IDENTITY_FILE:
            file.unlink()


def unmount(store: Path) -> None:
    shutil.rmtree(store)
    store.mkdir()


LOST: dict[str, tuple[Callable[[Path], None], int, str]] = {
    "removed files": (remove, 404, MISSING),
    "an empty folder": (unmount, 503, NO_STORE),
    "no folder": (shutil.rmtree, 503, NO_STORE),
    "a link in a circle": (lambda store: (shutil.rmtree(store), store.symlink_to(store))[0], 503, NO_STORE),
}


@pytest.mark.parametrize("how", LOST)
def test_no_page_fails_without_the_store(small: Gallery, client: TestClient, how: str) -> None:
    lose, status, text = LOST[how]
    # No picture was decoded before, which would be kept in memory.
    listed = addresses(client)
    before = {
        address: client.get(address).status_code for address in sorted(listed) if "/pictures/" not in address
    }
    lose(small.store.root)
    for address in sorted({*listed, *READING}):
        answer = client.get(address, headers={"accept": "text/html"})
        assert answer.status_code != 500, f"{address}\n{answer.text[-3000:]}"
        assert str(small.store.root) not in answer.text, address
        if address in READING or "/pictures/" in address:
            assert (answer.status_code, text in words(answer.text)) == (status, True), (
                f"{address}\n{answer.text[-500:]}"
            )
            assert (answer.headers.get("retry-after") == "5") == (status == 503)
        elif "occlusion" not in address:
            assert answer.status_code == before[address], address
    as_data = client.get(f"/find.json?job={SEARCH}")
    assert (as_data.status_code, as_data.json()["error"].endswith(text)) == (status, True)


def test_the_form_is_there_without_the_newest_maxima(small: Gallery, client: TestClient) -> None:
    remove(small.store.root)
    shown = client.get("/find")
    assert shown.status_code == 200
    assert f"Job {SEARCH} has lost its maxima: choose another search." in shown.text
    for question in ("units", "like", "similar"):
        assert client.get(f"/find?question={question}").status_code == 200


def test_damaged_maxima(small: Gallery, client: TestClient) -> None:
    with small.database.read() as session:
        paths = session.scalars(select(SearchedLayer.maxima_path).where(SearchedLayer.job_id == SEARCH)).all()
    for path in paths:
        small.store.locate(path or "").write_bytes(b"something else")
    for address in (f"{UNIT}/similar", f"/find?job={SEARCH}"):
        answer = client.get(address)
        assert (answer.status_code, DAMAGED in words(answer.text)) == (404, True)
    assert client.get("/find").status_code == 200


def test_maps_that_are_gone(small: Gallery, client: TestClient) -> None:
    address = f"/jobs/{SWEEP}/occlusion/2"
    drawn = re.findall(r'href="(/jobs/[^"]+\.png)"', client.get(address).text)
    assert len(drawn) == 4
    remove(small.store.root)
    shown = client.get(address)
    assert shown.status_code == 200
    assert ".npz is not in the store. " in shown.text
    assert {client.get(path).status_code for path in drawn} == {404}


def test_a_report_has_a_limit_of_size(small: Gallery, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"/jobs/{SEARCH}/report"
    size = len(client.get(address).content)
    assert client.get(address).status_code == 200
    monkeypatch.setattr(report, "MOST_BYTES", 3000)
    refused = client.get(address)
    assert refused.status_code == 413
    assert f"`analyze results {SEARCH} --html job{SEARCH}.html`" in words(refused.text)
    assert len(refused.content) < size
