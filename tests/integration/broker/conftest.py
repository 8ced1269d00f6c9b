"""Fixtures with a running private Redis server, an unreachable one, and a ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from producer.service.private_redis import private_redis
from shared.jobs.broker import Broker, broker_for
from shared.settings import Settings
from tests.integration.ledger.conftest import dataset, ledger

__all__ = ["dataset", "ledger"]  # fixtures


@pytest.fixture
def home_settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


@pytest.fixture
def broker(home_settings: Settings) -> Iterator[Broker]:
    """A broker on a running Redis server."""
    with private_redis(home_settings):
        yield broker_for(home_settings)


@pytest.fixture
def away(tmp_path: Path) -> Broker:
    """A broker whose Redis server is not running."""
    return broker_for(Settings(home=tmp_path / "nobody"))
