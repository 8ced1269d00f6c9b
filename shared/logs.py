"""Logging of workers and `analyze up` to stderr, as text or JSON.

Every record has the worker and its device, and while a shard is computed its job, shard, stage and attempt.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from shared.text import printable

LogFormat = Literal["text", "json"]

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
    handler = logging.StreamHandler()
    handler.addFilter(_add_fields)
    handler.setFormatter(
        JsonFormatter(
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
    for name in ("celery.worker.strategy", "celery.app.trace"):  # redundant records for each message
        logging.getLogger(name).setLevel(logging.WARNING)


class _TextFormatter(logging.Formatter):
    """Formats times in UTC, as the database and JSON have them: machines of one service may have several zones.

    Control characters of names and messages are escaped, since the log can be a terminal.
    """

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


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
