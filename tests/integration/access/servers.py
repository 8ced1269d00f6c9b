"""Redis and PostgreSQL servers that require a password."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
import redis
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from producer.service.private_redis import server_program

# Passwords with all characters that have a meaning in URLs. They differ, so that a mix-up is detected.
REDIS_PASSWORD = "R3d1s@can:ary/with?all#of%25it&=+"
DATABASE_PASSWORD = "P0stgres@can:ary/with?all#of%25it&=+"


@contextmanager
def redis_with_password(folder: Path, *, port: int = 0, bind: str = "127.0.0.1") -> Iterator[Path]:
    """Start a Redis server with a password; yields its socket. It also listens on ``port`` unless that is 0."""
    socket = folder / "redis.sock"
    configuration = folder / "redis.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(
        f'port {port}\nbind {bind}\nunixsocket {socket}\nrequirepass "{REDIS_PASSWORD}"\nsave ""\n'
        f"dir {folder}\nlogfile {folder}/redis.log\n"
    )
    process = subprocess.Popen([server_program(), str(configuration)])
    client = redis.Redis(unix_socket_path=str(socket), password=REDIS_PASSWORD)
    try:
        deadline = time.monotonic() + 20
        while True:
            with suppress(redis.ConnectionError):
                client.ping()
                break
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield socket
    finally:
        client.close()
        process.terminate()
        process.wait(20)


@dataclass(frozen=True)
class SecuredDatabase:
    """An empty database whose owner, an ordinary role, has a password."""

    name: str
    role: str
    socket: Path

    def url(self, place: str, *, password: str = DATABASE_PASSWORD, query: str = "") -> str:
        credentials = f"{self.role}:{quote(password, safe='')}"
        return f"postgresql+psycopg://{credentials}@{place}/{self.name}" + (f"?{query}" if query else "")

    @property
    def plain_url(self) -> str:
        """Return the URL of the unix socket."""
        return self.url("", query=f"host={quote(str(self.socket.parent), safe='')}")


@contextmanager
def secured_database(server: str) -> Iterator[SecuredDatabase]:
    """Create a database that requires a password on the tests' server, which requires none for others."""
    name = f"secured_{secrets.token_hex(6)}"
    identifier = sql.Identifier(name)
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(identifier, sql.Literal(DATABASE_PASSWORD))
        )
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, identifier))
        rules = Path(connection.execute("SHOW hba_file").fetchone()[0])  # type: ignore[index]
        before = rules.read_text()
        rules.write_text(f"local all {name} scram-sha-256\n{before}")
        connection.execute("SELECT pg_reload_conf()")
    folder = Path(str(conninfo_to_dict(server)["host"]))
    try:
        yield SecuredDatabase(name, name, folder / ".s.PGSQL.5432")
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            rules.write_text(before)
            connection.execute("SELECT pg_reload_conf()")
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))
            connection.execute(sql.SQL("DROP ROLE {}").format(identifier))


def redis_url(place: str, *, password: str = REDIS_PASSWORD, query: str = "", scheme: str = "rediss") -> str:
    """Return a URL with the percent-encoded password."""
    return f"{scheme}://:{quote(password, safe='')}@{place}/0" + (f"?{query}" if query else "")
