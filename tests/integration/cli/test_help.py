"""Help texts, and commands that start without torch."""

from __future__ import annotations

import json
import subprocess
import sys

from producer.cli.main import all_verbs
from tests.integration.cli.helpers import Home

WALK = """
import contextlib, io, json, sys
import click
from producer.cli.main import cli, main

def paths(command, path):
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from paths(command.get_command(context, name), [*path, name])

answers = []
calls = [[*path, "--help"] for path in paths(cli, [])]
calls += [["ls"], ["dataset", "show", "shapes"], *([verb, sys.argv[1]] for verb in ("status", "logs", "results"))]
for call in calls:
    words = io.StringIO()
    with contextlib.redirect_stdout(words):
        try:
            main(call)
        except SystemExit as end:
            answers.append([call, end.code, words.getvalue()])
heavy = {name.split(".")[0] for name in sys.modules} & {"torch", "torchvision", "worker", "celery", "alembic"}
json.dump([answers, sorted(heavy)], sys.stdout)
"""


def test_every_command_has_help_and_neither_help_nor_showing_jobs_needs_torch(home: Home, queued: int) -> None:
    command = [sys.executable, "-c", WALK, str(queued)]
    done = subprocess.run(command, env=home.environment, capture_output=True, text=True, check=True)
    answers, heavy = json.loads(done.stdout)
    assert {call[0] for call, _, _ in answers} == {*all_verbs(), "--help"}
    for call, code, words in answers:
        assert code == 0, call
        assert words
        if call[-1] == "--help":
            assert words.startswith(f"Usage: analyze {' '.join(call[:-1])}".rstrip()), call
    assert heavy == []


def test_help_and_version_need_no_home(fresh: Home) -> None:
    assert "submit" in fresh("--help").stdout
    assert fresh("--version").stdout.startswith("analyze")
    assert "--layer" in fresh("submit", "--layer", "5", "--help").stdout
    assert not fresh.home.exists()
