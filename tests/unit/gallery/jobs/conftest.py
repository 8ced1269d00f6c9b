"""A gallery over a small database, and the client that reads its pages."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert
from starlette.testclient import TestClient

from producer.gallery.application import create_app
from producer.gallery.page import Gallery
from shared.database.connection import Database
from shared.database.datasets import Dataset, DatasetProblem, Image, ImageSplit
from shared.jobs.ledger import Ledger
from shared.settings import Settings, sqlite_url
from shared.store.store import Store
from tests.integration.ledger.helpers import SHA256

IMAGES = 120


@pytest.fixture
def gallery(tmp_path: Path, sqlite_template: Path) -> Iterator[Gallery]:
    """A database with a data set of ``IMAGES`` images of two classes, two of each file, and no jobs."""
    file = tmp_path / "home" / "unitscope.sqlite3"
    file.parent.mkdir(mode=0o700)
    shutil.copyfile(sqlite_template, file)
    database = Database(sqlite_url(file))
    add_dataset(database, "voc.2007", ["cat", "dog"])
    yield Gallery(Settings(home=file.parent), database, Store(tmp_path / "store"))
    database.close()


def add_dataset(database: Database, name: str, classes: list[str]) -> None:
    """Add a data set of whose images every second one is in the split val."""
    with database.write() as session:
        dataset = Dataset(
            name=name, kind="voc", root="/nowhere", options={}, fingerprint=SHA256, class_names=classes
        )
        session.add(dataset)
        session.flush()
        first = dataset.id * 1000
        images = [
            {
                "id": first + number,
                "dataset_id": dataset.id,
                # Ids are not in the order of paths.
                "path": f"JPEGImages/{(IMAGES - number) // 2:04}.jpg",
                "object_number": number % 2 + 1,
                "class_index": number % len(classes),
                "class_name": classes[number % len(classes)],
                "width": 50,
                "height": 40,
                "box_left": 5,
                "box_top": 6,
                "box_right": 25,
                "box_bottom": 36,
                "sha256": f"{number:064x}",
            }
            for number in range(IMAGES)
        ]
        session.execute(insert(Image), images)
        members = [{"split": "val", "image_id": image["id"], "dataset_id": dataset.id} for image in images[::2]]
        session.execute(insert(ImageSplit), members)
        problem = {"path": "broken.jpg", "object_number": 0, "reason": "not readable", "detail": "truncated"}
        session.execute(insert(DatasetProblem), [{**problem, "dataset_id": dataset.id}])


@pytest.fixture
def ledger(gallery: Gallery) -> Ledger:
    return Ledger(gallery.database)


@pytest.fixture
def client(gallery: Gallery) -> Iterator[TestClient]:
    """A client of the gallery; an error of the server is an answer with status 500, as in a browser."""
    with TestClient(create_app(gallery), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def page(client: TestClient) -> Callable[[str], str]:
    """Function that returns a page, after a check that there is one."""

    def read(address: str) -> str:
        answer = client.get(address)
        assert answer.status_code == 200, f"{address}: {answer.status_code}\n{answer.text[-2000:]}"
        return str(answer.text)

    return read
