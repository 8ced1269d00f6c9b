"""Output files, written atomically."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shared.errors import FileNotWritable


@contextmanager
def whole_file(file: Path) -> Iterator[Path]:
    """Yield a temporary path that is renamed to ``file`` on success and removed on failure.

    Raises
    ------
    FileNotWritable
    """
    part = file.with_name(f"{file.name}.part")
    try:
        yield part
        with part.open("rb") as written:
            os.fsync(written.fileno())
        part.replace(file)
    except OSError as error:
        raise FileNotWritable(path=file, reason=error.strerror or error) from error
    finally:
        with suppress(OSError):
            part.unlink()


def write_file(file: Path, content: bytes) -> None:
    """Write a file atomically, and create its folder if it doesn't exist.

    Raises
    ------
    FileNotWritable
    """
    with whole_file(file) as part:
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
