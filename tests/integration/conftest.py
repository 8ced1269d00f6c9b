"""Fixtures with a local HTTP server for downloads."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
