"""Logging of workers and `analyze up` to stderr, as text or JSON.

Every record has the worker and its device, and while a shard is computed its job, shard, stage and attempt. With
JSON each line on stderr is one object, whoever prints it: see ``shared.printed_lines``.
"""

from __future__ import annotations

import atexit
import io
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, TextIO

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from shared.printed_lines import SECONDS_TO_END, LogStream, relay
from shared.text import printable, printable_json

LogFormat = Literal["text", "json"]
QUIET = (
    "celery.worker.strategy", "celery.app.trace",  # redundant records for each message
    "alembic",
)  # fmt: skip

logger = logging.getLogger(__name__)

# Per process, not per thread: the heartbeat thread's records belong to the one shard that the process computes.
_context: dict[str, object] = {}


@contextmanager
def log_context(**fields: object) -> Iterator[None]:
    """Add these fields to every log record of this process while the context is active."""
    _context.update(fields)
    try:
        yield
    finally:
        for name in fields:
            _context.pop(name, None)


def configure_logging(form: LogFormat) -> None:
    """Log to stderr at level INFO in this process and in processes forked from it."""
    handler = logging.StreamHandler(_stderr())
    handler.addFilter(_add_fields)
    handler.setFormatter(
        _JsonFormatter(
            ["levelname", "name", "message"],
            rename_fields={"levelname": "level", "name": "logger"},
            timestamp="at",
            reserved_attrs=[*RESERVED_ATTRS, "fields"],
            json_ensure_ascii=False,
        )
        if form == "json"
        else _TextFormatter("%(asctime)s UTC %(levelname)s %(message)s%(fields)s")
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    pool = logging.getLogger("multiprocessing")  # of Celery's pool, which does not pass its records on
    pool.handlers = [handler]
    pool.setLevel(logging.WARNING)
    if form == "json":
        _log_what_is_printed(handler)


_json_handler: logging.StreamHandler[TextIO] | None = None  # if the format is JSON


def is_json() -> bool:
    """Return whether this process logs in JSON."""
    return _json_handler is not None


def child_output() -> dict[str, Any]:
    """Return the arguments with which ``subprocess.Popen`` starts a program whose output belongs to the log. With
    text it writes to this process's streams itself; with JSON ``relay_output`` reads what it prints."""
    return {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} if is_json() else {}


def relay_output(process: subprocess.Popen[bytes], **fields: object) -> None:
    """Log what a program prints that was started with ``child_output``: lines that are JSON objects as they are,
    others as records with these fields."""
    if handler := _json_handler:
        _relays[:] = [thread for thread in _relays if thread.is_alive()]
        _relays.extend(relay(process, lambda line: _write_line(handler, line), fields))


_relays: list[threading.Thread] = []


@atexit.register
def _finish_relays() -> None:
    """Log the last lines of programs that have exited."""
    for thread in _relays:
        thread.join(SECONDS_TO_END)


def _write_line(handler: logging.StreamHandler[TextIO], line: str) -> None:
    with handler.lock or threading.Lock():
        handler.stream.write(f"{printable_json(line)}\n")
        handler.flush()


def _stderr() -> TextIO:
    """Return the stream to log to: stderr, or the one that it was before ``_log_what_is_printed`` replaced it."""
    return _json_handler.stream if _json_handler else sys.stderr


def _log_what_is_printed(handler: logging.StreamHandler[TextIO]) -> None:
    """Make a record of each line that this process prints on stderr, and of exceptions that end it or a thread."""
    global _json_handler
    _json_handler = handler
    if isinstance(
        handler.stream, io.TextIOWrapper
    ):  # JSON is UTF-8; the escapes of lone surrogates are JSON's, too
        handler.stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    printed = LogStream(handler.stream.fileno())
    atexit.register(printed.finish)
    sys.stderr = io.TextIOWrapper(printed, "utf-8", "backslashreplace", write_through=True)
    sys.__stderr__ = sys.stderr  # type: ignore[misc]
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    if error is not None and not issubclass(kind, SystemExit):
        logger.critical("uncaught exception", exc_info=(kind, error, trace))


class _TextFormatter(logging.Formatter):
    """Formats times in UTC, as the database and JSON have them: machines of one service may have several zones.

    Control characters of names and messages are escaped, since the log can be a terminal. Further lines of a
    record are indented, so that every line that begins with a time is a record.
    """

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record)).replace("\n", "\n    ")


class _JsonFormatter(JsonFormatter):
    """Escapes all control characters, also those that JSON allows."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_json(super().format(record))


def _add_fields(record: logging.LogRecord) -> bool:
    fields = {
        "worker": os.environ.get("ANALYZE_WORKER_NAME"),
        "device": os.environ.get("ANALYZE_DEVICE"),
        **_context,
    }
    present = {name: value for name, value in fields.items() if value is not None}
    record.__dict__.update(present)
    record.fields = " ".join(["", *(f"{name}={value}" for name, value in present.items())])
    return True
