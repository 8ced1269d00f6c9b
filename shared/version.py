"""The version of unitscope."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DISTRIBUTION = "unitscope"
PROJECT_FILE = Path(__file__).resolve().parents[1] / "pyproject.toml"
UNKNOWN = "unknown"


def program_version() -> str:
    """Return the version of the installed distribution, else that in the checkout's ``pyproject.toml``, else
    ``unknown``."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return _version_of_checkout()


def _version_of_checkout() -> str:
    import tomllib  # imported here to keep the start of an installed program fast

    try:
        project = tomllib.loads(PROJECT_FILE.read_text(encoding="utf-8"))["project"]
        return str(project["version"])
    except (OSError, tomllib.TOMLDecodeError, KeyError):
        return UNKNOWN
