"""Files that a person asked for."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from shared.errors import FileNotWritable


def write_file(file: Path, content: bytes) -> None:
    """Write a file, whole or not at all; its folder is made if need be.

    Raises
    ------
    FileNotWritable
    """
    part = file.with_name(f"{file.name}.part")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(file)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise FileNotWritable(path=file, reason=error.strerror or error) from error
