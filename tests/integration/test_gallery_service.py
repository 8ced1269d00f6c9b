"""The process of ``analyze serve`` and ``analyze up --serve``: how it begins and ends, and a missing database."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import Analyze
from tests.faults.servers import PostgreSQLServer
from tests.served import Served


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


def is_answered(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.json", timeout=10) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def status_of_form(port: int) -> int:
    """Send a form without its token, and return the status."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/jobs/1/cancel", b"", timeout=10)
    except urllib.error.HTTPError as error:
        return error.code
    raise AssertionError("the form was answered")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_at_once_with_open_connections(analyze: Analyze, number: signal.Signals) -> None:
    served = Served(analyze)
    idle, half, kept = (served.connect() for _ in range(3))
    half.sendall(b"GET / HTTP/1.1\r\nHost: local")
    kept.sendall(b"GET /index.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert kept.recv(12) == b"HTTP/1.1 200"
    begun = time.monotonic()
    served.process.send_signal(number)
    assert served.process.wait(20) == 0
    assert time.monotonic() - begun < 8  # the half request would be waited for, for 10 s
    assert "Traceback" not in analyze.log()
    assert "interrupted" not in analyze.log()
    for connection in (idle, half, kept):
        connection.close()


def test_a_port_in_use_is_named_with_the_remedy(analyze: Analyze) -> None:
    served = Served(analyze)
    for command in (("serve",), ("up", "--serve", "--devices", "cpu")):
        refused = analyze(*command, "--port", served.port, code=2).stderr
        assert f"Port {served.port} of 127.0.0.1 is in use by another program." in refused
        assert "--port" in refused
    for host in ("no-such-host.invalid", "192.0.2.1", "a" * 70, "::ffff:192.0.2.1"):
        assert "--host" in analyze("serve", "--host", host, "--public", code=2).stderr
    again = Served(analyze)  # a restart isn't held up by connections that were closed a moment ago
    assert again.get("/").status == 200


def test_ipv6(analyze: Analyze) -> None:
    try:
        with socket.socket(socket.AF_INET6) as opened:
            opened.bind(("::1", 0))
    except OSError:
        pytest.skip("this machine has no IPv6")
    served = Served(analyze, "--host", "::1")
    assert served.url == f"http://[::1]:{served.port}"
    assert served.get("/").status == 200


def test_log_in_json(analyze: Analyze) -> None:
    analyze.environment["ANALYZE_LOG_FORMAT"] = "json"
    served = Served(analyze)
    assert served.get("/").status == 200
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(20) == 0
    assert all("message" in json.loads(line) for line in analyze.log().splitlines())


def test_open_shows_the_first_page(analyze: Analyze, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n')
    browser.chmod(0o700)
    analyze.environment["BROWSER"] = f"{browser} %s"
    served = Served(analyze, "--open")
    analyze.wait(lambda: (tmp_path / "opened").is_file() and (tmp_path / "opened").read_text() != "")
    assert (tmp_path / "opened").read_text().strip() == served.url


# --- the database ---


@pytest.fixture
def postgresql() -> Iterator[PostgreSQLServer]:
    server = PostgreSQLServer()
    yield server
    server.remove()


def test_postgresql_is_stopped_and_started_again(postgresql: PostgreSQLServer, tmp_path: Path) -> None:
    analyze = Analyze(tmp_path / "home", postgresql.new_database())
    try:
        analyze("db", "upgrade")
        served = Served(analyze)
        assert served.get("/").status == 200
        postgresql.stop("immediate")
        page = served.get("/", {"Accept": "text/html"})
        assert (page.status, page.headers["Retry-After"]) == (503, "5")
        assert b"unreachable" in page.body
        data = served.get("/index.json")
        assert data.status == 503
        assert "unreachable" in json.loads(data.body)["error"]
        postgresql.start()
        assert served.get("/").status == 200
        assert "Traceback" not in analyze.log()
    finally:
        analyze.stop()


def test_a_sqlite_file_is_moved_replaced_and_never_created(analyze: Analyze) -> None:
    served = Served(analyze)
    file = analyze.home / "unitscope.sqlite3"
    assert served.get("/").status == 200
    moved = file.rename(file.with_suffix(".moved"))
    missing = served.get("/")
    assert (missing.status, str(analyze.home).encode() in missing.body) == (503, False)
    analyze.wait(lambda: str(file) in analyze.log())
    assert not file.exists()
    moved.rename(file)
    assert served.get("/").status == 200
    other = Analyze(analyze.home.parent / "other")  # what a backup was restored to
    other("dataset", "add", "shapes", "--images", 6)
    (other.home / "unitscope.sqlite3").replace(file)
    assert [dataset["name"] for dataset in json.loads(served.get("/index.json").body)["datasets"]] == ["shapes"]


# --- beside the workers ---


def test_up_serves_the_gallery_and_starts_it_again(analyze: Analyze) -> None:
    port = free_port()
    process = analyze.up("--serve", "--port", port, "--allow-changes")
    analyze.wait(lambda: is_answered(port), process)
    assert status_of_form(port) == 403  # and not 405, as without --allow-changes
    (child,) = galleries(process.pid, port)
    child.kill()
    analyze.wait(lambda: not is_answered(port), process)
    analyze.wait(lambda: is_answered(port), process)
    assert re.search(r"the gallery was killed by SIGKILL.*; it is started again in 2 s", analyze.log())
    (child,) = galleries(process.pid, port)
    process.send_signal(signal.SIGTERM)
    assert process.wait(40) == 0
    assert not child.is_running()


def test_the_gallery_ends_with_a_service_that_was_killed(analyze: Analyze) -> None:
    port = free_port()
    process = analyze.up("--serve", "--port", port)
    analyze.wait(lambda: is_answered(port), process)
    (child,) = galleries(process.pid, port)
    workers = [one for one in psutil.Process(process.pid).children(recursive=True) if one.pid != child.pid]
    os.kill(process.pid, signal.SIGKILL)
    analyze.wait(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    for redis in (one for one in workers if one.is_running() and one.name().startswith("redis")):
        redis.terminate()  # nothing else ends it
    _, alive = psutil.wait_procs(workers, 60)
    assert not alive


def galleries(pid: int, port: int) -> list[psutil.Process]:
    """Return the child processes of a service that listen on a port."""
    children = psutil.Process(pid).children()
    return [
        child
        for child in children
        if any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in child.net_connections("tcp"))
    ]
