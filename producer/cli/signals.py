"""End a command on SIGTERM, and on SIGHUP of a closed terminal, in the same way as on Ctrl+C.

By default these signals kill the process at once, and leave behind what it has started, such as the private Redis.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType
from typing import NoReturn

ENDING = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]


class Ended(BaseException):
    """Raised in the main thread by a signal that ends the command; not an ``Exception``, so nothing catches it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def ending_signals() -> list[signal.Signals]:
    """Return the signals that end a command, without ignored ones: ``nohup`` has SIGHUP ignored."""
    return [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]


def raise_on_signals() -> None:
    """Raise ``Ended`` on the first such signal. Later ones are ignored, so that the command can clean up."""

    def end(number: int, frame: FrameType | None) -> None:
        for other in ending_signals():
            signal.signal(other, signal.SIG_IGN)
        raise Ended(number)

    if threading.current_thread() is threading.main_thread():
        for number in ending_signals():
            signal.signal(number, end)


def end_by(number: int) -> NoReturn:
    """End this process by the signal, so that its parent sees what ended it."""
    with suppress(OSError):
        sys.stdout.flush()
    sys.stderr.flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    sys.exit(128 + number)
