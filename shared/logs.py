"""What programs that run on say while they work: lines for people, or JSON for machines, on stderr.

Every line says which job, shard, stage and attempt is in hand, on which worker and device.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

LogFormat = Literal["text", "json"]

# Of the process and not of a thread: it does one shard at a time, and the heartbeat's lines belong to that one.
_at_hand: dict[str, object] = {}


@contextmanager
def at_hand(**fields: object) -> Iterator[None]:
    """Lines of this process have these fields meanwhile."""
    _at_hand.update(fields)
    try:
        yield
    finally:
        for name in fields:
            _at_hand.pop(name, None)


def set_up(form: LogFormat) -> None:
    """Log to stderr, from INFO on, in this process and those that are forked from it."""
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
        else logging.Formatter("%(asctime)s %(levelname)s %(message)s%(fields)s")
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in ("celery.worker.strategy", "celery.app.trace"):  # a line for each message, which says no more
        logging.getLogger(name).setLevel(logging.WARNING)


def _add_fields(record: logging.LogRecord) -> bool:
    fields = {
        "worker": os.environ.get("ANALYZE_WORKER_NAME"),
        "device": os.environ.get("ANALYZE_DEVICE"),
        **_at_hand,
    }
    known = {name: value for name, value in fields.items() if value is not None}
    record.__dict__.update(known)
    record.fields = " ".join(["", *(f"{name}={value}" for name, value in known.items())])
    return True
