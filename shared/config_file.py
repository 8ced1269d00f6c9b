"""The TOML file with settings, ``config.toml``: where it is, and what it says."""

from __future__ import annotations

import codecs
import os
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs

from shared.errors import BadSettings

CONFIG_NAME = "config.toml"


def default_home() -> Path:
    """Return the default home folder, in the platform's folder for application data.

    Raises
    ------
    BadSettings
        the user has no home directory, as in a container that runs with a user id without a name.
    """
    with _home_directory_needed("the default home folder"):
        return platformdirs.user_data_path("unitscope").expanduser()


def expand_user(path: str | Path) -> Path:
    """Replace ``~`` at the beginning of a path by the user's home directory.

    Raises
    ------
    BadSettings
        the user is unknown or has no home directory.
    """
    with _home_directory_needed(str(path)):
        return Path(path).expanduser()


@contextmanager
def _home_directory_needed(place: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError:  # of pathlib and platformdirs
        if named := re.match("~([^/]+)", place):
            raise BadSettings(reason=f"{place}: the system has no user '{named[1]}'") from None
        raise BadSettings(
            reason=f"{place} is in the user's home directory, which is unknown: HOME is not set, and the system "
            f"has no name for the user (id {os.getuid()}). Set ANALYZE_HOME to the full path of a folder that the "
            "user can write"
        ) from None


def config_file(home: str | Path | None) -> Path:
    """Return the path of the TOML file: ``ANALYZE_CONFIG``, or ``config.toml`` in the home folder."""
    if explicit := os.environ.get("ANALYZE_CONFIG"):
        return expand_user(explicit)
    return (expand_user(home) if home else default_home()) / CONFIG_NAME


def read_config(file: Path) -> dict[str, Any]:
    """Parse the file; it may begin with a byte order mark, as editors on Windows write it.

    Raises
    ------
    OSError, UnicodeDecodeError, tomllib.TOMLDecodeError
    """
    return tomllib.loads(_text(file))


def line_of(file: Path, name: str) -> int | None:
    """Return the number of the line that sets ``name``, or None."""
    assignment = re.compile(rf"""\s*\[*\s*["']?{re.escape(name)}["']?\s*[=.\]]""")
    lines = _text(file).splitlines()
    return next((number for number, line in enumerate(lines, 1) if assignment.match(line)), None)


def _text(file: Path) -> str:
    content = file.read_bytes()
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return content.decode("utf-16" if utf_16 else "utf-8-sig").replace("\r\n", "\n")
