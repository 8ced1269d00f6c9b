"""Sockets of the gallery's server."""

from __future__ import annotations

import asyncio
import socket

from producer.gallery.server import listen
from tests.threads import in_new_thread


async def _delays(listener: socket.socket) -> bool:
    """Return whether parts of an answer wait for acknowledgements (Nagle's algorithm) in asyncio's server."""
    options: asyncio.Queue[int] = asyncio.Queue()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected = writer.get_extra_info("socket")
        options.put_nowait(connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async with await asyncio.start_server(accept, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
        no_delay = await asyncio.wait_for(options.get(), 60)
        writer.close()
    return not no_delay


def test_answers_are_not_delayed() -> None:
    assert not in_new_thread(asyncio.run, _delays(listen("127.0.0.1", 0)))
