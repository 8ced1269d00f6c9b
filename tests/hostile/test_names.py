"""Names with arbitrary characters are stored and shown unchanged, and have no side effects."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from producer.datasets.folder import read_folder
from shared.errors import NotADataset
from tests.integration.cli.helpers import Call, Done, Home, refusal

ODD_NAMES = ["two words", "quo'te\"", "new\nline", "🐈", "[/x]", "[red]x", "{0}", "%s", "-x", "a/../b", "x" * 300]


@pytest.fixture(scope="module")
def named(home: Home, photos: Path, trained: int) -> dict[str, list[Done]]:
    """Outputs of the commands that add, show and submit a data set with each unusual name, and of its job's
    status."""
    calls: list[Call] = []
    for unit, name in enumerate(ODD_NAMES):
        search = ("submit", "--layer", "4", "--dataset", name, "--split", "all", "--run", trained)
        calls += [
            (("dataset", "add", "folder", "--root", photos, "--name", name), {}),
            (("dataset", "show", "--json", "--", name), {}),
            (("dataset", "show", "--", name), {}),
            ((*search, "--units", unit), {}),
            (("ls", "--limit", "1"), {}),
            (("dataset", "ls"), {}),
        ]
    answers = iter(home.many(calls))
    return {name: [next(answers) for _ in range(6)] for name in ODD_NAMES}


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: ascii(name)[:20])
def test_unusual_name_is_shown_unchanged(named: dict[str, list[Done]], photos: Path, name: str) -> None:
    added, as_json, shown, submitted, jobs, datasets = named[name]
    for done in named[name]:
        assert done.returncode == 0, done.stderr[-1500:]
    assert added.stdout == f"{name}\n"
    assert json.loads(as_json.stdout)["name"] == name
    assert submitted.stdout.strip().isdecimal()
    assert "".join(name.split()) in "".join(shown.stdout.split())  # long lines are wrapped
    if "\n" not in name and len(name) < 100:  # a table wraps other names
        assert name in jobs.stdout
        assert name in datasets.stdout
    assert str(photos) in "".join(shown.stdout.split())
    assert "[bold]" in shown.stdout


def test_page_shows_names_as_text(home: Home, trained: int, tmp_path: Path) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    (tmp_path / "data" / hostile).mkdir(parents=True)
    Image.fromarray(np.full((8, 8, 3), 100, np.uint8)).save(tmp_path / "data" / hostile / "a.png")
    name = "<script>alert(2)</script>"
    home("dataset", "add", "folder", "--root", tmp_path / "data", "--name", name)
    search = ("submit", "--layer", "5", "--units", "7", "--dataset", name, "--split", "all", "--run", trained)
    job = int(home(*search).stdout)
    summary = json.dumps({"images": 1, "images_left_out": 0, "layers": []})
    for statement in (
        f"UPDATE jobs SET state = 'done', shards_left = 0, finished_at = created_at, summary = '{summary}' "
        f"WHERE id = {job}",
        f"INSERT INTO searched_layers (id, job_id, layer, layer_path) VALUES (88, {job}, 'conv5', 'features.10')",
        "INSERT INTO searched_units (layer_id, unit, dead) VALUES (88, 7, 0)",
        'INSERT INTO top_activation_rows (layer_id, unit, rank, activation, image_id, "row", col, patch_path, '
        "projection_path, projection_scale) "
        "VALUES (88, 7, 1, 0.125, (SELECT max(id) FROM images), 2, 3, 'a.png', 'b.png', 0.5)",
    ):
        home.change(statement)
    assert hostile in home("results", job).stdout
    home("results", job, "--html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "alert(1)" in page
    assert "alert(2)" in page
    assert hostile not in page
    assert "<script>alert" not in page


# --- terminal control sequences ---

COMMANDS = ["\x1b]0;owned\x07", "\x1b[2J", "\x9b2J", "\r", "\x7f", "\u202egnp.exe", "\ufeff", "x" * 10_000]


@pytest.fixture(scope="module")
def commanded(home: Home, photos: Path, tmp_path_factory: pytest.TempPathFactory, trained: int) -> list[Done]:
    """Outputs of all commands for a data set whose name, classes and files contain terminal control sequences."""
    root = tmp_path_factory.mktemp("commands")
    name = "".join(COMMANDS)
    for command in COMMANDS[:-1]:
        (root / f"{command}class").mkdir()
        (root / f"{command}class" / f"{command}.png").write_bytes(b"no image")
    (root / "dog").mkdir()
    Image.new("RGB", (8, 8)).save(root / "dog" / f"{COMMANDS[0]}.png")
    search = ("submit", "--layer", "5", "--units", "3", "--dataset", name, "--split", "all", "--run", trained)
    added, submitted = home.many(
        [(("dataset", "add", "folder", "--root", root, "--name", name), {}), (search, {})]
    )
    job = submitted.stdout.strip()
    error = "broken: " + "".join(COMMANDS[:-1]) + "\n2026-01-01 00:00:00 info forged"
    with sqlite3.connect(home.home / "unitscope.sqlite3") as connection:
        connection.execute("UPDATE jobs SET state = 'failed', error = ? WHERE id = ?", (error, job))
        row = "INSERT INTO events (job_id, at, level, message) VALUES (?, '2026-01-01 00:00:00', 'error', ?)"
        connection.execute(row, (job, error))
    calls: list[Call] = [
        (("dataset", "show", "--", name), {}), (("dataset", "ls"), {}), (("ls", "--limit", "1"), {}),
        (("status", job), {}), (("logs", job), {}), (("watch", job), {}),
        (("query", "SELECT class_name, path FROM images ORDER BY id DESC LIMIT 1"), {}),
        (("dataset", "show", "--", f"no{name}"), {}), ((f"no{name}",), {}), (("ls", "--state", name), {}),
    ]  # fmt: skip
    assert added.returncode == 0, added.stderr
    return [submitted, *home.many(calls)]


def test_control_sequences_in_names_are_not_printed(commanded: list[Done]) -> None:
    for done in commanded:
        words = done.stdout + done.stderr
        assert "Traceback" not in words
        assert not [letter for letter in "\x1b\x9b\x07\r\x7f\u202e\ufeff" if letter in words], words[:2000]
    shown, listed, _, status, logs, *_ = commanded[1:]
    for words in (shown.stdout, status.stdout, logs.stdout):
        assert r"\x1b" in words
    assert r"\x1b" in listed.stdout
    assert [line for line in logs.stdout.splitlines() if line.startswith("2026-01-01")][1:] == []


def test_messages_have_a_maximum_length(home: Home) -> None:
    done = home("dataset", "show", "x" * 100_000, code=4)
    assert len(done.stderr) < 11_000
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("form", ["csv", "table"])
def test_control_sequences_are_escaped_only_on_a_terminal(home: Home, form: str) -> None:
    """Output to a pipe is not changed."""
    sql = "SELECT 'a' || char(27) || '[2J' || char(155) || 'b' AS x"
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "producer", "query", sql, "--format", form]
    done = subprocess.run(command, env=home.environment, stdout=theirs, stderr=subprocess.PIPE, check=True)
    os.close(theirs)
    words = os.read(ours, 10_000).decode()
    os.close(ours)
    assert done.stderr == b""
    assert r"a\x1b[2J\x9bb" in words
    assert "\x1b[2J" not in words
    if form == "csv":
        assert "a\x1b[2J\x9bb" in home("query", sql, "--format", form).stdout


def test_an_encoding_without_the_needed_characters_does_not_crash(home: Home, photos: Path) -> None:
    narrow = Home(home.home)
    narrow.environment |= {"PYTHONIOENCODING": "latin-1"}
    added, listed = (
        narrow("dataset", "add", "folder", "--root", photos, "--name", "🐈🐈"),
        narrow("dataset", "show", "🐈🐈"),
    )
    assert added.stdout == "\\U0001f408\\U0001f408\n"
    assert r"\U0001f408" in listed.stdout


def test_folder_whose_path_is_not_valid_text_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is the current directory, so that the path is not an argument, which would be refused earlier."""
    root = tmp_path / os.fsdecode(b"x\xff")
    (root / "dog").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(root / "dog" / "x.png")
    monkeypatch.chdir(root)
    with pytest.raises(NotADataset, match="not valid UTF-8"):
        read_folder(Path("."))


# --- names used as folder names ---

LEADING_OUT = ["../x", "..", ".", "../../x", "a/../../x", "a/b", "a/", "/tmp/unitscope-led-out", "./x", ".x",
               "a\\b", "a\0b", "x" * 201, "x" * 300, "🐈" * 100, "x" * 100_000]  # fmt: skip
KINDS_WITH_FOLDERS = [
    ("shapes", "--images", "2"),
    ("cifar10", "--download"),
    ("cifar100", "--root", "@CIFAR@"),
    ("caltech101", "--download"),
    ("caltech256", "--download"),
    ("voc", "--download"),
]


def test_names_that_would_lead_out_of_the_home_are_refused(fresh: Home, tmp_path: Path) -> None:
    """They are refused before anything is downloaded or written."""
    fresh("db", "upgrade")
    (tmp_path / "cifar").mkdir()
    before = sorted(tmp_path.rglob("*"))
    calls: list[Call] = []
    for kind, *words in KINDS_WITH_FOLDERS:
        options = [str(tmp_path / "cifar") if word == "@CIFAR@" else word for word in words]
        calls += [(("dataset", "add", kind, *options, "--name", name), {}) for name in LEADING_OUT]
    for done in fresh.many(calls):
        refusal(done, 2, ("--name", "folder"))
        assert len(done.stderr) < 1000
    assert sorted(tmp_path.rglob("*")) == before
    assert not Path("/tmp/unitscope-led-out").exists()
    assert fresh.json("dataset", "ls") == []


def test_valid_names_become_folders_of_the_home(fresh: Home) -> None:
    names = ["x" * 200, "two words", "🐈", "a..b", "-x", "new\nline"]
    for done in fresh.many(
        [(("dataset", "add", "shapes", "--images", "2", "--name", name), {}) for name in names]
    ):
        assert done.returncode == 0, done.stderr[-1500:]
    assert sorted(folder.name for folder in (fresh.home / "datasets").iterdir()) == sorted(names)
