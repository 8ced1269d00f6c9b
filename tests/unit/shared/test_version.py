"""The version of a checkout that is run without being installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SHOWN = "import sys; sys.path.insert(0, sys.argv[1]); from shared.version import program_version as version; "


def _version_in(checkout: Path) -> str:
    """Return the version that a checkout's code reports if no distribution is installed."""
    command = [sys.executable, "-S", "-E", "-c", SHOWN + "print(version())", str(checkout)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=checkout)
    return done.stdout.strip()


def _checkout(folder: Path) -> Path:
    (folder / "shared").mkdir()
    for name in ("__init__.py", "version.py"):
        shutil.copy(ROOT / "shared" / name, folder / "shared")
    return folder


def test_the_version_is_that_of_the_checkout(tmp_path: Path) -> None:
    project = (ROOT / "pyproject.toml").read_text()
    number = next(line for line in project.splitlines() if line.startswith("version = "))
    checkout = _checkout(tmp_path)
    (checkout / "pyproject.toml").write_text(project.replace(number, 'version = "9.8.7"'))
    assert _version_in(checkout) == "9.8.7"


def test_without_a_readable_project_file_the_version_is_unknown(tmp_path: Path) -> None:
    checkout = _checkout(tmp_path)
    assert _version_in(checkout) == "unknown"
    (checkout / "pyproject.toml").write_text("[project")
    assert _version_in(checkout) == "unknown"


def test_importing_queries_does_not_import_psycopg() -> None:
    code = "import producer.results.query, sys; print('psycopg' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "False"
