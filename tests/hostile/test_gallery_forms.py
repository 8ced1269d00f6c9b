"""Forms that change jobs: sent by pages elsewhere, without the right token, and where nothing may be changed."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from producer.gallery.access.forms import COOKIE
from shared.database.connection import Database
from shared.jobs.ledger import Ledger
from tests.conftest import Analyze
from tests.integration.ledger.helpers import job_of, messages, top9
from tests.served import Answer, Served
from tests.unit.gallery.jobs.conftest import add_dataset

LOGIN_TOKEN = "correct-horse-battery-staple"
CHANGES = ("cancel", "retry", "priority")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Analyze]:
    analyze = Analyze(tmp_path_factory.mktemp("forms") / "home")
    analyze.home.mkdir(parents=True)
    shutil.copyfile(sqlite_template, analyze.home / "unitscope.sqlite3")
    (analyze.home / "token").write_text(f"{LOGIN_TOKEN}\n")
    database = Database(analyze.database_url)
    add_dataset(database, "voc.2007", ["cat", "dog"])
    database.close()
    yield analyze
    analyze.end()


@pytest.fixture(scope="module")
def changing(home: Analyze) -> Served:
    """A gallery that allows changes, without a token."""
    return Served(home, "--allow-changes")


@pytest.fixture
def ledger(home: Analyze) -> Iterator[Ledger]:
    database = Database(home.database_url)
    yield Ledger(database)
    database.close()


@pytest.fixture
def job(ledger: Ledger) -> int:
    """A job that waits."""
    return ledger.submit(top9(1), force=True)[0]


class Visitor:
    """A browser with its cookies."""

    def __init__(self, served: Served, **headers: str) -> None:
        self.served, self.headers = served, headers

    def token(self, job: int) -> str:
        """Open the page of a job, keep its cookie, and return the token of its forms."""
        page = self.served.get(f"/jobs/{job}", self.headers)
        assert page.status == 200
        assert page.headers["Referrer-Policy"] == "same-origin"  # with no-referrer, forms have "Origin: null"
        if cookie := page.headers["Set-Cookie"]:
            assert {"HttpOnly", "SameSite=lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}
            kept = [self.headers["Cookie"]] if "Cookie" in self.headers else []
            self.headers["Cookie"] = "; ".join([*kept, cookie.partition(";")[0]])
        tokens = set(re.findall(r'name="form_token" value="(\w+)"', page.body.decode()))
        assert len(tokens) == 1
        return tokens.pop()

    def send(self, job: int, change: str, token: str | None, **headers: str) -> Answer:
        """Send a form; ``token`` None is a form without one."""
        fields = {"priority": "high"} | ({} if token is None else {"form_token": token})
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.served.get(
            f"/jobs/{job}/{change}", {**self.headers, **form, **headers}, "POST", urlencode(fields)
        )


def test_the_buttons_of_a_page_change_the_job(changing: Served, ledger: Ledger, job: int) -> None:
    visitor = Visitor(changing)
    token = visitor.token(job)
    for change in ("priority", "cancel", "retry"):
        answer = visitor.send(job, change, token, Origin=changing.url, **{"Sec-Fetch-Site": "same-origin"})
        assert (answer.status, answer.headers["Location"]) == (303, f"/jobs/{job}"), answer.body
        assert visitor.token(job) == token  # forms of a page that is open stay valid
    requested = [message for message in messages(ledger, job) if "requested" in message or "priority" in message]
    assert requested == ["priority: high", "cancel requested", "retry requested"]
    assert job_of(ledger, job).state == "queued"


@pytest.mark.parametrize("change", CHANGES)
def test_a_form_needs_the_token_of_its_browser(changing: Served, ledger: Ledger, job: int, change: str) -> None:
    visitor, other = Visitor(changing), Visitor(changing)
    token, foreign = visitor.token(job), other.token(job)
    assert token != foreign
    before = messages(ledger, job)
    for wrong in (None, "", "0" * 64, token[:-1], foreign, f"{token}0", "ü" * 32):
        answer = visitor.send(job, change, wrong)
        assert answer.status == 403, wrong
        assert b"Nothing was changed" in answer.body
    assert Visitor(changing).send(job, change, token).status == 403  # no cookie
    assert Visitor(changing, Cookie=f"{COOKIE}=x").send(job, change, token).status == 403
    assert messages(ledger, job) == before


@pytest.mark.parametrize("change", CHANGES)
def test_a_page_elsewhere_sends_no_form(changing: Served, ledger: Ledger, job: int, change: str) -> None:
    visitor = Visitor(changing)
    token = visitor.token(job)
    before = messages(ledger, job)
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://attacker.example"},
        {"Origin": "null"},
        {"Origin": f"http://{changing.host}:{changing.port + 1}"},
        {"Origin": changing.url, "Sec-Fetch-Site": "cross-site"},
    ):
        answer = visitor.send(job, change, token, **headers)
        assert answer.status == 403, headers
        assert b"has to be sent by a page of this gallery" in answer.body
    assert visitor.send(job, change, token, Host="attacker.example").status == 421
    assert messages(ledger, job) == before


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_only_a_form_changes_something(changing: Served, ledger: Ledger, job: int, method: str) -> None:
    visitor = Visitor(changing)
    token = visitor.token(job)
    before = messages(ledger, job)
    for change in CHANGES:
        path = f"/jobs/{job}/{change}?form_token={token}&priority=high"
        answer = changing.get(path, visitor.headers, method)
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
    assert changing.get(f"/jobs/{job}", visitor.headers, "POST", f"form_token={token}").status == 405
    assert messages(ledger, job) == before


def test_without_the_option_there_are_no_buttons_and_no_forms(home: Analyze, ledger: Ledger, job: int) -> None:
    reading = Served(home)
    page = reading.get(f"/jobs/{job}")
    assert b"<form" not in page.body
    assert (page.headers["Set-Cookie"], page.headers["Referrer-Policy"]) == (None, "no-referrer")
    before = messages(ledger, job)
    for change in CHANGES:
        answer = Visitor(reading, Cookie=f"{COOKIE}={'0' * 64}").send(job, change, "0" * 64)
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
        assert reading.get(f"/jobs/{job}/{change}").status == 404
    assert messages(ledger, job) == before


def test_who_has_not_signed_in_changes_nothing(home: Analyze, ledger: Ledger, job: int) -> None:
    locked = Served(home, "--allow-changes", "--token-file", home.home / "token")
    signed_in = Visitor(locked, Authorization=f"Bearer {LOGIN_TOKEN}")
    token = signed_in.token(job)
    before = messages(ledger, job)
    stranger = Visitor(locked, Cookie=signed_in.headers["Cookie"])
    assert stranger.send(job, "cancel", token).status == 401
    assert stranger.send(job, "cancel", token, Accept="text/html").headers["Location"].startswith("/login")
    assert messages(ledger, job) == before
    assert signed_in.send(job, "cancel", token).status == 303
    assert job_of(ledger, job).state == "cancelled"


def test_a_form_of_an_ended_gallery_is_refused(home: Analyze, changing: Served, ledger: Ledger, job: int) -> None:
    visitor = Visitor(changing)
    token = visitor.token(job)
    other = Served(home, "--allow-changes")
    visitor.served = other
    assert visitor.send(job, "cancel", token).status == 403
    assert job_of(ledger, job).state == "queued"


def test_what_is_not_possible_is_explained(changing: Served, ledger: Ledger, job: int) -> None:
    visitor = Visitor(changing)
    token = visitor.token(job)
    refused = visitor.send(job, "retry", token)
    assert (refused.status, b"Job %d is queued" % job in refused.body) == (409, True)
    assert visitor.send(10**6, "cancel", token).status == 404
    assert visitor.send(10**12, "cancel", token).status == 404
    assert visitor.send(job, "remove", token).status == 405
    form = {"Content-Type": "application/x-www-form-urlencoded", **visitor.headers}
    for body, status in (
        ("a=" + "b" * 5000, 400), ("&".join(f"a{n}=1" for n in range(50)), 400), (f"form_token={token}", 400),
        (f"form_token={token}&priority=highest", 400), ("{}", 403), ("", 403),
    ):  # fmt: skip
        answer = changing.get(f"/jobs/{job}/priority", form, "POST", body)
        assert answer.status == status, body
    assert job_of(ledger, job).priority == 0
    assert "Traceback" not in changing.analyze.log()


def test_a_retry_needs_a_redis_that_answers(home: Analyze, ledger: Ledger, job: int) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        home.environment["ANALYZE_REDIS_URL"] = f"redis://127.0.0.1:{closed.getsockname()[1]}"
        try:
            served = Served(home, "--allow-changes")
        finally:
            del home.environment["ANALYZE_REDIS_URL"]
        visitor = Visitor(served)
        token = visitor.token(job)
        assert visitor.send(job, "cancel", token).status == 303  # needs none
        answer = visitor.send(job, "retry", token)
    assert (answer.status, b"Redis at its address is unreachable" in answer.body) == (503, True)
    assert job_of(ledger, job).state == "cancelled"


def test_who_needs_no_token_gets_no_buttons(analyze: Analyze) -> None:
    assert "--allow-changes" in analyze("serve", "--public", "--allow-changes", code=2).stderr
    assert "--serve" in analyze("up", "--allow-changes", code=2).stderr
