"""Requests to the gallery: from pages elsewhere, from people without the token, and malicious ones."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import re
import resource
import select
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from producer.gallery.access.headers import POLICY
from producer.gallery.access.hosts import Hosts
from producer.gallery.access.tries import TRIES
from producer.gallery.protocol import LONGEST_REQUEST_HEAD, MOST_CONNECTIONS, REQUEST_SECONDS
from tests.conftest import Analyze
from tests.served import Answer, Served

TOKEN = "correct-horse-battery-staple"
HTML = {"Accept": "text/html"}
ALL = "0.0.0.0"  # noqa: S104


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Analyze]:
    """A home with an empty database, and a secret beside the store and beside the program's files."""
    analyze = Analyze(tmp_path_factory.mktemp("gallery") / "home")
    analyze.home.mkdir(parents=True)
    shutil.copyfile(sqlite_template, analyze.home / "unitscope.sqlite3")
    (analyze.home / "token").write_text(f"{TOKEN}\n")
    yield analyze
    analyze.end()


@pytest.fixture(scope="module")
def gallery(home: Analyze) -> Served:
    return Served(home)


@pytest.fixture(scope="module")
def locked(home: Analyze) -> Served:
    """A gallery that asks for the token."""
    return Served(home, "--token-file", home.home / "token")


@pytest.fixture(scope="module")
def picture(home: Analyze) -> str:
    """Address of a picture in the store."""
    file = home.home / "a.png"
    Image.new("RGB", (40, 30), "red").save(file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    stored = home.home / "store" / sha256[:2] / f"{sha256}.png"
    stored.parent.mkdir(parents=True, exist_ok=True)
    file.rename(stored)
    return f"/pictures/{sha256}.png"


def signed_in(locked: Served, token: str = TOKEN, **headers: str) -> Answer:
    """Send the form of the login page."""
    form = {"Content-Type": "application/x-www-form-urlencoded", **headers}
    return locked.get("/login?next=/jobs%3Fstate%3Ddone", form, "POST", f"token={token}")


# --- which addresses it listens on ---


def test_only_this_machine_reaches_it_by_default(gallery: Served) -> None:
    assert gallery.host == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", gallery.port), timeout=5)


def test_another_address_needs_a_token_which_no_log_gets(analyze: Analyze, sqlite_template: Path) -> None:
    analyze.home.mkdir(parents=True)
    shutil.copyfile(sqlite_template, analyze.home / "unitscope.sqlite3")
    refused = analyze("serve", "--host", ALL, "--port", 0, code=2)
    assert "--new-token" in refused.stderr
    token = analyze("serve", "--new-token").stdout.strip()
    assert len(token) > 40
    file = analyze.home / "gallery-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert token not in file.read_text()
    served = Served(analyze, "--host", ALL)
    assert served.get("/").status == 401
    assert served.get("/", {"Authorization": f"Bearer {file.read_text().strip()}"}).status == 401
    assert served.get("/", {"Authorization": f"Bearer {token}"}).status == 200
    assert served.get(f"/?token={token}").status == 401
    assert token not in analyze.log()
    assert analyze("serve", "--new-token").stdout.strip() != token
    served = Served(analyze, "--token")
    assert served.get("/", {"Authorization": f"Bearer {token}"}).status == 401


def test_public_is_explicit(analyze: Analyze) -> None:
    served = Served(analyze, "--host", ALL, "--public")
    assert served.get("/").status == 200
    assert served.get("/", {"Host": f"192.0.2.7:{served.port}"}).status == 200
    assert served.get("/", {"Host": "attacker.example"}).status == 421
    assert "leave out" in analyze("serve", "--public", "--token", code=2).stderr


@pytest.mark.parametrize("content", ["", "short\n", "two words of a token\n", "zwölf-Umlaute-äöüäöüäöü\n"])
def test_a_file_with_something_else_is_no_token(analyze: Analyze, tmp_path: Path, content: str) -> None:
    (tmp_path / "token").write_text(content)
    words = analyze("serve", "--port", 0, "--token-file", tmp_path / "token", code=2).stderr
    assert "openssl rand" in words
    assert content.strip() == "" or content.strip() not in words


# --- the token ---


def test_without_the_token_nothing_is_shown(locked: Served, picture: str) -> None:
    for path in ("/", "/index.json", "/jobs/1", picture, "/images/1/abc/720.webp", "/no-such-page"):
        assert locked.get(path).status == 401, path
    assert locked.get("/").headers["WWW-Authenticate"].startswith("Bearer")
    assert locked.get("/static/style.css").status == 200
    assert locked.get("/static/../application.py").status in (401, 404)
    page = locked.get("/jobs?state=done", HTML)
    assert (page.status, page.headers["Location"]) == (303, "/login?next=%2Fjobs%3Fstate%3Ddone")


def test_the_cookie_of_the_login_page_is_not_the_token(locked: Served, picture: str) -> None:
    answer = signed_in(locked)
    assert (answer.status, answer.headers["Location"]) == (303, "/jobs?state=done")
    cookie = answer.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert TOKEN not in cookie
    pair = cookie.partition(";")[0]
    assert locked.get("/", {"Cookie": pair}).status == 200
    assert locked.get("/", {"Cookie": f"{pair[:-1]}g"}).status == 401
    assert locked.get("/", {"Authorization": f"Bearer {pair.partition('=')[2]}"}).status == 401
    # What a proxy must not keep, and a browser not after its user has left.
    assert locked.get("/", {"Cookie": pair}).headers["Cache-Control"] == "no-store"
    kept = locked.get(picture, {"Cookie": pair}).headers["Cache-Control"]
    assert "private" in kept
    assert "public" not in kept
    assert "immutable" in kept


@pytest.mark.parametrize(
    "elsewhere",
    ["https://attacker.example/", "//attacker.example", "/\\attacker.example", "/%0d%0aX: 1", "/login", "x"],
)
def test_the_login_page_leads_nowhere_else(locked: Served, elsewhere: str) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = locked.get(f"/login?next={elsewhere.replace(' ', '%20')}", form, "POST", f"token={TOKEN}")
    assert (answer.status, answer.headers["Location"], answer.headers["X"]) == (303, "/", None)


def test_a_form_of_another_site_is_refused(locked: Served) -> None:
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://attacker.example"},
        {"Origin": "null"},
        {"Origin": f"http://localhost:{locked.port + 1}"},
    ):
        assert signed_in(locked, **headers).status == 403, headers
    assert signed_in(locked, **{"Origin": locked.url, "Sec-Fetch-Site": "same-origin"}).status == 303
    assert signed_in(locked, TOKEN + "&" + "a=1&" * 2000).status == 400


def test_wrong_tokens_are_limited(home: Analyze) -> None:
    served = Served(home, "--token-file", home.home / "token")
    cookie = signed_in(served).headers["Set-Cookie"].partition(";")[0]
    statuses = [signed_in(served, f"wrong-token-{number}").status for number in range(TRIES // 2)]
    wrong = {"Authorization": "Bearer wrong"}
    statuses += [served.get("/", wrong).status for _ in range(TRIES - TRIES // 2)]
    assert set(statuses) == {401, 403}
    late = served.get("/", {"Authorization": f"Bearer {TOKEN}"})
    assert (late.status, signed_in(served).status) == (429, 429)
    assert 0 < int(late.headers["Retry-After"]) <= 61
    assert served.get("/", {"Cookie": cookie}).status == 200  # who is signed in stays so
    assert TOKEN not in home.log()


# --- the host ---


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("LOCALHOST:1", 200), ("localhost.:8080", 200), ("127.0.0.1", 200), ("[::1]:80", 200),
        ("attacker.example", 421), ("localhost.attacker.example", 421), ("127.0.0.1.attacker.example", 421),
        ("192.0.2.7", 421), ("[::2]", 421), ("user@localhost", 421), ("localhost:", 421), ("localhost:80:80", 421),
        ("localhost/x", 421), ("localhost#", 421), ("", 421), ("0x7f.1", 421), ("[localhost", 421),
    ],
)  # fmt: skip
def test_only_known_names_are_answered(gallery: Served, host: str, status: int) -> None:
    answer = gallery.get("/index.json", {"Host": host})
    assert answer.status == status
    assert host == "" or host.encode() not in answer.body


def test_requests_need_one_host(gallery: Served) -> None:
    assert gallery.raw(b"GET / HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 400")
    two = b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: attacker.example\r\n\r\n"
    assert gallery.raw(two).startswith(b"HTTP/1.1 400")
    elsewhere = gallery.raw(b"GET http://attacker.example/ HTTP/1.0\r\nHost: attacker.example\r\n\r\n")
    assert elsewhere.startswith(b"HTTP/1.1 421")


def test_further_names_are_allowed() -> None:
    hosts = Hosts("10.0.0.5", ("Gallery.Lab.example.",))
    assert hosts.allows("gallery.lab.example:8080")
    assert hosts.allows("10.0.0.5")
    assert not hosts.allows("10.0.0.6")
    assert Hosts("::").allows("[2001:db8::1]:8080")
    assert Hosts("fe80::1%eth0").allows("[fe80::1]:8080")


# --- what a browser may do ---


def test_every_response_has_the_headers(gallery: Served, picture: str) -> None:
    for path, status in (
        ("/", 200), ("/index.json", 200), (picture, 200), (f"{picture}/120.webp", 200),
        ("/static/gallery.js", 200), ("/no-such-page", 404),
        ("/jobs/1/layers/conv5", 404), ("/jobs/1/layers/conv5?order=x", 400),
    ):  # fmt: skip
        answer = gallery.get(path, HTML)
        assert answer.status == status, path
        expected = {
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        assert {name: answer.headers[name] for name in expected} == expected
        immutable = "public, max-age=31536000, immutable"
        assert answer.headers["Cache-Control"] == (immutable if path.startswith(picture) else "private, no-cache")
        assert "Server" not in answer.headers
        assert "Set-Cookie" not in answer.headers
    assert "unsafe" not in POLICY
    assert {"default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} <= set(
        POLICY.split("; ")
    )
    refused = gallery.get("/", {"Host": "attacker.example"})
    assert refused.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    "method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get", "BREW"]
)
def test_the_gallery_only_reads(gallery: Served, method: str) -> None:
    for path in ("/", "/login", "/static/style.css", "/jobs/1"):
        answer = gallery.get(path, {"Content-Length": "0"}, method)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_head_has_the_headers_and_no_body(gallery: Served, picture: str) -> None:
    for path in ("/", "/index.json", picture, "/static/style.css", "/no-such-page"):
        one, other = gallery.get(path), gallery.get(path, method="HEAD")
        assert (other.status, other.body) == (one.status, b"")
        assert other.headers["Content-Type"] == one.headers["Content-Type"]
        assert gallery.line(path.encode(), b"HEAD").endswith(b"\r\n\r\n")


# --- addresses ---

ADDRESSES = [
    b"/static/../application.py", b"/static/%2e%2e/application.py", b"/static/..%2fapplication.py",
    b"/static/%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd", b"/static//etc/passwd",
    b"/static/..\\application.py", b"/static/%5c..%5capplication.py", b"/static/style.css%00.png", b"/static/",
    b"/static/" + b"a" * 300, b"/pictures/../unitscope.sqlite3", b"/pictures/..%2f..%2funitscope.sqlite3.png",
    b"/pictures/" + b"a" * 64 + b".png", b"/pictures/" + b"/" * 64 + b".png",
    b"/pictures/" + b"%2f" * 64 + b".png",
    b"/pictures/" + b"a" * 64 + b".png%2f..%2f..", b"/pictures/" + b"." * 64 + b".png",
    b"/pictures/" + b"a" * 64 + b".safetensors", b"/pictures/" + b"a" * 64 + b".png/7.webp",
    b"/pictures/" + b"a" * 64 + b".png/0-0-99999999999999999999-1.png", b"/images/1/../720.webp",
    b"/images/99999999999999999999/" + b"a" * 16 + b"/720.webp", b"/images/1/%00/720.webp",
    b"/jobs/99999999999999999999/layers/conv5", b"/jobs/-1/layers/conv5", b"/jobs/1e5/layers/conv5",
    b"/jobs/%C2%B2/layers/conv5", b"/jobs/1/layers/%00", b"/jobs/1/layers/..%2f..", b"/jobs/1/layers/%ff%fe",
    b"/jobs/1/layers/conv5/units/99999999999999999999", b"/jobs/1/layers/conv5?order=%00",
    b"/jobs/1/layers/conv5?class=%00", b"/jobs/1/layers/conv5?after=nan,1", b"/jobs/1/layers/conv5?after=1,1e400",
    b"/jobs/1/layers/conv5?after=inf,99999999999999999999999", b"/jobs/1/layers/conv5?label=" + b"%25" * 3000,
    b"/runs?after=1,99999999999999999999", b"/runs?order=accuracy&after=nan,1",
    b"/jobs/1/occlusion?after=0,99999999999999999999",
    b"/" + b"a" * 3000, b"/?" + b"a" * 20_000, b"/?" + b"a=1&" * 100, b"/%0d%0aX-Injected:%201", b"//etc/passwd",
    b"/..;/..;/etc/passwd", b"/%", b"/%zz", b"/.git/config", b"/\\..\\..\\etc\\passwd",
]  # fmt: skip


@pytest.mark.parametrize("address", ADDRESSES, ids=lambda address: repr(address)[:60])
def test_no_address_leads_out_or_breaks_the_server(gallery: Served, address: bytes) -> None:
    answer = gallery.line(address)
    status = int(answer.split(b" ", 2)[1])
    assert 400 <= status < 500
    for leak in (b"Traceback", b'File "', b"root:", b"SQLite format", b"import ", b"/home", b"X-Injected"):
        assert leak not in answer
    assert "Traceback" not in gallery.analyze.log()


def test_malformed_requests_get_400(gallery: Served) -> None:
    host = b"Host: localhost\r\n"
    # What comes in one piece is read in any case: large heads are larger than a piece.
    for request in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(60),  # TLS
        b"GET\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n" + host + b"\r\n",
        b"GET / HTTP/1.1\r\n" + host + b"A\x00B: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + host + b"Content-Length: -1\r\n\r\n",
        b"GET /" + b"a" * LONGEST_REQUEST_HEAD * 16 + b" HTTP/1.1\r\n" + host + b"\r\n",
        b"GET / HTTP/1.1\r\n" + host + b"X: " + b"a" * LONGEST_REQUEST_HEAD * 16 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + host + b"".join(b"X%d: 1\r\n" % n for n in range(100_000)) + b"\r\n",
    ):
        with contextlib.suppress(ConnectionResetError):  # bytes were left that the server has not read
            answer = gallery.raw(request)
            assert re.match(rb"HTTP/1.1 4\d\d ", answer), request[:60]
            assert b"Traceback" not in answer
    assert gallery.get("/").status == 200
    log = gallery.analyze.log()
    assert "Traceback" not in log
    assert "Invalid HTTP" not in log  # anybody could fill the log


@pytest.mark.parametrize("path", [b"/index.json", b"/login", b"/static/style.css"])
def test_a_request_has_one_length(locked: Served, path: bytes) -> None:
    """Behind a proxy that took the other one, the second request would be that of another client."""
    method = b"POST" if path == b"/login" else b"GET"
    smuggled = b"GET /static/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n"
    chunked, counted = b"Transfer-Encoding: chunked\r\n", b"Content-Length: %d\r\n" % (5 + len(smuggled))
    for version, fields in (
        (b"1.1", counted + chunked),
        (b"1.1", chunked + counted),
        (b"1.0", chunked),
    ):
        start = b"%s %s HTTP/%s\r\nHost: localhost\r\n" % (method, path, version)
        answer = locked.raw(start + fields + b"\r\n0\r\n\r\n" + smuggled)
        assert answer.startswith(b"HTTP/1.1 400"), fields
        assert answer.count(b"HTTP/1.1 ") == 1  # the connection ends: nothing behind it is read
    alone = b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" % b"/static/icon.svg"
    assert locked.raw(alone + chunked + b"\r\n0\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_a_websocket_is_an_ordinary_request(gallery: Served) -> None:
    upgrade = (b"Upgrade: websocket\r\n", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n")
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\n" + b"".join(upgrade) + b"\r\n"
    assert not gallery.raw(request).startswith(b"HTTP/1.1 101")


# --- slow and idle connections ---


def test_slow_requests_are_ended_while_others_are_answered(locked: Served) -> None:
    head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n"
    beginnings = [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
        head,
        head.replace(b"POST", b"GET"),
    ]
    begun = time.monotonic()
    connections = []
    for beginning in beginnings:
        connection = locked.connect()
        connection.sendall(beginning)
        connections.append(connection)
    kept = locked.connect()  # a first request is complete, a second one is not
    kept.sendall(b"GET /static/icon.svg HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert kept.recv(12) == b"HTTP/1.1 200"
    connections.append(kept)
    open_ones = set(connections)
    while open_ones:
        assert time.monotonic() < begun + REQUEST_SECONDS + 5, f"{len(open_ones)} connections are still open"
        for connection in list(open_ones):
            with contextlib.suppress(BlockingIOError):
                try:
                    connection.send(b"a")  # one byte after the other
                    connection.setblocking(False)
                    ended = connection.recv(100_000) == b""
                except (ConnectionResetError, BrokenPipeError):
                    ended = True
                connection.setblocking(True)
                if ended:
                    open_ones.discard(connection)
            connection.setblocking(True)
        asked = time.monotonic()
        assert locked.get("/static/icon.svg").status == 200
        assert time.monotonic() - asked < 2
        time.sleep(0.2)
    for connection in connections:
        connection.close()


def test_thousands_of_idle_connections_make_room(gallery: Served) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = MOST_CONNECTIONS + 500
    if hard != resource.RLIM_INFINITY and hard < count + 500:
        pytest.skip(f"this user can open {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 500), hard))
    idle = []
    try:
        for number in range(count):
            idle.append(gallery.connect())
            if number % 100 == 0:
                asked = time.monotonic()
                assert gallery.get("/index.json").status == 200
                assert time.monotonic() - asked < 2
        assert gallery.get("/").status == 200
        ended = select.poll()
        for connection in idle:
            ended.register(connection, select.POLLIN | select.POLLHUP)
        assert len(ended.poll(0)) >= count - MOST_CONNECTIONS
    finally:
        for connection in idle:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "Traceback" not in gallery.analyze.log()


def test_an_idle_connection_is_kept_for_some_requests(gallery: Served) -> None:
    connection = http.client.HTTPConnection(gallery.host, gallery.port, timeout=10)
    for _ in range(3):
        connection.request("GET", "/index.json")
        assert connection.getresponse().read()
    connection.close()
