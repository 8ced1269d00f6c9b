"""``analyze serve``: the gallery in a browser."""

from __future__ import annotations

import click

from producer.cli.context import App, pass_app


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 is any free port.")
@pass_app
def serve(app: App, host: str, port: int) -> None:
    """Show jobs, units, images and training runs in a browser, until Ctrl+C.

    The pages only read. They need no workers and no Redis.
    """
    from producer.gallery.page import Gallery
    from producer.gallery.server import run_server

    gallery = Gallery(app.settings, app.database, app.store)

    def started(address: str) -> None:
        app.err.print(f"The gallery is at {address}. Ctrl+C ends it.")

    run_server(gallery, host, port, started)
