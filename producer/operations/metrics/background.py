"""Calls that may hang: a database behind a broken network, a file system whose server is away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

Result = TypeVar("Result")


class BackgroundCall(Generic[Result]):
    """Calls a function in a thread, so that its caller can stop waiting.

    There is at most one thread: while a call hangs, further ones wait for its result instead of hanging, too.
    """

    def __init__(self, function: Callable[[], Result]) -> None:
        self._function = function
        self._lock = threading.Lock()
        self._current: Future[Result] | None = None

    def start(self) -> Future[Result]:
        """Return the call in progress, or a new one."""
        with self._lock:
            if self._current is None or self._current.done():
                self._current = Future()
                thread = threading.Thread(target=self._run, args=(self._current,), daemon=True)
                thread.start()
            return self._current

    def _run(self, call: Future[Result]) -> None:
        try:
            call.set_result(self._function())
        except BaseException as error:
            call.set_exception(error)
