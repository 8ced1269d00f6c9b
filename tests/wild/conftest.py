"""Fixtures with homes and data sets, imported from other tests."""

from __future__ import annotations

from tests.integration.cli.conftest import finished, fresh, home, photos, queued, tensors, trained, weights
from tests.integration.conftest import no_proxy, server
from tests.integration.datasets.conftest import voc

__all__ = [  # fixtures
    "finished", "fresh", "home", "no_proxy", "photos", "queued", "server", "tensors", "trained", "voc", "weights",
]  # fmt: skip
