"""Limit of wrong tokens."""

from __future__ import annotations

import time
from collections import OrderedDict, deque

TRIES = 10  # wrong tokens of an address
SECONDS = 60.0  # in this time
ADDRESSES = 10_000  # in memory; the one that tried least recently is forgotten


class Tries:
    """Wrong tokens by the address that they came from. Who is signed in isn't counted."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def seconds_to_wait(self, address: str) -> int:
        """Return for how many seconds no further token of an address is looked at; 0 if one may be tried."""
        times = self._times.get(address)
        if not times or len(times) < TRIES:
            return 0
        return max(0, round(times[0] + SECONDS - time.monotonic() + 0.5))

    def failed(self, address: str) -> None:
        """Count a wrong token."""
        times = self._times.setdefault(address, deque(maxlen=TRIES))
        times.append(time.monotonic())
        self._times.move_to_end(address)
        if len(self._times) > ADDRESSES:
            self._times.popitem(last=False)
