"""A forwarder in front of a PostgreSQL server, which can be closed, or keep silent like a hanging server."""

from __future__ import annotations

import select
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path


class Forwarder:
    """Forwards the connections to a unix socket in a folder of its own to another unix socket."""

    def __init__(self, upstream: Path) -> None:
        self.upstream = upstream
        self.folder = Path(tempfile.mkdtemp(prefix="unitscope-forwarder-"))  # a socket's path must be short
        self.socket = self.folder / upstream.name
        self.silent = threading.Event()
        self.connections: list[socket.socket] = []
        self.listener: socket.socket | None = None

    def open(self) -> None:
        """Listen, and forward."""
        self.silent.clear()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.socket))
        self.listener.listen(50)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def close(self) -> None:
        """Stop listening and close all connections."""
        for connection in (self.listener, *self.connections):
            if connection:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()
        self.connections.clear()
        self.socket.unlink(missing_ok=True)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = listener.accept()
                self.connections.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as server, client:
            server.connect(str(self.upstream))
            while True:
                readable, _, _ = select.select([client, server], [], [], 0.1)
                if self.silent.is_set():  # as from a server that is stopped: connections stay open
                    continue
                for source, target in ((client, server), (server, client)):
                    if source in readable:
                        if not (data := source.recv(65536)):
                            return
                        target.sendall(data)
