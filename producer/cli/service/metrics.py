"""``analyze metrics``: what the service is doing, for Prometheus."""

from __future__ import annotations

import threading

import click

from producer.cli.context import App, pass_app


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), help="Serve them by HTTP, until Ctrl+C; 0: any free port.")
@click.option("--address", default="127.0.0.1", show_default=True, help="Of this machine; 0.0.0.0 for all.")
@pass_app
def metrics(app: App, port: int | None, address: str) -> None:
    """Print metrics in Prometheus' text format, or serve them for it to fetch.

    They come from the database and Redis: one exporter serves any number of workers. It asks for no password and
    tells the number of jobs, workers' names and speeds: keep it to addresses that only Prometheus reaches.
    """
    from prometheus_client import CollectorRegistry, generate_latest, start_http_server

    from producer.operations.metrics import Metrics

    registry = CollectorRegistry()
    registry.register(Metrics(app.database, app.broker))
    if port is None:
        click.echo(generate_latest(registry).decode(), nl=False)
        return
    server, thread = start_http_server(port, address, registry)
    app.talk.print(f"Metrics are at http://{address}:{server.server_port}/metrics; Ctrl+C stops it.")
    try:
        threading.Event().wait()
    finally:
        server.shutdown()
        thread.join()
