"""A limit on answers that take long, so that others still find a thread and memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.exceptions import HTTPException

BUSY = "Other requests for such pages are being answered. Try again in a few seconds."


class Turns:
    """At most ``most`` answers are made, or wait, at the same time; further ones are refused."""

    def __init__(self, most: int) -> None:
        self._free = threading.BoundedSemaphore(most)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Raise HTTPException (503) if there are too many already."""
        if not self._free.acquire(blocking=False):
            raise HTTPException(503, BUSY)
        try:
            yield
        finally:
            self._free.release()
