"""The web server of the gallery: uvicorn, in this process."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import uvicorn

from producer.gallery.access.guard import Access, Guard
from producer.gallery.application import create_app
from producer.gallery.page import Gallery
from producer.gallery.protocol import IDLE_SECONDS, LONGEST_REQUEST_HEAD, MOST_CONNECTIONS, Connection
from shared.errors import UsageError

BACKLOG = 512  # connections that wait to be accepted
SHUTDOWN_SECONDS = 3  # for responses that are being sent
FILES = MOST_CONNECTIONS + 500  # that the process may have open
M_ARENA_MAX, ARENAS = -8, 2  # a parameter of glibc's mallopt


def run_server(
    gallery: Gallery,
    listener: socket.socket,
    access: Access,
    signals: Sequence[signal.Signals],
    parent: int | None = None,
) -> None:
    """Serve the gallery until the process gets a signal.

    Parameters
    ----------
    listener
        What ``listen`` returned.
    signals
        The first of them lets responses end for up to ``SHUTDOWN_SECONDS``, a second one doesn't.
    parent
        Process id of the parent, with which the server ends, too.
    """
    _allow_files()
    _limit_arenas()
    config = uvicorn.Config(
        Guard(create_app(gallery), access),
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # of uvicorn: a malformed request is not worth a line
        access_log=False,
        proxy_headers=False,  # a client could give itself any address
        server_header=False,
        backlog=BACKLOG,
        h11_max_incomplete_event_size=LONGEST_REQUEST_HEAD,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    _Server(config, signals, parent).run(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that returns when it was stopped by a signal; uvicorn's raises the signal again."""

    def __init__(self, config: uvicorn.Config, signals: Sequence[signal.Signals], parent: int | None) -> None:
        super().__init__(config)
        self.signals, self.parent = signals, parent

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in self.signals:
            signal.signal(number, lambda *_: self.stop())
        yield

    def stop(self) -> None:
        """End the server, the second time at once."""
        self.force_exit, self.should_exit = self.should_exit, True

    async def on_tick(self, counter: int) -> bool:
        is_orphan = self.parent is not None and os.getppid() != self.parent
        return await super().on_tick(counter) or is_orphan


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a name or a numeric address of this machine.

    Raises
    ------
    UsageError
        The address can't be used.
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        reason = f"'{host}' is no address of this machine ({getattr(error, 'strerror', None) or error}). "
        raise UsageError(reason=f"{reason}--host chooses another one; 0.0.0.0 is all.") from None
    family, _, _, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    # With the protocol's number: without it, asyncio leaves TCP_NODELAY off, and the second part of each response
    # waits for the client's delayed acknowledgement, 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError(reason=_refused(error, host, port)) from None
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the URL under which this machine reaches a listening socket."""
    host, port = listener.getsockname()[:2]
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://{f'[{local}]' if ':' in local else local}:{port}"


def _refused(error: OSError, host: str, port: int) -> str:
    """Describe why the server can't listen, with the option to change."""
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use by another program. Choose another one with --port; 0 is any."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"This user can't listen on port {port}. Choose one from 1024 on with --port; 0 is any."
    return f"Can't listen on {host}, port {port}: {error.strerror or error}. --host and --port choose others."


def _allow_files() -> None:
    """Allow as many open files as connections need, as far as the system lets this user."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _limit_arenas() -> None:
    """Let threads share the arenas of glibc's allocator. By default most threads have one of their own, each of
    which keeps freed memory."""
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)
