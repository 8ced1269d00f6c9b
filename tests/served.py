"""A gallery that is served by ``analyze serve``, and requests to it."""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.conftest import Analyze


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


class Served:
    """``analyze serve`` with options, on a free port."""

    def __init__(self, analyze: Analyze, *options: object) -> None:
        self.analyze = analyze
        before = analyze.log()
        self.process: subprocess.Popen[bytes] = analyze.start("serve", "--port", 0, *options)
        self.url = ""
        deadline = time.monotonic() + 60
        while not self.url:
            assert self.process.poll() is None, analyze.log()
            assert time.monotonic() < deadline, analyze.log()
            time.sleep(0.02)
            found = re.findall(r"The gallery is at (http://\S+)\. ", analyze.log().removeprefix(before))
            self.url = found[-1] if found else ""
        address = urlsplit(self.url)
        self.host, self.port = address.hostname or "", address.port or 0

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET", body: str | None = None
    ) -> Answer:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def connect(self) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout=30)

    def raw(self, request: bytes) -> bytes:
        """Send bytes, and return all that the server sends until it ends the connection."""
        with self.connect() as connection:
            connection.sendall(request)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)

    def line(self, path: bytes, method: bytes = b"GET", *headers: bytes) -> bytes:
        """Send a request whose path is not checked or quoted by a library."""
        host = b"Host: localhost\r\nConnection: close\r\n"
        return self.raw(b"%s %s HTTP/1.1\r\n%s%s\r\n" % (method, path, host, b"".join(headers)))
