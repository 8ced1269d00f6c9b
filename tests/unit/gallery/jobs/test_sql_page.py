"""The page of queries: rows, refusals, CSV, and its limits."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from producer.gallery import query_process
from producer.gallery.page import Gallery
from producer.gallery.turns import Turns
from shared.jobs.ledger import Ledger
from tests.integration.ledger.helpers import top9

Read = Callable[[str], str]


def ask(client: TestClient, sql: str, form: str = ".json") -> object:
    return client.get(f"/sql{form}", params={"q": sql})


def test_the_schema_and_examples_stand_beside_the_form(page: Read) -> None:
    shown = page("/sql")
    assert "top_activations" in shown
    assert "projection_largest" in shown
    assert "/sql?q=SELECT" in shown
    for internal in ("alembic_version", "top_activation_rows", "database_identity"):
        assert internal not in shown


def test_rows_of_a_query(ledger: Ledger, client: TestClient) -> None:
    ledger.submit(top9(1))
    answer = ask(client, "SELECT id, kind, NULL AS missing, '<b>' AS markup FROM jobs").json()
    assert answer["rows"] == [{"id": 1, "kind": "top9", "missing": None, "markup": "<b>"}]
    assert answer["columns"] == ["id", "kind", "missing", "markup"]
    shown = ask(client, "SELECT '<b>' AS markup", "").text
    assert "&lt;b&gt;" in shown
    assert "<b>" not in shown


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("DELETE FROM jobs", "not authorized: a query can only read (SELECT)"),
        ("SELECT 1; SELECT 2", "one statement"),
        ("SELECT nowhere", "no such column"),
        ("--limit 5", "returns no rows"),
        ("ATTACH '/tmp/x' AS x", "not authorized"),
    ],
)
def test_refused_queries_say_why_and_keep_the_text(client: TestClient, sql: str, reason: str) -> None:
    answer = ask(client, sql, "")
    assert answer.status_code == 200
    assert reason in answer.text
    assert 'role="alert"' in answer.text
    assert ask(client, sql).json()["rows"] is None
    assert ask(client, sql, ".csv").status_code == 400


def test_more_rows_than_are_shown(client: TestClient) -> None:
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 700) SELECT i FROM n"
    answer = ask(client, sql).json()
    assert len(answer["rows"]) == query_process.ROWS
    assert "first 500 rows" in answer["note"]
    assert ask(client, sql, ".csv").text.split() == ["i", *map(str, range(1, 701))]


def test_formulas_are_text_in_csv(client: TestClient) -> None:
    answer = ask(client, "SELECT '=HYPERLINK(1)' AS x", ".csv")
    assert answer.text == "x\n'=HYPERLINK(1)\n"
    assert answer.headers["content-type"].startswith("text/csv")


def test_a_query_that_takes_too_long_is_ended(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_process, "SECONDS", 1)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    assert "more than 1 s" in ask(client, endless).json()["error"]


def test_an_answer_that_is_too_large_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_process, "LARGEST", 100_000)
    assert "larger than" in ask(client, "SELECT hex(zeroblob(200000)) AS x").json()["error"]


def test_only_some_queries_run_at_once(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_process, "_turns", Turns(1, "queries run"))
    with query_process._turns.one():
        refused = ask(client, "SELECT 1")
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "5"
    assert ask(client, "SELECT 1 AS n").json()["rows"] == [{"n": 1}]


def test_a_database_that_is_away_is_no_fault_of_the_query(gallery: Gallery) -> None:
    away = "postgresql+psycopg://reader@127.0.0.1:1/unitscope"
    settings = gallery.settings.model_copy(update={"query_database_url": away})
    with pytest.raises(HTTPException) as refused:
        query_process.run_query_process(settings, "SELECT 1", "json", 5)
    assert (refused.value.status_code, "127.0.0.1" in refused.value.detail) == (503, False)


def test_no_secret_is_in_the_command(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings reach the process by its environment; its arguments can be seen by other users."""
    started: list[tuple[list[str], dict[str, str]]] = []

    def record(command: list[str], *, env: dict[str, str], **options: object) -> None:
        started.append((command, env))
        raise OSError("not started")

    monkeypatch.setattr(query_process.subprocess, "Popen", record)
    url = "postgresql+psycopg://reader:sesame@127.0.0.1/unitscope"
    settings = gallery.settings.model_copy(update={"query_database_url": url})
    with pytest.raises(OSError, match="not started"):
        query_process.run_query_process(settings, "SELECT 1", "json", 5)
    assert started
    for command, environment in started:
        assert "sesame" not in " ".join(command)
        assert environment["ANALYZE_QUERY_DATABASE_URL"] == url
        assert environment["PYTHONSAFEPATH"] == "1"


@pytest.fixture
def prepared(gallery: Gallery) -> Iterator[subprocess.Popen[bytes]]:
    """The process that waits for the next query."""
    while query_process._ready:
        query_process._end(query_process._ready.pop().process)
    query_process.prepare(gallery.settings)
    [ready] = query_process._ready
    yield ready.process
    query_process._end(ready.process)


def test_a_query_is_run_by_the_process_that_waits(client: TestClient, prepared: subprocess.Popen[bytes]) -> None:
    assert client.get("/sql").status_code == 200
    [ready] = query_process._ready
    assert ready.process is prepared, "the page started a second one"
    assert ask(client, "SELECT 1 AS n").json()["rows"] == [{"n": 1}]
    assert prepared.returncode == 0
    [following] = query_process._ready
    assert following.process.poll() is None, "no process waits for the next query"
    assert ask(client, "SELECT 2 AS n").json()["rows"] == [{"n": 2}]
    assert following.process.returncode == 0


def test_a_process_that_has_died_is_replaced(client: TestClient, prepared: subprocess.Popen[bytes]) -> None:
    prepared.kill()
    prepared.wait(60)
    assert ask(client, "SELECT 1 AS n").json()["rows"] == [{"n": 1}]
    assert prepared.returncode == -signal.SIGKILL


def test_a_process_with_other_settings_runs_no_query(
    ledger: Ledger, gallery: Gallery, prepared: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    ledger.submit(top9(1))
    other = gallery.settings.model_copy(update={"home": tmp_path / "other", "database_url": None})
    answered = query_process.run_query_process(other, "SELECT count(*) AS jobs FROM jobs", "csv", 5)
    assert answered.output.split() == ["jobs", "0"]
    assert prepared.returncode == -signal.SIGKILL


def test_the_process_ends_with_the_gallery(prepared: subprocess.Popen[bytes]) -> None:
    assert prepared.stdin is not None
    prepared.stdin.close()  # as the system closes it
    assert prepared.wait(60) == 0


def test_the_text_of_a_query_is_limited(client: TestClient) -> None:
    assert ask(client, "SELECT " + "1" * 9000, "").status_code == 400
    assert ask(client, "SELECT '\0'", "").status_code == 400
    assert client.get("/sql.csv").status_code == 400
