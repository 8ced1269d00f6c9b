"""``analyze metrics``: metrics of the service for Prometheus."""

from __future__ import annotations

import errno
import threading

import click

from producer.cli.context import App, pass_app
from shared import logs
from shared.errors import UsageError


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Serve the metrics by HTTP on this port until Ctrl+C; 0 chooses a free port.",
)
@click.option(
    "--address",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; 0.0.0.0 for all addresses of this machine.",
)
@pass_app
def metrics(app: App, port: int | None, address: str) -> None:
    """Print metrics in Prometheus' text format, or serve them by HTTP.

    The metrics are read from the database and Redis, so one exporter is enough for any number of workers. The HTTP
    server runs while these are away, too, and says so. It requires no password and shows the number of jobs and
    the workers' names and speeds: listen on an address that only Prometheus can reach.
    """
    from prometheus_client import CollectorRegistry, generate_latest, start_http_server

    from producer.operations.metrics.collector import Metrics

    settings = app.settings
    registry = CollectorRegistry()
    url, store = settings.resolved_database_url, settings.resolved_store
    registry.register(Metrics(url, app.broker, store, log_problems=port is not None))
    if port is None:
        app.database.close()  # the command fails if the database can't be opened
        click.echo(generate_latest(registry).decode(), nl=False)
        return
    logs.configure_logging(settings.log_format)
    try:
        server, thread = start_http_server(port, address, registry)
    except OSError as error:
        raise UsageError(reason=_refused(error, address, port)) from None
    app.err.print(f"Serving metrics at http://{address}:{server.server_port}/metrics; Ctrl+C stops the server.")
    try:
        threading.Event().wait()
    finally:
        server.shutdown()
        thread.join()


def _refused(error: OSError, address: str, port: int) -> str:
    """Describe why the server can't listen, with the option to change."""
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} of {address} is in use by another program. Choose another one with --port; 0 is any."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"This user can't listen on port {port}. Choose one from 1024 on with --port; 0 is any."
    reason = error.strerror or error
    return f"Can't listen on {address}, port {port}: {reason}. --address and --port choose others."
