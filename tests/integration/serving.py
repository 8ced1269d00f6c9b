"""Archives, and a local HTTP server to download them from."""

from __future__ import annotations

import hashlib
import io
import ssl
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from producer.datasets.download import Source

NAME, FOLDER = "voc.tar", "VOCdevkit"


def pack(files: dict[str, bytes], *members: tarfile.TarInfo) -> bytes:
    """Build a tar file with the files, followed by members without content."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in members:
            tar.addfile(member)
    return packed.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def tree(root: Path) -> dict[str, bytes]:
    """Return the files below a folder, except hidden ones."""
    files = [path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


class Server:
    """A server with ``pages`` (path -> content) and ``redirects`` (path -> URL), which counts requests."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.pages: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[str] = []
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        if tls:
            self.http.socket = tls.wrap_socket(self.http.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.http.server_address[1]}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                if self.path in server.redirects:
                    self.send_response(302)
                    self.send_header("Location", server.redirects[self.path])
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                elif self.path in server.pages:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(server.pages[self.path])))
                    self.end_headers()
                    self.wfile.write(server.pages[self.path])
                else:
                    self.send_error(404)

            def log_message(self, *args: object) -> None:
                """Don't log requests to stderr."""

        return Handler

    def source(self, content: bytes, name: str = NAME, folder: str = FOLDER, inner: str | None = None) -> Source:
        """Serve an archive and return its source."""
        self.pages[f"/{name}"] = content
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        return Source(f"{self.url}/{name}", name, md5, folder, inner)


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        thread.join()
        server.http.server_close()
