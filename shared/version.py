"""The version of this program."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DISTRIBUTION = "unitscope"
PROJECT_FILE = Path(__file__).resolve().parents[1] / "pyproject.toml"
UNKNOWN = "unknown"


def program_version() -> str:
    """Version of the installed distribution; of the checkout, where its code runs without being installed;
    ``unknown`` where neither can be read."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return _version_of_checkout()


def _version_of_checkout() -> str:
    import tomllib  # only here: an installed program starts without it

    try:
        project = tomllib.loads(PROJECT_FILE.read_text(encoding="utf-8"))["project"]
        return str(project["version"])
    except (OSError, tomllib.TOMLDecodeError, KeyError):
        return UNKNOWN
