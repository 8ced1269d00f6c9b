"""A limit on answers that take long, so that others still find a thread and memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.exceptions import HTTPException


class Turns:
    """At most ``most`` answers are made, or wait, at the same time; further ones are refused.

    Parameters
    ----------
    doing
        What is being done, for the sentence of the refusal: ``queries run``.
    """

    def __init__(self, most: int, doing: str) -> None:
        self.most, self.doing = most, doing
        self._free = threading.BoundedSemaphore(most)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Raise HTTPException (503) if there are too many already."""
        if not self._free.acquire(blocking=False):
            raise HTTPException(503, f"{self.most} {self.doing} already. Try again in some seconds.")
        try:
            yield
        finally:
            self._free.release()
