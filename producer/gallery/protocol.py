"""HTTP connections with limits of time and number.

uvicorn waits for the end of a request for ever, and answers 503 to everybody once there are too many connections,
even if these are idle. Here a slow request is ended, and the connection that has waited longest makes room.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS = 1000
REQUEST_SECONDS = 10.0  # from a connection, or the first byte of a further request, to the end of the request
RESPONSE_SECONDS = 300.0  # from there to the end of the response: a slow query, a large file
IDLE_SECONDS = 15  # a connection without a further request
FLUSH_SECONDS = 60.0  # to read the end of a response
LONGEST_REQUEST_HEAD = 32 * 1024  # bytes of request line and headers


class Connection(H11Protocol):
    """A connection of a browser: receives one request after the other, and is ended when one takes too long."""

    deadline: asyncio.TimerHandle | None = None
    since = 0.0  # time of the loop at which it began to wait for a request

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._limit(REQUEST_SECONDS)
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        was_waiting = self.is_waiting()
        if was_waiting and self.deadline is None:
            self._limit(REQUEST_SECONDS)
        super().data_received(data)
        if was_waiting and not self.is_waiting():
            self._limit(RESPONSE_SECONDS)

    def on_response_complete(self) -> None:
        self._clear()
        super().on_response_complete()
        self.since = self.loop.time()
        if self.transport.is_closing():
            self._limit(FLUSH_SECONDS)
        elif not self.is_waiting():
            self._limit(RESPONSE_SECONDS)  # of a further request, which had come already
        elif self.conn.their_state is not h11.IDLE or self.conn.trailing_data[0]:
            self._limit(REQUEST_SECONDS)  # to the end of a request that has begun

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self.deadline = self.deadline or self.loop.call_later(FLUSH_SECONDS, self._abort)

    def is_waiting(self) -> bool:
        """Return whether no complete request is here that is being answered."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def _limit(self, seconds: float) -> None:
        self._clear()
        self.since = self.loop.time()
        self.deadline = self.loop.call_later(seconds, self._abort)

    def _clear(self) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
            self.deadline = None

    def _abort(self) -> None:
        self.deadline = None
        self.transport.abort()

    def _make_room(self) -> None:
        """End the connection that has waited longest for a request if there are too many."""
        if len(self.connections) <= MOST_CONNECTIONS:
            return
        everyone: list[Any] = list(self.connections)
        others = [other for other in everyone if other is not self and not other.transport.is_closing()]
        if len(others) < MOST_CONNECTIONS:
            return
        waiting = [other for other in others if other.is_waiting()]
        ended = min(waiting, key=lambda other: other.since) if waiting else self
        ended.transport.abort()
