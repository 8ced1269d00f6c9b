"""Fixtures with servers that require a password, behind TLS proxies, and a function that submits a search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import network_options, weights
from tests.conftest import Analyze
from tests.integration.access.servers import SecuredDatabase, redis_with_password, secured_database
from tests.integration.access.tls import Certificates, TlsProxy, make_certificates, tls_in_front

__all__ = ["network_options", "weights"]  # fixtures


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def redis_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a Redis server with a password."""
    with redis_with_password(tmp_path_factory.mktemp("redis")) as socket:
        yield socket


@pytest.fixture(scope="module")
def redis_tls(redis_socket: Path, certificates: Certificates) -> Iterator[TlsProxy]:
    with tls_in_front(redis_socket, certificates.server_context()) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def secured(postgresql_server: str) -> Iterator[SecuredDatabase]:
    """A PostgreSQL database with a password."""
    with secured_database(postgresql_server) as database:
        yield database


@pytest.fixture(scope="module")
def postgresql_tls(secured: SecuredDatabase, certificates: Certificates) -> Iterator[TlsProxy]:
    with tls_in_front(secured.socket, certificates.server_context(), postgresql=True) as proxy:
        yield proxy


@pytest.fixture
def search(shapes_root: Path, network_options: list[str]) -> Callable[[Analyze], int]:
    """A function that submits a small search."""

    def submit(analyze: Analyze) -> int:
        analyze("dataset", "add", "shapes", "--root", shapes_root)
        asked = ["submit", "--layer", "5", "--units", "0-3", "--dataset", "shapes", *network_options]
        return int(analyze(*asked).stdout)

    return submit
