"""The database of a server that runs for weeks, in which a SQLite file can be moved or replaced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.orm import Session

from shared.database.connection import Database
from shared.errors import DatabaseFileNotUsable


class GalleryDatabase(Database):
    """A database whose SQLite file is looked at each time before it is used.

    SQLite would create an empty file in place of a missing one. If a file was replaced, or was missing for a time,
    pooled connections would read the former one.
    """

    _file: tuple[int, int] | None = None  # device and inode; None if it was missing

    @contextmanager
    def read(self) -> Iterator[Session]:
        if self.is_sqlite:
            self._check_file()
        with super().read() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        if self.is_sqlite:
            self._check_file()
        with super().write() as session:
            yield session

    def _check_file(self) -> None:
        try:
            found = os.stat(self.url.database or "")
        except OSError as error:
            self._file = None
            raise DatabaseFileNotUsable(url=self, reason=error.strerror) from error
        file = found.st_dev, found.st_ino
        if file != self._file:
            self.engine.dispose()
            self._file = file
