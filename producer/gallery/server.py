"""The web server of the gallery: uvicorn, in this process."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from producer.gallery.application import create_app
from producer.gallery.page import Gallery
from shared.errors import UsageError

MOST_CONNECTIONS = 1000  # at once; others get 503
IDLE_SECONDS = 15  # a connection without a request is closed
BACKLOG = 512  # connections that wait to be accepted
SHUTDOWN_SECONDS = 3


def run_server(gallery: Gallery, host: str, port: int, started: Callable[[str], None]) -> None:
    """Serve the gallery until the process gets SIGINT or SIGTERM.

    Parameters
    ----------
    started
        Called with the address once the server listens.

    Raises
    ------
    UsageError
        The address can't be used.
    """
    listener = _listen(host, port)
    address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
    config = uvicorn.Config(
        create_app(gallery),
        log_level="warning",
        access_log=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        server_header=False,
        lifespan="off",
    )
    started(address)
    uvicorn.Server(config).run(sockets=[listener])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = f"{host}:{port} can't be used ({error.strerror or error}). Choose another --host or --port."
        raise UsageError(reason=reason) from error
    return listener
