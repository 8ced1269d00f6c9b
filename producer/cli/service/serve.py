"""``analyze serve``: the gallery in a browser."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from producer.cli.context import CONNECT_SECONDS, App, pass_app
from producer.cli.signals import ending_signals
from shared import logs
from shared.errors import UsageError

if TYPE_CHECKING:
    from socket import socket

    from producer.gallery.access.guard import Access

PARENT = "ANALYZE_SUPERVISOR_PID"  # of `analyze up --serve`


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 or :: for all addresses of this machine. Another one than that of this "
    "machine itself needs a token, or --public.",
)
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 is any free port.")
@click.option("--token", "with_token", is_flag=True, help="Ask for the token on every address.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="File with the token, such as a container's secret, in place of the one that --new-token made.",
)
@click.option(
    "--new-token",
    is_flag=True,
    help="Make a token, print it, and exit. It replaces the earlier one, which a gallery that runs keeps until it "
    "is started again.",
)
@click.option("--public", is_flag=True, help="Ask for no token: everybody who can reach the address reads all.")
@click.option(
    "--allow-changes",
    is_flag=True,
    help="Show buttons that cancel jobs, continue them, and change their priority.",
)
@click.option(
    "--allowed-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="A further name of this machine, or of a proxy, in addresses; can be repeated.",
)
@click.option("--open", "open_browser", is_flag=True, help="Open the first page in a browser.")
@pass_app
def serve(
    app: App,
    host: str,
    port: int,
    with_token: bool,
    token_file: Path | None,
    new_token: bool,
    public: bool,
    allow_changes: bool,
    allowed_hosts: tuple[str, ...],
    open_browser: bool,
) -> None:
    """Show jobs, units, images and training runs in a browser, until Ctrl+C.

    The pages need no workers and no Redis, and only read, unless --allow-changes is given. By default only this
    machine can reach them.

    \b
    analyze serve --open
    analyze serve --host 0.0.0.0              for other machines; the first time prints a token to sign in
    ssh -L 8080:localhost:8080 MACHINE        the gallery of another machine, without --host there
    """
    from producer.gallery.access.forms import new_key
    from producer.gallery.database import GalleryDatabase
    from producer.gallery.page import Gallery
    from producer.gallery.server import listen, run_server, url_of

    if public and (with_token or token_file or new_token):
        raise click.UsageError("--public asks for no token: leave out --token, --token-file and --new-token.")
    if public and allow_changes:
        reason = "anybody who can reach the address could cancel jobs"
        raise click.UsageError(f"--public and --allow-changes exclude each other: {reason}.")
    if new_token:
        from producer.gallery.access import tokens

        click.echo(tokens.new_token(app.settings))
        return
    app.database.close()  # it is there, and has this version's schema
    database = GalleryDatabase(app.settings.resolved_database_url, CONNECT_SECONDS)
    gallery = Gallery(app.settings, database, app.store, new_key() if allow_changes else None)
    logs.configure_logging(app.settings.log_format)
    listener = listen(host, port)
    access = _access(app, listener, host, allowed_hosts, with_token, token_file, public)
    access = dataclasses.replace(access, allow_changes=allow_changes)
    url = url_of(listener)
    needs = "It asks for its token. " if access.key else ""
    app.err.print(f"The gallery is at {url}. {needs}Ctrl+C ends it.")
    if open_browser:  # in a thread, since a browser in the terminal runs until its end
        threading.Thread(target=webbrowser.open, args=[url], daemon=True).start()
    parent = int(os.environ[PARENT]) if PARENT in os.environ else None
    run_server(gallery, listener, access, (signal.SIGINT, *ending_signals()), parent)


def _access(
    app: App,
    listener: socket,
    host: str,
    allowed_hosts: tuple[str, ...],
    with_token: bool,
    token_file: Path | None,
    public: bool,
) -> Access:
    """Decide who may read, and print the token if this is the first time that one is needed."""
    from producer.gallery.access import tokens
    from producer.gallery.access.guard import Access
    from producer.gallery.access.hosts import Hosts, is_loopback

    address = listener.getsockname()[0]
    hosts = Hosts(address, (host, *allowed_hosts))
    if token_file is not None:
        return Access(hosts, tokens.key_of_file(token_file))
    if public or (is_loopback(address) and not with_token):
        return Access(hosts)
    key = tokens.stored_key(app.settings)
    if key is None:
        if logs.is_json() or not sys.stderr.isatty():
            reason = "There is no token yet, and stderr is no terminal: logs must not have it. "
            remedy = "`analyze serve --new-token` makes and prints one; --token-file names a file with one."
            raise UsageError(reason=reason + remedy)
        token = tokens.new_token(app.settings)
        app.err.print(f"The token, which is shown only this time: {token}")
        key = tokens.key_of(token)
    return Access(hosts, key)
