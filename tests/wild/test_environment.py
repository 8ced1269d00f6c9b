"""Users without a name, files of settings, closed streams and terminals, locks, used ports, times, and tables."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import make_url, text

from producer.results.query import run_query
from shared.database import connection
from shared.database.connection import Database
from shared.errors import DatabaseLocked
from tests.conftest import fresh_database
from tests.integration.cli.helpers import Done, Home, refusal
from tests.programs import write_command
from tests.wild.generators.environment import READABLE_SETTINGS, SETTINGS

ROOT = Path(__file__).parents[2]
NAMELESS = ("setpriv", "--reuid", "12345", "--clear-groups")
needs_root = pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None, reason="needs root, to become another user"
)


def shell(home: Home, script: str, *, forked: bool = False) -> Done:
    """Run a shell script, in which ``analyze`` is started or, if ``forked``, is forked from a server."""
    with tempfile.TemporaryDirectory(prefix="unitscope-shell-") as folder:
        program = f'"{sys.executable}" -m producer'
        if forked:
            write_command(Path(folder) / "analyze")
            program = f"{folder}/analyze"
        return subprocess.run(
            ["bash", "-c", f'analyze() {{ {program} "$@"; }}\n{script}'],
            env=home.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip


def levels(report: str) -> dict[str, str]:
    """Return the level of each check that ``analyze doctor`` printed."""
    return {name: level for level, name in re.findall(r"^(ok|warning|error) +([a-z ]+): ", report, re.M)}


# --- users without a name ---


def nameless(*arguments: str, **environment: str) -> Done:
    """Run a command as a user without a name, and with no other variables than these."""
    variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [*NAMELESS, sys.executable, "-m", "producer", *arguments],
        env=variables, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@needs_root
def test_without_a_home_directory_the_setting_is_named() -> None:
    refusal(nameless("ls"), 2, ["ANALYZE_HOME", "HOME is not set", "12345"])


@needs_root
def test_doctor_works_without_a_home_directory() -> None:
    done = nameless("doctor")
    assert done.returncode == 2
    assert "ANALYZE_HOME" in done.stdout
    assert levels(done.stdout) == {"settings": "error", "devices": "ok", "torch": "ok"}


@needs_root
def test_a_home_directory_that_cannot_be_written_is_named() -> None:
    """Container runtimes set HOME=/ for a user without a name."""
    refusal(nameless("ls", HOME="/"), 3, ["/.local/share/unitscope", "ANALYZE_HOME"])
    with tempfile.TemporaryDirectory() as folder:  # the test before this one imports torch, which takes seconds
        Path(folder).chmod(0o755)
        stub = Path(folder) / "torch.py"
        stub.write_text("raise ImportError('left out')\n")
        stub.chmod(0o644)
        done = nameless("doctor", "--json", HOME="/", PYTHONPATH=f"{folder}{os.pathsep}{ROOT}")
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert "ANALYZE_HOME" in checks["home"]["remedy"]
    assert "left out" in checks["torch"]["found"]


@needs_root
def test_a_nameless_user_with_a_home_can_work(shapes_root: Path) -> None:
    folder = Path("/tmp") / f"nameless-{os.getpid()}"
    shutil.copytree(shapes_root, folder / "data")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 12345, 12345)
    try:
        home = {"ANALYZE_HOME": str(folder / "home")}
        assert nameless("dataset", "add", "shapes", "--root", str(folder / "data"), **home).stdout == "shapes\n"
        assert '"shapes"' in nameless("dataset", "ls", "--json", **home).stdout
    finally:
        shutil.rmtree(folder)


@needs_root
def test_a_database_of_another_user_is_named_as_such() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        home("ls")
        for path in (Path(folder), *Path(folder).rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        refusal(
            nameless("ls", ANALYZE_HOME=str(home.home)),
            3,
            ["can't be used", "read and write the file", "ANALYZE_HOME"],
        )
        home.home.chmod(0o700)
        refusal(nameless("ls", ANALYZE_HOME=str(home.home)), 2, ["Permission denied", "ANALYZE_HOME"])


# --- homes that are none ---

HOMES: dict[str, tuple[str, int, str]] = {
    "link to nothing": ("ln -s /no/such/folder home", 3, "something else has this name"),
    "loop": ("ln -s home home", 2, "symbolic links"),
    "file": ("touch home", 3, "something else has this name"),
    "of no user": ("export ANALYZE_HOME='~nobody-here/x'", 2, "no user 'nobody-here'"),
    "relative to a removed folder": ("mkdir x; cd x; rmdir ../x; export ANALYZE_HOME=home", 2, "working folder"),
    "too long": ("export ANALYZE_HOME=/tmp/$(printf '%0300d' 0)", 2, "File name too long"),
    "file of settings is a folder": ("mkdir -p home/config.toml", 2, "Is a directory"),
    "no file of settings": ("export ANALYZE_CONFIG=/no/such/file", 2, "ANALYZE_CONFIG"),
}


@pytest.mark.parametrize("name", HOMES)
def test_a_home_that_is_none(fresh: Home, tmp_path: Path, name: str) -> None:
    prepare, code, word = HOMES[name]
    forked = name != "relative to a removed folder"  # the server could not enter it
    refusal(shell(fresh, f"cd {tmp_path}; {prepare}; analyze ls", forked=forked), code, [word])
    done = shell(fresh, f"cd {tmp_path}; {prepare}; analyze doctor --quiet", forked=forked)
    assert done.returncode in (code, 2)


def test_the_null_device_is_an_empty_file_of_settings(fresh: Home) -> None:
    fresh.environment["ANALYZE_CONFIG"] = "/dev/null"
    assert fresh("ls").stdout == "No jobs.\n"


# --- files of settings ---


@pytest.mark.parametrize("content", READABLE_SETTINGS.values(), ids=READABLE_SETTINGS)
def test_a_file_of_another_editor_is_read(fresh: Home, content: bytes) -> None:
    del fresh.environment["ANALYZE_THREADS"]
    fresh.home.mkdir()
    (fresh.home / "config.toml").write_bytes(content)
    assert fresh.json("doctor")["settings"]["threads"] == {"value": 7, "from": f"{fresh.home}/config.toml"}


DOCTOR = ("wrong size", "table", "no TOML")  # with these, doctor is run too, which takes long, as it imports torch


@pytest.mark.parametrize("name", SETTINGS)
def test_a_mistake_in_the_file_is_named(fresh: Home, name: str) -> None:
    for variable in ("ANALYZE_THREADS", "ANALYZE_LEASE_SECONDS"):
        del fresh.environment[variable]
    content, words = SETTINGS[name]
    fresh.home.mkdir()
    file = fresh.home / "config.toml"
    file.write_bytes(content)
    says = [word.format(file=file) for word in words]
    refusal(fresh("ls", code=2), 2, says)
    if name not in DOCTOR:
        return
    done = fresh("doctor", code=2)
    assert all(word in done.stdout for word in says)
    found = levels(done.stdout)
    assert found["settings"] == "error"
    assert found["torch"] == found["devices"] == "ok"
    # What an invalid setting may have changed isn't checked with the default in its place.
    assert ("database" in found) == (name == "wrong size")
    assert not (fresh.home / "unitscope.sqlite3").exists() or "database" in found


def test_a_wrong_variable_is_named(fresh: Home) -> None:
    fresh.environment["ANALYZE_CACHE_GB"] = "lots"
    refusal(fresh("ls", code=2), 2, ["cache_gb", "ANALYZE_CACHE_GB"])


@pytest.mark.parametrize("name", ["ANALYZE_THREAD", "ANALYZE_REDISURL", "ANALYZE_DATABSE_URL"])
def test_a_misspelt_variable_is_an_error(fresh: Home, name: str) -> None:
    fresh.environment[name] = "1"
    line = refusal(fresh("ls", code=2), 2, [name])
    assert re.search(r"did you mean ANALYZE_\w+\?", line)
    assert not (fresh.home / "unitscope.sqlite3").exists()
    found = levels(fresh("doctor", code=2).stdout)
    assert found["settings"] == "error"
    assert found["torch"] == "ok"


def test_variables_of_worker_processes_are_known(fresh: Home) -> None:
    fresh.environment |= {"ANALYZE_WORKER_NAME": "w", "ANALYZE_DEVICE": "cpu"}
    assert fresh("ls").stderr == ""


# --- signals ---


def left_behind(home: Home) -> list[str]:
    """Return the command lines of processes that belong to a home."""
    own = {"ANALYZE_HOME": str(home.home)}.items()
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue
        if own <= environment.items():
            found.append(" ".join(process.cmdline()))
    return found


def wait_until_empty(home: Home) -> None:
    home.wait(lambda: not left_behind(home), seconds=20)


@pytest.fixture
def terminal() -> Iterator[None]:
    """Children that receive SIGHUP, also if the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("seconds", [None, 1.0], ids=["up", "starting"])
def test_a_closed_terminal_leaves_nothing_behind(fresh: Home, seconds: float | None) -> None:
    process = fresh.up() if seconds is None else fresh.start("up", "--devices", "cpu")
    time.sleep(seconds or 0)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) in (0, -signal.SIGHUP)
    wait_until_empty(fresh)


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_demo_ends_what_it_started(fresh: Home, number: signal.Signals) -> None:
    process = fresh.start("demo")
    fresh.wait(lambda: fresh.live_workers() > 0, process)
    process.send_signal(number)
    assert process.wait(60) == -number
    wait_until_empty(fresh)


def test_a_service_under_nohup_survives_its_terminal(fresh: Home) -> None:
    fresh.home.mkdir()
    script = f'exec nohup "{sys.executable}" -m producer up --devices cpu >/dev/null 2>&1'
    process = subprocess.Popen(["bash", "-c", script], env=fresh.environment)
    try:
        fresh.wait(lambda: fresh.live_workers() > 0)
        process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(60) == 0


# --- streams ---

STREAMS = {
    "closed stdout": ("analyze recipe ls >&-", 1, "analyze: standard output: Bad file descriptor\n"),
    "closed stdout, JSON": ("analyze recipe ls --json >&-", 1, "analyze: standard output: Bad file descriptor\n"),
    "closed stdout, error": ("analyze status 99 >&-", 4, "analyze: There is no job 99."),
    "closed stderr": ("analyze ls 2>&-", 0, ""),
    "closed stderr, error": ("analyze status 99 2>&-", 4, ""),
    "closed stdin": ("analyze ls <&-", 0, ""),
    "all closed": ("analyze ls <&- >&- 2>&-", 1, ""),
    "full": ("analyze recipe ls >/dev/full", 1, "analyze: standard output: No space left on device\n"),
    "full, CSV": ("analyze recipe ls --format csv >/dev/full", 1, "analyze: standard output: No space left"),
    "full, help": ("analyze --help >/dev/full", 1, "analyze: standard output: No space left"),
    "full, metrics": ("analyze metrics >/dev/full", 1, "analyze: standard output: No space left"),
    "full stderr": ("analyze status 99 2>/dev/full", 4, ""),
    "full stderr, usage": ("analyze nonsense 2>/dev/full", 2, ""),
    "full stderr, error": ("ANALYZE_THREAD=1 analyze ls 2>/dev/full", 2, ""),
    "head": ("set -o pipefail; analyze recipe ls | head -1", 0, ""),
    "no reader": ("set -o pipefail; analyze recipe ls --json | true", 0, ""),
}


@pytest.mark.parametrize("name", STREAMS)
def test_streams_that_cannot_be_used(home: Home, name: str) -> None:
    script, code, message = STREAMS[name]
    done = shell(home, script)
    assert done.returncode == code
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) <= (1 if message else 0)


def test_the_database_does_not_become_a_closed_stream(fresh: Home) -> None:
    """The next opened file has the number of a closed stream, and would be written by what is printed."""
    shell(fresh, "analyze ls <&- >&- 2>&-; analyze dataset show nothing <&- >&- 2>&-; analyze metrics >&- 2>&-")
    assert fresh.json("query", "SELECT count(*) AS jobs FROM jobs") == [{"jobs": 0}]


# --- locks ---


@contextmanager
def locked_sqlite(file: Path, statement: str) -> Iterator[int]:
    """Lock a SQLite file in another process, and yield its id."""
    code = (
        "import sqlite3, sys\nconnection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "for part in sys.argv[2].split(';'): connection.execute(part)\nprint(flush=True)\nsys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(file), statement]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


@pytest.mark.parametrize(
    "statement", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE", "PRAGMA journal_mode=DELETE;BEGIN EXCLUSIVE"]
)
def test_a_locked_sqlite_file_names_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_MS", 1200)
    database = Database(f"sqlite:///{tmp_path / 'x.sqlite3'}")
    with database.write() as session:
        session.execute(text("CREATE TABLE t (x)"))
    database.close()
    with (
        locked_sqlite(tmp_path / "x.sqlite3", statement) as pid,
        pytest.raises(DatabaseLocked) as raised,
        database.write() as session,
    ):
        session.execute(text("INSERT INTO t VALUES (1)"))
    assert f"process {pid} (python" in str(raised.value)
    assert re.search(r"\b[12] s that this command waited", str(raised.value))
    assert raised.value.exit_code == 3


def test_a_query_of_a_locked_file_names_the_process(fresh: Home) -> None:
    fresh("ls")
    statement = "PRAGMA locking_mode=EXCLUSIVE;PRAGMA journal_mode=DELETE;BEGIN EXCLUSIVE"
    database = Database(fresh.database_url)
    with (
        locked_sqlite(fresh.home / "unitscope.sqlite3", statement) as pid,
        pytest.raises(DatabaseLocked) as raised,
    ):
        run_query(database, "SELECT 1 FROM jobs", limit=1, seconds=1)
    assert f"process {pid} " in str(raised.value)


def test_a_lock_timeout_of_postgresql_names_the_sessions(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    url = fresh_database("postgresql", request, tmp_path)
    with_timeout = make_url(url).update_query_dict({"options": "-c lock_timeout=1000"})
    database = Database(with_timeout.render_as_string(hide_password=False))
    with database.write() as session:
        session.execute(text("CREATE TABLE t (x integer)"))
    plain = url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(plain, application_name="a backup") as other:
        other.execute("LOCK TABLE t")
        with pytest.raises(DatabaseLocked) as raised, database.write() as session:
            session.execute(text("INSERT INTO t VALUES (1)"))
        assert f"session {other.info.backend_pid} (a backup; user " in str(raised.value)
    database.close()


def test_sessions_of_postgresql_have_the_name_of_the_process(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    database = Database(fresh_database("postgresql", request, tmp_path))
    with database.read() as session:
        name = session.scalar(text("SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"))
    database.close()
    assert name == f"analyze, process {os.getpid()} on {socket.gethostname()}"[:63]


# --- ports ---


def test_a_used_port_is_named(home: Home) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        refusal(home("metrics", "--port", port, code=2), 2, [f"Port {port}", "in use", "--port"])


@pytest.mark.parametrize("address", ["192.0.2.1", "no such host"])
def test_an_address_of_another_machine_is_named(home: Home, address: str) -> None:
    refusal(home("metrics", "--port", "0", "--address", address, code=2), 2, [address, "--address"])


# --- times ---


def test_times_say_utc_whatever_the_time_zone(home: Home, queued: int) -> None:
    home.environment["TZ"] = "Asia/Kolkata"
    try:
        listed, as_json = home("ls").stdout, home.json("ls")
        log, events = home("logs", queued).stdout, home("logs", queued, "--json").stdout
        status = home.json("status", queued)
    finally:
        del home.environment["TZ"]
    moments = [job["created_at"] for job in as_json] + [status["created_at"]]
    moments += [json.loads(line)["at"] for line in events.splitlines()]
    for moment in map(datetime.fromisoformat, moments):
        assert moment.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - moment) < timedelta(hours=1)
    assert all("T" in moment for moment in moments)
    shown = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
    assert len(re.findall(shown, listed)) == len(as_json)
    assert all(re.match(shown, line) for line in log.splitlines())


@pytest.mark.parametrize("form", ["text", "json"])
def test_times_of_logs_are_utc(form: str) -> None:
    code = f"from shared import logs; import logging; logs.configure_logging({form!r}); logging.info('x')"
    environment = {**os.environ, "TZ": "Asia/Kolkata"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    if form == "json":
        moment = datetime.fromisoformat(json.loads(done.stderr)["at"])
        assert moment.utcoffset() == timedelta(0)
    else:
        assert " UTC INFO x" in done.stderr
        moment = datetime.strptime(done.stderr[:19] + "+0000", "%Y-%m-%d %H:%M:%S%z")
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=5)


# --- tables ---

LONG = "VOC2007/JPEGImages/" + "a_rather_long_name_of_a_photograph_" * 8 + ".jpg"
RESULTS = f"""
    SELECT 1 AS job_id, 'conv5' AS layer, 'features.10' AS layer_path, 255 AS unit, 9 AS rank, 12.5 AS activation,
    123456 AS image_id, '{LONG}' AS image_path, 'pottedplant' AS class_name, 12 AS "row", '{LONG}' AS more
"""


def in_terminal(home: Home, columns: int, *arguments: object, kind: str = "xterm") -> str:
    """Run a command in a terminal of this width, and return what it shows."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**home.environment, "TERM": kind}
    command = [sys.executable, "-m", "producer", *map(str, arguments)]
    process = subprocess.Popen(command, env=environment, stdin=its, stdout=its, stderr=its)
    os.close(its)
    shown = b""
    try:
        while part := os.read(ours, 65536):
            shown += part
    except OSError:  # the command has ended
        pass
    os.close(ours)
    assert process.wait(60) == 0
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).replace("\r\n", "\n")


def test_a_pipe_gets_whole_tables(
    home: Home, finished: int, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(home.environment, "COLUMNS", "40")
    name = "a_data_set_with_a_name_as_long_as_it_may_be_" + "x" * 15
    home("dataset", "add", "folder", "--root", photos, "--name", name)
    calls: list[tuple[object, ...]] = [
        ("query", RESULTS), ("ls",), ("dataset", "ls"), ("dataset", "show", name), ("recipe", "ls"),
        ("recipe", "show", "zfnet-paper"), ("network", "show", "resnet18"), ("status", finished), ("doctor",),
        ("results", finished), ("cache", "ls"), ("gc",), ("db", "version"),
    ]  # fmt: skip
    outputs = [done.stdout for done in home.many([(call, {}) for call in calls])]
    assert not [call for call, output in zip(calls, outputs, strict=True) if "…" in output or not output]
    assert outputs[0].count(LONG) == 2
    assert len(outputs[0].splitlines()) == 2
    assert str(photos) in outputs[2]
    assert name in outputs[2]


@pytest.mark.parametrize(("columns", "kind"), [(30, "xterm"), (80, "xterm"), (132, "xterm"), (80, "dumb")])
def test_a_terminal_shows_whole_ids_and_names(home: Home, columns: int, kind: str) -> None:
    shown = in_terminal(home, columns, "query", RESULTS, kind=kind)
    assert LONG in shown.replace("\n", "")
    for value in ("conv5", "255", "123456", "pottedplant"):
        assert value in shown
    assert "too narrow for:" in " ".join(shown.split())


def test_a_terminal_shows_whole_jobs_and_data_sets(home: Home, finished: int) -> None:
    shown, datasets = (in_terminal(home, 80, *verb) for verb in (("ls",), ("dataset", "ls")))
    rows = {line.split()[0] for line in shown.splitlines() if line.split()}
    assert {str(job) for job, _ in home.jobs()} <= rows
    assert all(row["name"] in datasets for row in home.json("dataset", "ls"))
    assert "…" not in shown + datasets


def test_all_tables_are_printed_by_the_one_console() -> None:
    """Another console would have another width."""
    files = [file for file in (ROOT / "producer").rglob("*.py") if file.name not in ("console.py", "context.py")]
    assert len(files) > 50
    assert not [file for file in files if "Console(" in file.read_text(encoding="utf-8")]
