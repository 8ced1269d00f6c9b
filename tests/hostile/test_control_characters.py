"""Control characters in every text of the database and in every argument: no command prints one."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import CheckConstraint, String, Table

from producer.cli.context import App
from producer.cli.service.doctor import _print as print_checks
from producer.operations.checks import Check
from shared.database.base import Base
from tests.hostile.exports import make_victim
from tests.integration.cli.helpers import Call, Done, Home

# Escape sequences, C1 controls, backspace, carriage return, DEL, and characters that reverse the text after them.
ARGUMENT = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\x08\x7f\u202e\u2066\ufeff"
EVIL = ARGUMENT + "\0"
REVERSING = set("\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
# Texts of the specifications that any text can be; others are one of a few words.
FREE_TEXTS = {"layer", "path", "split", "name", "target"}
NOT_FREE = {
    *(("jobs", "kind"), ("networks", "key"), ("training_runs", "network_key"), ("training_runs", "environment")),
    ("database_identity", "uuid"),
}
TOP9, TRAIN, OCCLUSION = 1, 2, 3


def free_columns(table: Table) -> Iterator[str]:
    """Yield the columns of a table that can contain any text."""
    checks = [str(check.sqltext) for check in table.constraints if isinstance(check, CheckConstraint)]
    for column in table.columns:
        is_text = isinstance(getattr(column.type, "impl", column.type), String) and not getattr(
            column.type, "length", None
        )
        limited = any(f"{column.name} IN" in check for check in checks) or (table.name, column.name) in NOT_FREE
        if is_text and not limited and not column.info.get("artifact"):
            yield column.name


def with_evil(value: Any, key: str = "") -> Any:
    """Append ``EVIL`` to the free texts of a specification, and let the job have all kinds of results."""
    if key in ("bottom", "per_class", "positions"):
        return True
    if isinstance(value, dict):
        return {name: with_evil(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [with_evil(inner, key) for inner in value]
    return value + EVIL if isinstance(value, str) and key in FREE_TEXTS else value


def make_evil(database: Path) -> set[tuple[str, str]]:
    """Append ``EVIL`` to every text of a database, and return the changed columns."""
    changed = set()
    with sqlite3.connect(database) as connection:
        connection.create_function("with_evil", 1, lambda text: json.dumps(with_evil(json.loads(text))))
        connection.execute(
            "INSERT INTO workers (name, device, queues, pid, started_at, seen_at, problem) VALUES "
            "('host:1', 'cpu', '[\"analysis\"]', 1, '2026-01-01 00:00:00', strftime('%s', 'now'), 'x')"
        )
        connection.execute(
            "INSERT INTO removed_jobs VALUES (77, 'top9', 'x', 'y', '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
        )
        connection.execute("UPDATE jobs SET error = 'x' WHERE kind = 'train'")
        connection.execute("UPDATE jobs SET specification = with_evil(specification)")
        connection.execute("UPDATE datasets SET class_names = ?", (json.dumps(["a" + EVIL, "b" + EVIL]),))
        for table in Base.metadata.sorted_tables:
            for column in free_columns(table):
                evil = ARGUMENT if (table.name, column) == ("datasets", "name") else EVIL
                done = connection.execute(f'UPDATE {table.name} SET "{column}" = "{column}" || ?', (evil,))
                changed |= {(table.name, column)} if done.rowcount else set()
    return changed


def calls(folder: Path) -> dict[str, list[Call]]:
    """Return commands that read and print texts, by the format of their output."""
    jobs = (TOP9, TRAIN, OCCLUSION)
    results = [("results", TOP9), ("results", TOP9, "--bottom"), ("results", TOP9, "--per-class"),
               ("results", TOP9, "--statistics"), ("results", TOP9, "--best", 3),
               ("results", OCCLUSION), ("results", OCCLUSION, "--positions"), ("compare", TRAIN)]  # fmt: skip
    tables = [
        f'SELECT * FROM "{name}"' for name in ("jobs", "images", "datasets", "workers", "events", "removed_jobs")
    ]
    mine = "mine" + ARGUMENT
    naming: list[tuple[object, ...]] = [
        ("ls",), ("du",), ("metrics",), ("dataset", "ls"), ("dataset", "show", mine), ("dataset", "rm", mine),
        ("dataset", "rm", mine, "--with-jobs", "--dry-run"), ("dataset", "update", mine, "--dry-run"),
        ("rm", TRAIN, "--dry-run"), ("status", 77), (f"no{ARGUMENT}",), ("ls", "--state", ARGUMENT),
        ("dataset", "show", ARGUMENT),
        ("results", TOP9, "--layer", ARGUMENT), ("results", TOP9, "--class", ARGUMENT),
        ("query", f"SELECT '{ARGUMENT}' AS \"{ARGUMENT}\" FROM \"{ARGUMENT}\""),
        ("query", f"SELECT 1 AS \"{ARGUMENT}\""), ("export", TRAIN, folder / "no" / ARGUMENT),
        ("import", folder / ARGUMENT), ("submit", "--layer", "5", "--dataset", ARGUMENT, "--run", TRAIN),
        ("dataset", "add", "folder", "--root", folder / ARGUMENT),
        *((verb, job) for verb in ("status", "watch", "logs") for job in jobs), *results,
        *(("query", sql) for sql in tables),
    ]  # fmt: skip
    others: list[tuple[object, ...]] = [
        ("gc",), ("db", "version"), ("prune", "--older-than", "1h"), ("retry", TRAIN), ("cancel", TRAIN),
        ("results", TRAIN), ("export", TRAIN, folder / f"{ARGUMENT}.tar"),
        ("import", folder / f"{ARGUMENT}.tar"), ("import", folder / f"{ARGUMENT}.tar", "--force"),
        *(("results", job, "--html", folder / f"{job}.html") for job in (TOP9, OCCLUSION)),
    ]  # fmt: skip
    asked: dict[str, list[Call]] = {"naming": [(words, {}) for words in naming]}
    asked["naming"].append((("ls",), {"home": str(folder / "file" / ARGUMENT)}))
    asked["others"] = [(words, {}) for words in others]
    csv_of = [*results, ("query", tables[1])]
    asked["csv"] = [((*words, "--format", "csv"), {}) for words in csv_of]
    with_json = [*results, *(("query", sql) for sql in tables), ("ls",), ("du",), ("dataset", "ls"),
                 ("dataset", "show", mine), *(("status", job) for job in jobs)]  # fmt: skip
    asked["json"] = [((*words, "--json"), {}) for words in with_json]
    return asked


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[Done]], Path]:
    folder = tmp_path_factory.mktemp("evil")
    (folder / "file").write_text("no folder")
    make_victim(folder / "home")
    changed = make_evil(folder / "home" / "unitscope.sqlite3")
    assert {"datasets", "images", "jobs", "shards", "events", "workers", "searched_layers"} <= {
        table for table, _ in changed
    }
    assert ("images", "class_name") in changed
    asked = calls(folder)
    answers = iter(Home(folder / "home").many([call for of_form in asked.values() for call in of_form]))
    return {form: [next(answers) for _ in of_form] for form, of_form in asked.items()}, folder


def control_characters(text: str) -> set[str]:
    return {
        letter
        for letter in set(text) - {"\n", "\t"}
        if unicodedata.category(letter) in ("Cc", "Cs") or letter in REVERSING
    }


def test_no_command_prints_control_characters(printed: tuple[dict[str, list[Done]], Path]) -> None:
    outputs, folder = printed
    for done in outputs["naming"] + outputs["others"]:
        assert "Traceback" not in done.stderr, (done.args, done.stderr[-2000:])
        assert control_characters(done.stdout) == set(), done.args
        assert control_characters(done.stderr) == set(), done.args
    assert [done.args for done in outputs["naming"] if r"\x1b" not in done.stdout + done.stderr] == []
    pages = [(folder / f"{job}.html").read_text() for job in (TOP9, OCCLUSION)]
    assert [control_characters(page) for page in pages] == [set(), set()]
    assert all(r"\x1b" in page for page in pages)


def test_json_escapes_control_characters_and_keeps_texts(printed: tuple[dict[str, list[Done]], Path]) -> None:
    outputs, _ = printed
    for done in outputs["json"]:
        assert done.returncode == 0, (done.args, done.stderr)
        assert control_characters(done.stdout + done.stderr) == set(), done.args
        assert json.loads(done.stdout) is not None
    assert sum(json.dumps(EVIL)[1:-1] in done.stdout for done in outputs["json"]) > 12


def test_csv_in_a_pipe_keeps_texts(printed: tuple[dict[str, list[Done]], Path]) -> None:
    """A program reads it. On a terminal control characters are escaped."""
    outputs, _ = printed
    for done in outputs["csv"]:
        assert done.returncode == 0, (done.args, done.stderr)
        assert control_characters(done.stderr) == set(), done.args
    rows = list(csv.DictReader(io.StringIO(outputs["csv"][-1].stdout, newline="")))
    assert [row["class_name"] for row in rows] == ["a" + EVIL, "b" + EVIL, "b" + EVIL]


def test_a_check_of_doctor_is_one_line_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    check = Check("workers", True, f"worker {EVIL}\nok      forged: x", "")
    print_checks(App({}), {"store": {"value": EVIL, "from": EVIL}}, [check])
    printed = capsys.readouterr().out
    assert control_characters(printed) == set()
    assert printed.count(r"\x1b") == 6
    assert next(line for line in printed.splitlines() if "forged" in line).startswith("ok")
    assert len([line for line in printed.splitlines() if line.startswith("ok")]) == 1
