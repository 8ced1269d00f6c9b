"""Fixtures with a local HTTP server for downloads, and with workers of several machines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Analyze
from tests.integration.machines import Machines
from tests.integration.serving import Server, serving


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Access the local server without a proxy."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture
def server(no_proxy: None) -> Iterator[Server]:
    """A local HTTP server without pages."""
    with serving(Server()) as running:
        yield running


@pytest.fixture
def machines(analyze_on: Analyze, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    """A home with a data set of 24 files with 48 objects, on SQLite and on PostgreSQL."""
    return Machines(analyze_on, tmp_path, monkeypatch)
