"""PostgreSQL with TLS and a password: libpq's parameters apply to all connections."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from sqlalchemy import text

from producer.results.query import run_query
from shared.database.connection import Database
from shared.database.schema import upgrade
from shared.errors import DatabaseUnreachable
from tests.integration.access.servers import DATABASE_PASSWORD, SecuredDatabase
from tests.integration.access.tls import Certificates, TlsProxy


def verified(file: object) -> str:
    return f"sslmode=verify-full&sslrootcert={quote(str(file), safe='')}"


def refused(url: str, says: str) -> None:
    """Check that the connections of the ledger and of `analyze query` fail with one line without the password."""
    database = Database(url)
    with pytest.raises(DatabaseUnreachable) as first, database.read() as session:
        session.execute(text("SELECT 1"))
    with pytest.raises(DatabaseUnreachable) as second:
        run_query(database, "SELECT 1", limit=1, seconds=5)
    for raised in (first, second):
        said = str(raised.value)
        assert says in said
        assert "\n" not in said
        assert raised.value.exit_code == 3
        for part in ("P0stgres", "can:ary", "can%3Aary"):
            assert part not in said


def test_ledger_and_queries_work_with_verified_tls(
    secured: SecuredDatabase, postgresql_tls: TlsProxy, certificates: Certificates
) -> None:
    before = postgresql_tls.served
    database = Database(secured.url(f"localhost:{postgresql_tls.port}", query=verified(certificates.ca)))
    upgrade(database)
    with database.read() as session:
        assert session.scalar(text("SELECT current_user")) == secured.role
    assert run_query(database, "SELECT 1 AS one", limit=1, seconds=5).columns == ["one"]
    database.close()
    assert postgresql_tls.served >= before + 2


def test_a_ca_file_with_a_space_in_its_name_works_for_both(
    secured: SecuredDatabase, postgresql_tls: TlsProxy, certificates: Certificates
) -> None:
    """libpq doesn't decode the + that SQLAlchemy writes for a space."""
    spaced = certificates.folder / "the ca + more.pem"
    spaced.write_bytes(certificates.ca.read_bytes())
    database = Database(secured.url(f"localhost:{postgresql_tls.port}", query=verified(spaced)))
    with database.read() as session:
        assert session.scalar(text("SELECT 1")) == 1
    assert run_query(database, "SELECT 1 AS one", limit=1, seconds=5).rows == [(1,)]
    database.close()


def test_a_certificate_of_another_authority_is_refused(
    secured: SecuredDatabase, postgresql_tls: TlsProxy, certificates: Certificates
) -> None:
    refused(
        secured.url(f"localhost:{postgresql_tls.port}", query=verified(certificates.other_ca)),
        "certificate verify failed",
    )


def test_a_certificate_for_another_host_is_refused(
    secured: SecuredDatabase, postgresql_tls: TlsProxy, certificates: Certificates
) -> None:
    refused(
        secured.url(f"127.0.0.1:{postgresql_tls.port}", query=verified(certificates.ca)),
        "does not match host name",
    )


def test_a_wrong_password_is_refused(
    secured: SecuredDatabase, postgresql_tls: TlsProxy, certificates: Certificates
) -> None:
    url = secured.url(
        f"localhost:{postgresql_tls.port}", password=f"{DATABASE_PASSWORD}!", query=verified(certificates.ca)
    )
    refused(url, "password authentication failed")


def test_a_missing_ca_file_is_reported(secured: SecuredDatabase, postgresql_tls: TlsProxy) -> None:
    refused(secured.url(f"localhost:{postgresql_tls.port}", query=verified("/no/such/ca.pem")), "/no/such/ca.pem")


@pytest.mark.parametrize("query", ["nonsense=1", "sslmode=perhaps"])
def test_an_unknown_parameter_is_reported(secured: SecuredDatabase, postgresql_tls: TlsProxy, query: str) -> None:
    refused(secured.url(f"localhost:{postgresql_tls.port}", query=query), "invalid")


def test_the_password_can_be_in_libpqs_password_file(
    secured: SecuredDatabase,
    postgresql_tls: TlsProxy,
    certificates: Certificates,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    file = tmp_path_factory.mktemp("passwords") / "pgpass"
    file.touch(mode=0o600)
    escaped = DATABASE_PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    file.write_text(f"localhost:{postgresql_tls.port}:*:{secured.role}:{escaped}\n")
    url = secured.url(f"localhost:{postgresql_tls.port}", query=f"{verified(certificates.ca)}&passfile={file}")
    database = Database(url.replace(f":{quote(DATABASE_PASSWORD, safe='')}@", "@"))
    with database.read() as session:
        assert session.scalar(text("SELECT 1")) == 1
    assert run_query(database, "SELECT 1 AS one", limit=1, seconds=5).rows == [(1,)]
    database.close()
