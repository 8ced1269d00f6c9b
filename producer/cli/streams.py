"""The standard streams of a command: they escape control characters, and may be closed or not writable.

Names of images, classes, data sets, and hosts come from other people, and can contain control sequences of a
terminal. So both streams escape what is written to them, unless it is written to their ``unescaped``: see there.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, cast

from shared.text import printable


def prepare_streams() -> None:
    """Escape what is printed, make closed streams safe, and let no message on stderr fail a command."""
    _open_closed_streams()
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # for characters that the locale's encoding doesn't have
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _Data(
            sys.stdout.buffer,
            encoding=sys.stdout.encoding,
            errors=sys.stdout.errors,
            line_buffering=sys.stdout.line_buffering,
        )
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _Messages(
            sys.stderr.buffer, encoding=sys.stderr.encoding, errors="backslashreplace", line_buffering=True
        )


def _open_closed_streams() -> None:
    """Open the null device in place of closed streams, as in ``analyze ls >&-``.

    The next opened file would have the stream's number otherwise, and be written by whatever prints. Reading from
    stdin and writing to stdout still fail, as for any program, since they are opened for the opposite.
    """
    for number, flags in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            os.dup2(os.open(os.devnull, flags), number)  # the lowest free number: the stream's own
            os.set_inheritable(number, True)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False, encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115


def unescaped(stream: IO[str]) -> IO[str]:
    """Return a file that writes to a standard stream without escaping control characters.

    It is for texts that are escaped already and have the colours of a terminal, and for data that programs read.
    """
    return stream.as_it_is if isinstance(stream, _Escaping) else stream


class _Escaping(io.TextIOWrapper):
    """A stream that escapes control characters."""

    @property
    def as_it_is(self) -> IO[str]:
        return cast(IO[str], _Unescaped(self))

    def write(self, text: str) -> int:
        self.write_as_it_is(printable(text))
        return len(text)

    def write_as_it_is(self, text: str) -> None:
        super().write(text)


class _Unescaped(io.TextIOBase):
    """The unescaped side of a stream, with the same buffer."""

    def __init__(self, stream: _Escaping) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write_as_it_is(text)
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding


class _Data(_Escaping):
    """Stdout of a command. An error of writing it names it, as errors of files name the file."""

    def write_as_it_is(self, text: str) -> None:
        with _named():
            super().write_as_it_is(text)

    def flush(self) -> None:
        with _named():
            super().flush()


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        error.filename = error.filename or "standard output"
        raise


class _Messages(_Escaping):
    """Stderr of a command. If it can't be written, its text is dropped: the work and the data matter more."""

    def write_as_it_is(self, text: str) -> None:
        try:
            super().write_as_it_is(text)
        except OSError:
            drop_output(2)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            drop_output(2)


def drop_output(number: int) -> None:
    """Redirect a stream to the null device. Python flushes stdout at exit, and exits with 120 if that fails."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)
