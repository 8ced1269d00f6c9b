"""``analyze doctor``: show the settings with their sources, check the installation, and suggest remedies."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from producer.cli.context import App, pass_app
from producer.cli.printing import json_option, print_json
from producer.operations.checks import Check
from shared.children import safe_environment
from shared.errors import BadSettings, Unreachable, exit_code, message
from shared.settings import Problem, Settings, origins, redacted
from shared.text import one_line
from unitscope.errors import UnitscopeError

NO_SETTINGS = "home folder"  # in place of the name of a setting, if there are no settings at all
ANSWER_SECONDS = 4.0  # for the database and Redis, which are asked at the same time
TORCH_SECONDS = 120.0
LOW_DISK_BYTES = 5 * 2**30
LONGEST_LINE = 10_000  # characters of a check
LEVEL_STYLES = {"ok": "green", "warning": "yellow", "error": "red"}


@click.command()
@click.option(
    "--quiet",
    is_flag=True,
    help="Print nothing, and exit with 0 if the database and Redis answer and a worker is alive on this host.",
)
@json_option
@pass_app
def doctor(app: App, quiet: bool, as_json: bool) -> None:
    """Show the settings and check the installation.

    The checks cover the home folder, database, Redis, workers, devices, artifact store and torch, and files,
    servers and passwords that other users can access.
    """
    problems = _problems(app)
    checks = [*_settings_checks(problems), *_checks(app, {problem.setting for problem in problems}, brief=quiet)]
    if as_json:
        print_json({"settings": _settings(app, problems), "checks": [asdict(check) for check in checks]})
    elif not quiet:
        _print(app, _settings(app, problems), checks)
    failed = [
        check.exit_code
        for check in checks
        if not check.well and (check.exit_code or (quiet and check.name == "workers"))
    ]
    if failed:
        sys.exit(failed[0] or 1)


def _problems(app: App) -> list[Problem]:
    """Return the problems of the settings; the commands' checks then use the valid settings."""
    try:
        return app.use_valid_settings()
    except BadSettings as error:  # there is no home folder
        return [Problem(str(error.details["reason"]), NO_SETTINGS)]


def _settings_checks(problems: Sequence[Problem]) -> Iterator[Check]:
    for problem in problems:
        remedy = "" if problem.setting == NO_SETTINGS else "Correct it; the default is used in the other checks."
        yield Check("settings", False, problem.text, remedy, BadSettings.exit_code)


def _settings(app: App, problems: Sequence[Problem]) -> dict[str, dict[str, Any]]:
    if any(problem.setting == NO_SETTINGS for problem in problems):
        return {}
    settings, sources = app.settings, origins(app.options)
    resolved = {"database_url": settings.resolved_database_url, "store": settings.resolved_store}
    invalid = {problem.setting for problem in problems}
    answer = {}
    for name in Settings.model_fields:
        value = resolved.get(name, getattr(settings, name))
        shown = redacted(str(value)) if name.endswith("_url") and value else value
        source = "default" if name in invalid else sources[name]
        answer[name] = {"value": "private" if name == "redis_url" and not value else shown, "from": source}
    return answer


def _checks(app: App, invalid: Collection[str | None], brief: bool) -> Iterator[Check]:
    """Run the checks, without those that need one of the ``invalid`` settings: they would check something else.

    None in ``invalid`` means that any setting may be invalid, as in a file that can't be parsed.
    """

    def valid(*names: str) -> bool:
        return not any(name in invalid for name in (None, NO_SETTINGS, *names))

    redis = torch = None
    asked = []
    if not brief:  # begins early, since importing torch takes seconds
        torch = _Asked("torch", _torch, lambda: "it can't be imported in time", seconds=TORCH_SECONDS)
    if valid("home", "database_url"):
        asked.append(_Asked("database", lambda: _database(app), lambda: _no_answer_of_database(app)))
        unknown = "unknown: the database does not answer"
        asked.append(_Asked("workers", lambda: _workers(app), lambda: unknown, after=asked[0]))
    if valid("home", "redis_url"):
        asked.insert(1, redis_asked := _Asked("redis", lambda: _redis(app), lambda: _no_answer_of_redis(app)))
    if valid("home"):
        yield _home(app)
    for question in asked:
        yield question.result()
    if valid("home", "redis_url"):
        redis = redis_asked.result()
    database_answers = valid("home", "database_url") and asked[0].result().well
    if not brief and database_answers and valid("query_database_url"):
        yield from _query_role(app)
    if not brief and redis is not None and redis.well:
        yield _redis_keys(app)
    if not brief:
        if database_answers:
            yield _guarded("images", lambda: _images(app))
        yield _devices()
        if valid("home", "store"):
            yield _store(app)
        if valid("home", "store") and database_answers:
            yield _guarded("store identity", lambda: _store_identity(app))
        if torch:
            yield torch.result()
        if valid("home", "store", "database_url", "redis_url"):
            yield from _access(app, redis is not None and redis.well)


class _Asked:
    """A check that asks a server, in a thread: a server that is frozen accepts a connection and never answers."""

    def __init__(
        self,
        name: str,
        check: Callable[[], Check],
        no_answer: Callable[[], str],
        after: _Asked | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        self.name, self.check, self.no_answer, self.after = name, check, no_answer, after
        self.deadline = time.monotonic() + seconds
        self.found: Check | None = None
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        if self.after:
            self.after.thread.join()
        try:
            self.found = _guarded(self.name, self.check)
        except Exception as error:
            self.error = error

    def result(self) -> Check:
        """Return the check's result, or that there was no answer in time."""
        self.thread.join(max(0.0, self.deadline - time.monotonic()))
        if self.error:
            raise self.error
        return self.found or Check(self.name, False, self.no_answer(), "", Unreachable.exit_code)


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    """Run a check, and turn an error that it raises into a failed check."""
    try:
        return check()
    except UnitscopeError as error:
        return Check(name, False, message(error), "", exit_code(error))


def _no_answer_of_database(app: App) -> str:
    from sqlalchemy import make_url

    from shared.database.locks import sqlite_holders

    url = make_url(app.settings.resolved_database_url)
    if url.get_backend_name() == "sqlite":
        return f"the file {url.database} is locked by {sqlite_holders(Path(url.database or ''))}"
    return f"{redacted(app.settings.resolved_database_url)} does not answer within {ANSWER_SECONDS:g} s"


def _no_answer_of_redis(app: App) -> str:
    return f"{redacted(app.broker.url)} does not answer within {ANSWER_SECONDS:g} s"


def _home(app: App) -> Check:
    home = app.settings.home
    if home.is_symlink() and not home.exists():
        found = f"{home} is a link to {home.readlink()}, which is missing"
        return Check("home", False, found, "Set ANALYZE_HOME.", 2)
    if home.exists() and not home.is_dir():
        return Check("home", False, f"{home} is not a folder", "Set ANALYZE_HOME.", 2)
    if not home.is_dir():
        parent = next(folder for folder in home.parents if folder.exists())
        if not os.access(parent, os.W_OK):
            found = f"{home} can't be created: {parent} is not writable"
            return Check("home", False, found, "Set ANALYZE_HOME to a folder that you can write.", 2)
        return Check("home", True, f"{home} (not created yet)")
    if not os.access(home, os.W_OK):
        return Check("home", False, f"{home} is not writable", "Change its permissions, or set ANALYZE_HOME.", 2)
    if (database := _earlier_database(app.settings)) and database.is_file():
        found = f"{home}; an earlier version, which misread the characters % and ? of the path, may have kept its"
        remedy = f"If it is this home's, stop all commands and move it to {home}."
        return Check("home", True, f"{found} database at {database}", remedy)
    return Check("home", True, str(home))


def _earlier_database(settings: Settings) -> Path | None:
    """Return the file that earlier versions used as the database of this home folder, if it is another one."""
    from sqlalchemy import make_url

    file = settings.home / "unitscope.sqlite3"
    read = make_url(f"sqlite:///{file}").database
    return Path(read) if settings.database_url is None and read and Path(read) != file else None


def _database(app: App) -> Check:
    from producer.operations.database_status import database_status

    status = database_status(app.database)
    found = f"{app.database} responds: {status.datasets} data sets, {status.jobs} jobs"
    remedy = "The user is a superuser, so `analyze query` can read files of the server. Use an ordinary role."
    return Check("database", True, found, remedy if status.is_superuser else "")


def _query_role(app: App) -> Iterator[Check]:
    """Check the role of `analyze query`, if the database is on PostgreSQL and responds."""
    from producer.operations.query_role import query_role_check

    try:
        database = app.database
    except UnitscopeError:  # reported by the check of the database
        return
    if not database.is_sqlite:
        yield _guarded("query role", lambda: query_role_check(app.settings, database))


def _redis_keys(app: App) -> Check:
    from producer.operations.redis_keys import redis_keys_check

    return redis_keys_check(app.broker)


def _redis(app: App) -> Check:
    from producer.service.private_redis import server_program

    if not app.settings.uses_private_redis:
        app.broker.ping()
        return Check("redis", True, f"{redacted(app.broker.url)} responds")
    if app.broker.refusal:
        remedy = "Remove the folder, or set ANALYZE_HOME to a shorter path or ANALYZE_REDIS_URL to a server."
        return Check("redis", False, app.broker.refusal, remedy, 3)
    if app.broker.answers():
        return Check("redis", True, "the private server responds")
    program = server_program()
    return Check("redis", False, f"the private server is not running ({program})", "`analyze up` starts it.")


def _workers(app: App) -> Check:
    from shared.jobs.hosts import host_of
    from shared.jobs.workers import workers_with_problems

    workers = app.ledger.live_workers()
    here = [worker for worker in workers if host_of(worker.name) == socket.gethostname()]
    problems = [
        f"worker {worker.name} ({worker.device}): {worker.problem}"
        for worker in workers_with_problems(app.database)
    ]
    if not here:
        found = f"none on this host, {len(workers)} on other hosts" if workers else "none"
        return Check(
            "workers", False, "; ".join([found, *problems]), "`analyze up` or `analyze worker` starts one."
        )
    listed = ", ".join(f"{worker.name} ({worker.device}: {', '.join(worker.queues)})" for worker in workers)
    if problems:
        return Check("workers", True, "; ".join([listed, *problems]), "The log of these workers says more.")
    return Check("workers", True, listed)


def _images(app: App) -> Check:
    from producer.operations.left_out import check_images

    return check_images(app.database)


def _devices() -> Check:
    """List the devices that `analyze worker --devices all` would use in this environment."""
    from producer.service.devices import parse_devices

    chosen = parse_devices("all")
    remark = f" ({chosen.remark})" if chosen.remark else ""
    return Check("devices", True, ", ".join(map(str, chosen.devices)) + remark)


def _store(app: App) -> Check:
    root = app.settings.resolved_store
    existing = root
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        return Check("store", False, f"{root} is not writable", "Change its permissions, or set ANALYZE_STORE.", 2)
    found = f"{root}, {free / 2**30:.0f} GB free"
    return Check("store", free > LOW_DISK_BYTES, found, "" if free > LOW_DISK_BYTES else "Free some disk space.")


def _store_identity(app: App) -> Check:
    from producer.operations.store_check import store_identity_check

    return store_identity_check(app.database, app.settings.resolved_store)


def _torch() -> Check:
    """Import torch in a subprocess: this process never loads it."""
    code = (
        "import torch, torchvision; n = torch.cuda.device_count();"
        "print(f'torch {torch.__version__}, torchvision {torchvision.__version__},', "
        "', '.join(torch.cuda.get_device_name(i) for i in range(n)) or 'no GPU')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=safe_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        last_line = done.stderr.strip().splitlines()[-1:] or ["it can't be imported"]
        return Check(
            "torch",
            False,
            last_line[0],
            "Install the pinned versions: pip install -c constraints.txt torch torchvision.",
        )
    return Check("torch", True, f"{done.stdout.strip()}, Python {platform.python_version()}")


def _access(app: App, redis_answers: bool) -> list[Check]:
    from producer.operations.access_report import access_checks

    return access_checks(app.settings, app.options, ask_redis=redis_answers)


def _print(app: App, settings: Mapping[str, dict[str, Any]], checks: list[Check]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("setting", "value", "from", box=None)
    for name, setting in settings.items():
        table.add_row(name, str(setting["value"]), setting["from"])
    if settings:
        app.out.print(table)
        app.out.print()
    for check in checks:
        level = Text(f"{check.level:7}", LEVEL_STYLES[check.level])
        remedy = f"  {check.remedy}" if check.remedy else ""
        line = one_line(f" {check.name}: {check.found}{remedy}", LONGEST_LINE)
        app.out.print(level + line, soft_wrap=True)
