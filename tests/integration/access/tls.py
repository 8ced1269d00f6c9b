"""Certificates and a TLS-terminating proxy for the servers installed from wheels, which are built without TLS."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104  # a PostgreSQL client's requests for encryption
CHUNK = 65536


@dataclass(frozen=True)
class Certificates:
    """Certificate files in one folder. The server's certificate is valid only for ``localhost``."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def other_ca(self) -> Path:
        return self.folder / "other.pem"

    @property
    def client(self) -> Path:
        return self.folder / "client.pem"

    @property
    def client_key(self) -> Path:
        return self.folder / "client.key"

    def server_context(self, *, asks_client: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(self.ca))
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        context.verify_mode = ssl.CERT_REQUIRED if asks_client else ssl.CERT_NONE
        return context


def make_certificates(folder: Path) -> Certificates:
    """Create two authorities, and server and client certificates signed by the first one."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
    for name in ("ca", "other"):
        _openssl(folder, "req", "-x509", *key, "-subj", f"/CN=unitscope test {name}",
                 "-addext", "keyUsage=critical,keyCertSign",
                 "-keyout", f"{name}.key", "-out", f"{name}.pem")  # fmt: skip
    for name, extension in (("server", "DNS:localhost"), ("client", "DNS:client")):
        _openssl(folder, "req", "-x509", *key, "-subj", f"/CN={name}", "-CA", "ca.pem", "-CAkey", "ca.key",
                 "-addext", f"subjectAltName={extension}", "-addext", "basicConstraints=critical,CA:FALSE",
                 "-keyout", f"{name}.key", "-out", f"{name}.pem")  # fmt: skip
    for file in folder.glob("*.key"):
        file.chmod(0o600)
    return Certificates(folder)


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class TlsProxy:
    """A proxy from TLS on a port of 127.0.0.1 to a unix socket, with a thread per connection."""

    def __init__(self, upstream: Path, context: ssl.SSLContext, *, postgresql: bool = False) -> None:
        self.upstream, self.context, self.postgresql = upstream, context, postgresql
        self.port = 0
        self.served = 0  # connections whose TLS handshake succeeded
        self.connections: list[socket.socket] = []
        self.open()

    def open(self) -> None:
        """Listen, on the same port as before if reopened."""
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def close(self) -> None:
        """Stop listening and close all connections."""
        for connection in (self.listener, *self.connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.connections.clear()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # closed
            while True:
                plain, _ = listener.accept()
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError), plain:  # the client disconnected or refused the certificate
            plain.settimeout(30)
            if self.postgresql and not _agree(plain):
                return
            with (
                self.context.wrap_socket(plain, server_side=True) as client,
                socket.socket(socket.AF_UNIX) as server,
            ):
                server.connect(str(self.upstream))
                self.connections += [client, server]
                self.served += 1
                _pump(client, server)


def _agree(plain: socket.socket) -> bool:
    """Answer a PostgreSQL client's request for TLS."""
    while True:
        _, code = struct.unpack("!II", plain.recv(8, socket.MSG_WAITALL))
        plain.sendall(b"S" if code == SSL_REQUEST else b"N")
        if code != GSS_REQUEST:
            return bool(code == SSL_REQUEST)


def _pump(client: ssl.SSLSocket, server: socket.socket) -> None:
    while True:
        readable, _, _ = select.select([client, server], [], [])
        if client in readable:
            client.settimeout(0)
            with suppress(ssl.SSLWantReadError):
                while True:
                    if not (data := client.recv(CHUNK)):
                        return
                    server.sendall(data)
            client.settimeout(30)
        if server in readable:
            if not (data := server.recv(CHUNK)):
                return
            client.sendall(data)


@contextmanager
def tls_in_front(upstream: Path, context: ssl.SSLContext, *, postgresql: bool = False) -> Iterator[TlsProxy]:
    proxy = TlsProxy(upstream, context, postgresql=postgresql)
    try:
        yield proxy
    finally:
        proxy.close()
