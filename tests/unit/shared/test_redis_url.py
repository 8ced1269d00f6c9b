"""Redis URLs are parsed alike for redis-py and Celery, and errors do not contain passwords."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from redis.connection import parse_url

from shared.errors import BadSettings
from shared.jobs.redis_url import parse_redis_url
from shared.settings import has_secret, load_settings, redacted

PASSWORD = "s3cret@:/?#%+& ü"
QUOTED = quote(PASSWORD, safe="")


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis.example:6380/2",
        "redis://redis.example",
        f"redis://:{QUOTED}@redis.example:6379/0",
        f"redis://user:{QUOTED}@[::1]:6379/3",
        f"redis://redis.example/?db=4&username=user&password={QUOTED}",
        "unix:///run/redis.sock",
        f"unix://user:{QUOTED}@/run/a%20folder/redis.sock?db=1",
    ],
)
def test_a_url_is_parsed_as_by_redis_py(url: str) -> None:
    ours, theirs = parse_redis_url(url), parse_url(url)
    assert ours.host == theirs.get("host")
    assert ours.socket == theirs.get("path")
    assert ours.port == theirs.get("port", 6379)
    assert ours.database == theirs.get("db", 0)
    assert (ours.username, ours.password) == (theirs.get("username"), theirs.get("password"))
    assert ours.tls is None


@pytest.mark.parametrize(
    ("url", "celery"),
    [
        (f"redis://:{QUOTED}@redis.example/2", "redis://redis.example:6379/2"),
        (f"rediss://:{QUOTED}@[::1]:6380", "rediss://[::1]:6380/0"),
        (f"unix://:{QUOTED}@/run/a%20b.sock?db=3", "redis+socket:///run/a%20b.sock?virtual_host=3"),
    ],
)
def test_celerys_url_has_no_credentials(url: str, celery: str) -> None:
    assert parse_redis_url(url).celery_url() == celery
    assert "s3cret" not in repr(parse_redis_url(url))


def test_tls_arguments_are_explicit() -> None:
    assert parse_redis_url("redis://x").tls is None
    assert parse_redis_url("rediss://x").tls == {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
    assert parse_redis_url("rediss://x?ssl_cert_reqs=CERT_NONE&ssl_ca_certs=%2Fa%20b.pem").tls == {
        "ssl_cert_reqs": "none",
        "ssl_check_hostname": False,
        "ssl_ca_certs": "/a b.pem",
    }


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret/x@redis:6379/0",
        "redis://:12/s3cret@redis:6379/0",
        "redis://:12#s3cret@redis:6379/0",
        "redis://:12?s3cret@redis:6379/0",
        "redis://:12?password=s3cret@redis:6379/0",
        "redis://:x@redis:s3cret/0",
        "redis://redis/s3cret",
        "redis://redis/0?s3cret=1",
        "redis://redis/0?s3cret",
        "redis://redis/0?ssl_ca_certs=s3cret",
        "rediss://redis/0?ssl_cert_reqs=s3cret",
        "rediss://redis/0?ssl_check_hostname=s3cret",
        "redis://:s3cret@redis/0?password_file=/x",
        "http://:s3cret@redis",
        "redis://:s3cret@redis:0",
    ],
)
def test_errors_do_not_contain_the_password(url: str) -> None:
    with pytest.raises(BadSettings, match="redis_url") as raised:
        load_settings({"redis_url": url})
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("url", ["postgresql://user:x@s3cret@db/x", "postgresql+psycopg://u:x@s3cret@db:5432/x"])
def test_a_database_password_with_an_unencoded_at_is_refused(url: str) -> None:
    """libpq would take a part of the password as the host and quote it in its error."""
    with pytest.raises(BadSettings, match="database_url") as raised:
        load_settings({"database_url": url})
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://s3cret@redis:6379/0",
        "rediss://redis/0?ssl_password=s3cret",
        "postgresql://u@db/x?oauth_client_secret=s3cret",
        "redis://:a@b@redis/0?password=s3cret",
    ],
)
def test_passwords_elsewhere_in_a_url_are_redacted(url: str) -> None:
    assert "s3cret" not in redacted(url)


def test_paths_of_password_files_are_not_redacted() -> None:
    for url in ("redis://redis/0?password_file=/etc/x", "postgresql://u@db/x?passfile=/etc/x"):
        assert "etc" in redacted(url)
        assert not has_secret(url)
    assert has_secret("redis://:x@redis")
    assert has_secret("postgresql://db/x?password=x")
