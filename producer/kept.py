"""Values that are kept in memory up to a number of bytes; the one that was used longest ago makes room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Kept(Generic[Key, Value]):
    """A cache for threads.

    Parameters
    ----------
    most_bytes
        Of all values. A value that is larger by itself is returned, and not kept.
    size
        Returns the bytes of a value.
    """

    def __init__(self, most_bytes: int, size: Callable[[Value], int]) -> None:
        self.most_bytes, self.size = most_bytes, size
        self.bytes = 0
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: Key) -> Value | None:
        """Return the value of a key, or None if it is not kept."""
        with self._lock:
            if key not in self._values:
                return None
            self._values.move_to_end(key)
            return self._values[key]

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return the value of a key, which ``make`` makes if it is not kept. Its errors are not kept."""
        if (found := self.find(key)) is not None:
            return found
        value = make()  # not under the lock: other threads may make the same value
        size = self.size(value)
        with self._lock:
            if key not in self._values and size <= self.most_bytes:
                self._values[key] = value
                self.bytes += size
                while self.bytes > self.most_bytes:
                    _, oldest = self._values.popitem(last=False)
                    self.bytes -= self.size(oldest)
        return value
