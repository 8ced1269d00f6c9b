"""``analyze worker`` and ``analyze up``: run workers, the sweeper, and the private Redis."""

from __future__ import annotations

import logging
import re
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import click

from producer.cli.context import App, pass_app
from producer.cli.signals import ending_signals
from shared import logs

if TYPE_CHECKING:
    from producer.service.lifetime import Lifetime
    from producer.service.supervisor import Supervisor

SAME_SIGNAL_SECONDS = 0.5  # some service managers and wrappers send a signal twice, or SIGHUP after SIGTERM
UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}

logger = logging.getLogger(__name__)


class Duration(click.ParamType[float]):
    """Parameter type for durations such as ``90``, ``90s``, ``30m`` and ``2h``; the result is in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        if not (match := re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?) ?([smhd]?)", str(value).strip())):
            self.fail(f"'{value}' is not a duration such as 90, 90s, 30m or 2h", param, ctx)
        return float(match[1]) * UNITS[match[2]]


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
LIFETIME_OPTIONS = (
    click.option(
        "--burst", is_flag=True, help="Exit when nothing is queued for these queues and the workers are idle."
    ),
    click.option("--max-idle", type=Duration(), help="Exit when that is so for this time, such as 90s or 30m."),
    click.option(
        "--max-time",
        type=Duration(),
        help="Exit within this time, such as 2h. At its end no further shard is begun, and a shard that is not "
        "finished is handed back.",
    ),
    click.option(
        "--grace",
        type=Duration(),
        default="20s",
        show_default=True,
        help="Time to finish the shard in hand after the first SIGTERM, SIGINT (Ctrl+C) or SIGHUP; then, or after "
        "a second signal, it is handed back.",
    ),
)


def lifetime_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of ``_lifetime``."""
    for option in reversed(LIFETIME_OPTIONS):
        command = option(command)
    return command


@click.command()
@devices_option
@queues_option
@lifetime_options
@pass_app
def worker(app: App, /, devices: str, queues: str | None, **lifetime: Any) -> None:
    """Run one worker process per device, and the sweeper, until Ctrl+C.

    Workers need a running Redis: the server of ANALYZE_REDIS_URL, or the private one of an `analyze up` with the
    same home folder.
    """
    supervisor, remark = _supervisor(app, devices, queues, _lifetime(**lifetime))
    app.broker.ping()
    _run(supervisor, remark)


@click.command()
@devices_option
@queues_option
@lifetime_options
@click.option(
    "--serve", "with_gallery", is_flag=True, help="Serve the gallery, too, for this machine: see `analyze serve`."
)
@click.option("--allow-changes", is_flag=True, help="With --serve: show buttons that cancel and continue jobs.")
@click.option(
    "--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="Port of the gallery."
)
@pass_app
def up(
    app: App,
    /,
    devices: str,
    queues: str | None,
    with_gallery: bool,
    allow_changes: bool,
    port: int,
    **lifetime: Any,
) -> None:
    """Run the whole service on one machine until Ctrl+C: the private Redis (unless a Redis URL is set),
    workers, and the sweeper.
    """
    from producer.service.gallery_process import gallery_process
    from producer.service.private_redis import private_redis
    from shared.errors import Unreachable
    from shared.kinds.specification import QUEUES

    if allow_changes and not with_gallery:
        raise click.UsageError("--allow-changes is of the gallery: give --serve, too.")
    if with_gallery:
        from producer.gallery.server import listen

        listen("127.0.0.1", port).close()  # the port is free
    supervisor, remark = _supervisor(app, devices, queues, _lifetime(**lifetime))
    with ExitStack() as stack:
        if app.settings.uses_private_redis and stack.enter_context(private_redis(app.settings)):
            with suppress(Unreachable):  # the sweeper, which tries again, does the same after a while
                app.ledger.mark_lost(QUEUES, 0.0)  # this Redis is new, and has none of the messages sent before
        app.broker.ping()
        app.err.print(
            f"unitscope is up, with home folder {app.settings.home}. Submit jobs in another terminal; "
            "Ctrl+C stops the service."
        )
        if with_gallery:
            stack.enter_context(gallery_process(app.settings, port, allow_changes))
        _run(supervisor, remark)


def _lifetime(burst: bool, max_idle: float | None, max_time: float | None, grace: float) -> Lifetime:
    from producer.service.lifetime import KILL_SECONDS, Lifetime

    if max_time is not None and max_time <= KILL_SECONDS:
        raise click.BadParameter(f"it must be longer than {KILL_SECONDS:g} s", param_hint="--max-time")
    if burst and max_idle is not None:
        raise click.UsageError("--burst and --max-idle are mutually exclusive: --burst is --max-idle 0.")
    return Lifetime(0.0 if burst else max_idle, max_time, grace)


def _supervisor(app: App, devices: str, queues: str | None, lifetime: Lifetime) -> tuple[Supervisor, str]:
    """Return the supervisor of the workers, and a remark on their devices to log (or an empty string)."""
    from producer.service.devices import parse_devices
    from producer.service.supervisor import Supervisor
    from shared.store.ownership import open_store

    open_store(app.database, app.settings.resolved_store)  # the workers can use it
    chosen = parse_devices(devices)
    logs.configure_logging(app.settings.log_format)
    supervisor = Supervisor(app.settings, app.ledger, app.broker, chosen.devices, _queues(queues), lifetime)
    return supervisor, chosen.remark


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

    first: float | None = None

    def stop(number: int, frame: Any) -> None:
        nonlocal first
        now = time.monotonic()
        if first is None or now - first > SAME_SIGNAL_SECONDS:
            supervisor.stop()
        first = first or now

    for number in (signal.SIGINT, *ending_signals()):
        signal.signal(number, stop)
    supervisor.run()
