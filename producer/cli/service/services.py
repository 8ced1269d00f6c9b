"""``analyze worker`` and ``analyze up``: run workers, the sweeper, and the private Redis."""

from __future__ import annotations

import logging
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from producer.cli.context import App, pass_app
from producer.cli.signals import ending_signals
from shared import logs

if TYPE_CHECKING:
    from producer.service.supervisor import Supervisor

logger = logging.getLogger(__name__)

devices_option = click.option(
    "--devices",
    default="all",
    show_default=True,
    help="Devices, with one worker process each: cpu, a list such as cuda:0,cuda:1, or all. all is every device "
    "that CUDA_VISIBLE_DEVICES leaves visible, or the CPU without a GPU.",
)
queues_option = click.option(
    "--queues", help="Queues that the workers serve: training,analysis,cpu.  [default: all three]"
)


@click.command()
@devices_option
@queues_option
@pass_app
def worker(app: App, devices: str, queues: str | None) -> None:
    """Run one worker process per device, and the sweeper, until Ctrl+C.

    Workers need a running Redis: the server of ANALYZE_REDIS_URL, or the private one of an `analyze up` with the
    same home folder.
    """
    supervisor, remark = _supervisor(app, devices, queues)
    app.broker.ping()
    _run(supervisor, remark)


@click.command()
@devices_option
@queues_option
@pass_app
def up(app: App, devices: str, queues: str | None) -> None:
    """Run the whole service on one machine until Ctrl+C: the private Redis (unless a Redis URL is set),
    workers, and the sweeper.
    """
    from producer.service.private_redis import private_redis

    supervisor, remark = _supervisor(app, devices, queues)
    with ExitStack() as stack:
        if app.settings.uses_private_redis:
            stack.enter_context(private_redis(app.settings))
        app.broker.ping()
        app.err.print(
            f"unitscope is up, with home folder {app.settings.home}. Submit jobs in another terminal; "
            "Ctrl+C stops the service."
        )
        _run(supervisor, remark)


def _supervisor(app: App, devices: str, queues: str | None) -> tuple[Supervisor, str]:
    """Return the supervisor of the workers, and a remark on their devices to log (or an empty string)."""
    from producer.service.devices import parse_devices
    from producer.service.supervisor import Supervisor
    from shared.store.ownership import open_store

    open_store(app.database, app.settings.resolved_store)  # the workers can use it
    chosen = parse_devices(devices)
    logs.configure_logging(app.settings.log_format)
    return Supervisor(app.settings, app.ledger, app.broker, chosen.devices, _queues(queues)), chosen.remark


def _queues(text: str | None) -> Sequence[str]:
    from shared.kinds.specification import QUEUES

    names = [name.strip() for name in text.split(",")] if text else list(QUEUES)
    for name in names:
        if name not in QUEUES:
            raise click.BadParameter(f"'{name}' is not one of {', '.join(QUEUES)}", param_hint="--queues")
    return names


def _run(supervisor: Supervisor, remark: str) -> None:
    if remark:
        logger.warning("%s", remark)

    def stop(number: int, frame: Any) -> None:
        supervisor.stop()

    for number in (signal.SIGINT, *ending_signals()):
        signal.signal(number, stop)
    supervisor.run()
