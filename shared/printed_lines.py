"""Text that this and other programs print, as log records.

With JSON logs every line on stderr is one object, also those of libraries that print, of tracebacks, and of
programs that can't log.
"""

from __future__ import annotations

import io
import json
import logging
import subprocess
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import IO

TRACEBACK = "Traceback (most recent call last):"
LONGEST_LINE = 1_000_000  # bytes; a longer one becomes several records
SECONDS_TO_END = 2.0  # to read what a program that has exited printed

logger = logging.getLogger("printed")


class LineLogger:
    """Logs each line of a text; a traceback is one record.

    Parameters
    ----------
    level
        Level of the records.
    fields
        Fields that are added to the records.
    """

    def __init__(self, level: int, fields: Mapping[str, object] | None = None) -> None:
        self.level, self.fields = level, dict(fields or {})
        self._unfinished = b""
        self._traceback: list[str] = []

    def feed(self, data: bytes) -> None:
        """Log the lines that ``data`` completes."""
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        for line in lines:
            self._add(line.decode(errors="backslashreplace").rstrip("\r"))

    def finish(self) -> None:
        """Log what is left."""
        if self._unfinished:
            self.feed(b"\n")
        self._end_traceback()

    def _add(self, line: str) -> None:
        if line == TRACEBACK:
            self._end_traceback()
            self._traceback = [line]
        elif self._traceback:
            self._traceback.append(line)
            if not line.startswith((" ", "\t")):  # the exception: the lines before it are the frames
                self._end_traceback()
        elif line.strip():
            logger.log(self.level, "%s", line, extra=self.fields)

    def _end_traceback(self) -> None:
        if self._traceback:
            logger.error("%s", "\n".join(self._traceback), extra=self.fields)
        self._traceback = []


class LogStream(io.RawIOBase):
    """A stream in place of stderr that logs the lines that are written to it.

    Each thread has its own unfinished line. There is no lock, which a forked process could find locked.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._own = threading.local()

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """Return the number of the file that the log is written to, for ``faulthandler`` and subprocesses."""
        return self._number

    def write(self, data: object) -> int:
        content = bytes(data)  # type: ignore[call-overload]
        if not getattr(self._own, "busy", False):  # else logging prints that it can't write: nobody can be told
            self._own.busy = True
            try:
                self._lines().feed(content)
            finally:
                self._own.busy = False
        return len(content)

    def finish(self) -> None:
        """Log this thread's unfinished line."""
        self._lines().finish()

    def _lines(self) -> LineLogger:
        if not hasattr(self._own, "lines"):
            self._own.lines = LineLogger(logging.INFO)
        lines: LineLogger = self._own.lines
        return lines


def relay(
    process: subprocess.Popen[bytes], write_line: Callable[[str], None], fields: Mapping[str, object]
) -> list[threading.Thread]:
    """Log what a program prints, in threads that end with it: what it writes to stdout at level INFO, and what it
    writes to stderr at level WARNING.

    Parameters
    ----------
    write_line
        Writes a line that is a JSON object already, such as a record of the program's own log.
    fields
        Fields that are added to the records of other lines.
    """
    threads = []
    for stream, level in ((process.stdout, logging.INFO), (process.stderr, logging.WARNING)):
        if stream:
            arguments = stream, LineLogger(level, fields), write_line
            threads.append(threading.Thread(target=_read, args=arguments, name="relay", daemon=True))
            threads[-1].start()
    return threads


def _read(stream: IO[bytes], lines: LineLogger, write_line: Callable[[str], None]) -> None:
    with stream:
        for line in iter(partial(stream.readline, LONGEST_LINE), b""):
            if _is_object(line):
                write_line(line.decode().rstrip())
            else:
                lines.feed(line if line.endswith(b"\n") else line + b"\n")
    lines.finish()


def _is_object(line: bytes) -> bool:
    """Return whether the line is a JSON object."""
    if not line.startswith(b"{"):
        return False
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
