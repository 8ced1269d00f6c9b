"""Redis with TLS: the same URL works for redis-py and Celery, and the server's certificate is verified."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import BrokerUnreachable
from shared.jobs.broker import Broker
from tests.integration.access.servers import REDIS_PASSWORD, redis_url
from tests.integration.access.tls import Certificates, TlsProxy, tls_in_front
from tests.integration.broker.helpers import waiting


def sends_and_looks(url: str) -> None:
    """Check that a message can be sent with Celery and read with redis-py."""
    broker = Broker(url)
    broker.ping()
    broker.redis.delete("analysis")
    broker.send([(1, "analysis"), (2, "analysis")])
    assert waiting(broker, "analysis") == [1, 2]
    assert broker.depth("analysis") == 2


def refused(url: str, says: str) -> None:
    """Check that both clients fail with a message without the password."""
    with pytest.raises(BrokerUnreachable) as raised:
        Broker(url).ping()
    said = str(raised.value)
    assert says in said
    assert "\n" not in said
    assert raised.value.exit_code == 3
    for part in ("R3d1s", "can:ary", "can%3Aary"):
        assert part not in said


def refused_by_celery(url: str) -> None:
    """Check that Celery itself refuses the certificate. Slow, because of its retries."""
    broker = Broker(url)
    with pytest.raises(BrokerUnreachable) as raised, broker._explained():
        broker.celery.send_task("x", args=[1], queue="analysis", retry=False)
    assert "certificate verify failed" in str(raised.value)
    assert "can:ary" not in str(raised.value)


def test_a_ca_file_suffices(redis_tls: TlsProxy, certificates: Certificates) -> None:
    before = redis_tls.served
    sends_and_looks(redis_url(f"localhost:{redis_tls.port}", query=f"ssl_ca_certs={certificates.ca}"))
    assert redis_tls.served >= before + 2


@pytest.mark.parametrize("spelling", ["CERT_REQUIRED", "required", "CERT_OPTIONAL"])
def test_values_of_celery_and_redis_py_are_accepted(
    redis_tls: TlsProxy, certificates: Certificates, spelling: str
) -> None:
    query = f"ssl_cert_reqs={spelling}&ssl_ca_certs={certificates.ca}"
    sends_and_looks(redis_url(f"localhost:{redis_tls.port}", query=query))
    refused(
        redis_url(f"localhost:{redis_tls.port}", query=f"ssl_cert_reqs={spelling}"), "certificate verify failed"
    )


def test_without_parameters_the_systems_authorities_are_used(
    redis_tls: TlsProxy, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = redis_url(f"localhost:{redis_tls.port}")
    refused(url, "certificate verify failed")
    refused_by_celery(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca))  # OpenSSL uses it as the system's authorities
    sends_and_looks(url)


def test_a_certificate_of_another_authority_is_refused(redis_tls: TlsProxy, certificates: Certificates) -> None:
    query = f"ssl_ca_certs={certificates.other_ca}"
    refused(redis_url(f"localhost:{redis_tls.port}", query=query), "certificate verify failed")


def test_a_certificate_for_another_host_is_refused(redis_tls: TlsProxy, certificates: Certificates) -> None:
    """The certificate is for localhost."""
    url = redis_url(f"127.0.0.1:{redis_tls.port}", query=f"ssl_ca_certs={certificates.ca}")
    refused(url, "IP address mismatch")
    sends_and_looks(f"{url}&ssl_check_hostname=false")


def test_verification_can_be_disabled_only_explicitly(redis_tls: TlsProxy) -> None:
    for spelling in ("none", "CERT_NONE"):
        sends_and_looks(redis_url(f"127.0.0.1:{redis_tls.port}", query=f"ssl_cert_reqs={spelling}"))


def test_a_wrong_password_is_refused(redis_tls: TlsProxy, certificates: Certificates) -> None:
    url = redis_url(
        f"localhost:{redis_tls.port}", password=f"{REDIS_PASSWORD}!", query=f"ssl_ca_certs={certificates.ca}"
    )
    refused(url, "invalid username-password pair")


def test_a_missing_password_is_refused(redis_tls: TlsProxy, certificates: Certificates) -> None:
    refused(f"rediss://localhost:{redis_tls.port}/0?ssl_ca_certs={certificates.ca}", "uthenticat")


def test_the_password_can_be_in_a_file_and_change(
    redis_tls: TlsProxy, certificates: Certificates, tmp_path: Path
) -> None:
    file = tmp_path / "pass word"
    query = f"ssl_ca_certs={certificates.ca}&password_file={str(file).replace(' ', '%20')}"
    broker = Broker(f"rediss://localhost:{redis_tls.port}/0?{query}")
    assert not broker.answers()
    file.write_text("wrong")
    assert not broker.answers()
    file.write_text(f"{REDIS_PASSWORD}\n")
    assert broker.answers()
    sends_and_looks(broker.url)


def test_a_missing_ca_file_is_reported(redis_tls: TlsProxy) -> None:
    refused(redis_url(f"localhost:{redis_tls.port}", query="ssl_ca_certs=/no/such/ca.pem"), "/no/such/ca.pem")


def test_an_unencrypted_connection_to_a_tls_port_fails(redis_tls: TlsProxy) -> None:
    refused(redis_url(f"localhost:{redis_tls.port}", scheme="redis"), "is unreachable")


@pytest.fixture
def asks_client(redis_socket: Path, certificates: Certificates) -> Iterator[TlsProxy]:
    with tls_in_front(redis_socket, certificates.server_context(asks_client=True)) as proxy:
        yield proxy


def test_a_client_certificate_is_sent(asks_client: TlsProxy, certificates: Certificates) -> None:
    url = redis_url(f"localhost:{asks_client.port}", query=f"ssl_ca_certs={certificates.ca}")
    refused(url, "is unreachable")
    sends_and_looks(f"{url}&ssl_certfile={certificates.client}&ssl_keyfile={certificates.client_key}")


def test_two_brokers_with_different_passwords_share_no_connection(
    redis_tls: TlsProxy, certificates: Certificates
) -> None:
    query = f"ssl_ca_certs={certificates.ca}"
    sends_and_looks(redis_url(f"localhost:{redis_tls.port}", query=query))
    refused(redis_url(f"localhost:{redis_tls.port}", password="other", query=query), "is unreachable")


def test_representations_of_a_connection_do_not_show_its_password(
    redis_tls: TlsProxy, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    url = redis_url(f"localhost:{redis_tls.port}", query=f"ssl_ca_certs={certificates.ca}")
    broker = Broker(url)
    sends_and_looks(url)
    connection = broker.celery.connection_for_write()
    shown = [repr(broker), repr(broker._address), repr(broker.redis), repr(broker.celery), connection.as_uri()]
    shown += [
        connection.as_uri(include_password=True),
        repr(connection.info()),
        str(broker.celery.conf),
        caplog.text,
    ]
    for words in shown:
        assert "can:ary" not in words
        assert "can%3Aary" not in words
