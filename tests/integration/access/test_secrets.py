"""Passwords are not leaked: the traces of a run with TLS, failed jobs and an outage are searched for them."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import pytest
from psycopg import sql

from tests import forked
from tests.conftest import Analyze
from tests.integration.access.servers import DATABASE_PASSWORD, REDIS_PASSWORD, SecuredDatabase, redis_url
from tests.integration.access.tls import Certificates, TlsProxy

pytestmark = pytest.mark.timeout(600)  # takes about a minute on an idle machine

# Parts of the passwords that are recognizable even if they are encoded or truncated.
PARTS = ["R3d1s", "P0stgres", "can:ary", "can%3Aary", "ary/with", "ary%2Fwith", "with?all", "all#of", "of%2525it"]
HOLDS_IT = "config.toml"


def parts_in(words: str | bytes) -> list[str]:
    content = words if isinstance(words, bytes) else words.encode()
    return [part for part in PARTS if part.encode() in content]


class Watcher:
    """Repeatedly reads the command lines of all processes, which any user can see with `ps`."""

    def __init__(self) -> None:
        self.command_lines: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.2):
            for process in psutil.process_iter(["cmdline", "name"]):
                words = [*(process.info["cmdline"] or []), process.info["name"] or ""]
                self.command_lines.add(" ".join(words))

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


@dataclass
class Run:
    """Traces of a run: outputs, rows, command lines and files."""

    home: Path
    done: list[subprocess.CompletedProcess[str]] = field(default_factory=list)
    command_lines: set[str] = field(default_factory=set)
    rows: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory,
    postgresql_server: str,
    secured: SecuredDatabase,
    redis_tls: TlsProxy,
    postgresql_tls: TlsProxy,
    certificates: Certificates,
    shapes_root: Path,
    weights: Path,
) -> Run:
    home = tmp_path_factory.mktemp("secrets") / "home"
    place = f"localhost:{postgresql_tls.port}"
    query = f"sslmode=verify-full&sslrootcert={certificates.ca}"
    analyze = Analyze(home, secured.url(place, query=query))
    analyze.environment[forked.DISABLED] = "1"  # their command lines are searched
    broker = redis_url(f"localhost:{redis_tls.port}", query=f"ssl_ca_certs={certificates.ca}")
    home.mkdir(mode=0o700)
    (home / HOLDS_IT).touch(mode=0o600)
    (home / HOLDS_IT).write_text(f"redis_url = '{broker}'\n")
    watcher = Watcher()
    result = Run(home)

    def said(*arguments: object, code: int | None = 0) -> str:
        result.done.append(analyze(*arguments, code=code))
        return result.done[-1].stdout.strip()

    def search(units: str) -> str:
        network = ["--weights", weights, "--network", "zfnet", "--size", 64, "--fc", 16]
        return said("submit", "--layer", 5, "--units", units, "--dataset", "shapes", *network)

    admin = (
        f"{postgresql_server.partition('?')[0].rsplit('/', 1)[0]}/{secured.name}?"
        + (postgresql_server.partition("?")[2])
    )

    def state(job: str) -> str:
        with psycopg.connect(admin) as connection:
            row = connection.execute("SELECT state FROM jobs WHERE id = %s", [int(job)]).fetchone()
        return str(row and row[0])

    try:
        said("db", "upgrade")
        said("dataset", "add", "shapes", "--root", shapes_root)
        good, broken = search("0-3"), search("4-7")
        admin = (
            f"{postgresql_server.partition('?')[0].rsplit('/', 1)[0]}/{secured.name}?"
            + (postgresql_server.partition("?")[2])
        )
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute("UPDATE shards SET payload = '{}' WHERE job_id = %s", [int(broken)])
        up = analyze.up()
        analyze.wait(lambda: state(good) == "done" and state(broken) == "failed", up)
        redis_tls.close()
        analyze.wait(lambda: "Cannot connect to" in (home / "started.log").read_text(), up)
        said("worker", code=3)
        said("submit", "--layer", 5, "--units", "8", "--dataset", "nothing", code=4)
        redis_tls.open()
        again = search("8-9")
        analyze.wait(lambda: state(again) == "done", up)
        for words in (
            "doctor",
            "doctor --json",
            "ls",
            f"status {good}",
            f"logs {broken}",
            f"status {broken} --json",
        ):
            said(*words.split(), code=None)
        said("results", good, "--html", home / "page.html")
        _wrong(said, analyze, secured, place, query, broker)
        with psycopg.connect(admin) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (table,) in tables:
                rows = connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table)))
                result.rows += [f"{table}: {row}" for (row,) in rows]
    finally:
        analyze.stop()
        watcher.stop()
    result.command_lines = watcher.command_lines
    return result


def _wrong(
    said: Callable[..., str], analyze: Analyze, secured: SecuredDatabase, place: str, query: str, broker: str
) -> None:
    """Run commands with wrong passwords, and with the right ones in wrong places of the URLs."""
    database = analyze.environment["ANALYZE_DATABASE_URL"]
    in_query = f"{query}&password={quote(DATABASE_PASSWORD, safe='')}"
    head, _, rest = broker.partition("://")
    _, _, server = rest.partition("@")
    redis_in_query = f"{head}://{server}&password={quote(REDIS_PASSWORD, safe='')}"
    for variables, words, code in (
        ({"ANALYZE_DATABASE_URL": secured.url(place, password=f"{DATABASE_PASSWORD}!", query=query)}, "ls", 3),
        ({"ANALYZE_DATABASE_URL": f"postgresql://{secured.role}@{place}/{secured.name}?{in_query}"}, "ls", 0),
        ({"ANALYZE_DATABASE_URL": f"postgresql://{secured.role}:{DATABASE_PASSWORD}@{place}/x"}, "ls", 2),
        ({"ANALYZE_DATABASE_URL": database.replace("verify-full", "perhaps")}, "ls", 3),
        ({"ANALYZE_REDIS_URL": broker.replace("@localhost", "%21@localhost")}, "worker", 3),
        ({"ANALYZE_REDIS_URL": redis_in_query}, "doctor --json", 0),
        ({"ANALYZE_REDIS_URL": f"rediss://:{REDIS_PASSWORD}@{server}"}, "worker", 2),
        ({"ANALYZE_REDIS_URL": f"rediss://{quote(REDIS_PASSWORD, safe='')}@{server}"}, "worker", 3),
        ({"ANALYZE_REDIS_URL": f"{broker}&nonsense={quote(REDIS_PASSWORD, safe='')}"}, "worker", 2),
    ):
        before = dict(analyze.environment)
        analyze.environment.update(variables)
        said(*words.split(), code=code)
        analyze.environment = before


def test_the_run_produced_logs_errors_and_processes(run: Run) -> None:
    """Otherwise the other tests would prove nothing."""
    log = (run.home / "started.log").read_text()
    assert "Connected to" in log  # logged by Celery when it has connected
    assert "Cannot connect to rediss://" in log
    assert any("Traceback" in row for row in run.rows if row.startswith("shards"))
    assert any("celery" in line for line in run.command_lines)
    assert any("worker.programs.describe" in line for line in run.command_lines)
    assert parts_in((run.home / HOLDS_IT).read_bytes())


def test_no_output_contains_a_password(run: Run) -> None:
    for done in run.done:
        assert parts_in(done.stdout + done.stderr) == [], done.args
        assert "Traceback" not in done.stderr


def test_errors_have_one_line(run: Run) -> None:
    for done in run.done:
        if done.returncode:
            assert len(done.stderr.strip().splitlines()) <= 1


def test_no_row_contains_a_password(run: Run) -> None:
    assert [row for row in run.rows if parts_in(row)] == []
    assert {row.partition(":")[0] for row in run.rows} >= {
        "jobs",
        "shards",
        "events",
        "workers",
        "top_activation_rows",
    }


def test_no_command_line_contains_a_password(run: Run) -> None:
    assert [line for line in run.command_lines if parts_in(line)] == []


def test_only_the_config_file_contains_passwords(run: Run) -> None:
    files = [file for file in run.home.rglob("*") if file.is_file()]
    assert {"page.html", "started.log"} <= {file.name for file in files}
    leaking = [file for file in files if file.name != HOLDS_IT and parts_in(file.read_bytes())]
    assert leaking == []


def command_lines(parent: psutil.Process) -> Iterator[str]:
    for process in parent.children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended, or is a zombie
            yield " ".join(process.cmdline())


def test_demo_passes_no_password_as_an_option(
    tmp_path: Path, secured: SecuredDatabase, redis_socket: Path, run: Run
) -> None:
    """It starts other commands that need the URLs."""
    analyze = Analyze(tmp_path / "home", secured.plain_url)
    analyze.environment["ANALYZE_REDIS_URL"] = (
        f"unix://:{quote(REDIS_PASSWORD, safe='')}@{quote(str(redis_socket))}"
    )
    analyze.environment["ANALYZE_STORE"] = str(run.home / "store")  # that of the database
    watcher = Watcher()
    demo = analyze.start("demo")
    try:
        seen = psutil.Process(demo.pid)
        analyze.wait(lambda: any("worker.app" in line for line in command_lines(seen)), demo)
    finally:
        children = psutil.Process(demo.pid).children(recursive=True)
        demo.send_signal(signal.SIGINT)  # it stops the commands it has started
        demo.wait(60)
        psutil.wait_procs(children, 60)
        watcher.stop()
    assert any("producer up" in line for line in watcher.command_lines)
    assert [line for line in watcher.command_lines if parts_in(line)] == []
