"""A small home, and a client of its gallery."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from producer.gallery.application import create_app
from producer.gallery.page import Gallery
from tests.hostile.test_pages import HOSTILE
from tests.unit.gallery.databases import build

ADDRESS = "http://127.0.0.1:8080"


@pytest.fixture
def small(tmp_path: Path, sqlite_template: Path) -> Iterator[Gallery]:
    gallery = build(tmp_path / "home", sqlite_template)
    yield gallery
    gallery.database.close()


@pytest.fixture
def client(small: Gallery) -> TestClient:
    return TestClient(create_app(small), base_url=ADDRESS)


@pytest.fixture
def hostile(tmp_path: Path, sqlite_template: Path) -> Iterator[TestClient]:
    """All names are markup."""
    gallery = build(tmp_path / "hostile", sqlite_template, HOSTILE)
    yield TestClient(create_app(gallery), base_url=ADDRESS)
    gallery.database.close()
