"""The standard streams of a command whose caller closed them, or that can't be written."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


def prepare_streams() -> None:
    """Make closed streams safe, and let no message on stderr fail a command."""
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


class _Data(io.TextIOWrapper):
    """Stdout of a command. An error of writing it names it, as errors of files name the file."""

    def write(self, text: str) -> int:
        with _named():
            return super().write(text)

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


class _Messages(io.TextIOWrapper):
    """Stderr of a command. If it can't be written, its text is dropped: the work and the data matter more."""

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            drop_output(2)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            drop_output(2)


def drop_output(number: int) -> None:
    """Redirect a stream to the null device. Python flushes stdout at exit, and exits with 120 if that fails."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), number)
