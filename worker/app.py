"""The Celery application. Only the pool's single child process imports torch and computes; the parent does not.

Celery delivers messages at least once, and the ledger decides whether a shard is run: see ``shared.jobs.ledger``.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from contextlib import suppress
from typing import Any, NoReturn

from celery import Celery, bootsteps
from celery.exceptions import WorkerLostError
from celery.signals import setup_logging, task_failure, worker_init, worker_process_init, worker_ready
from kombu.entity import Queue
from kombu.transport import TRANSPORT_ALIASES

from shared import logs
from shared.jobs import reports
from shared.jobs.broker import TASK, broker_for
from shared.kinds.specification import QUEUES
from shared.settings import load_settings

BEAT_SECONDS = 1.0
PAUSE_SECONDS = 10.0
IDLE_SECONDS = 1.0  # without a shard, after which the child imports what shards need later

logger = logging.getLogger(__name__)

settings = load_settings()
logs.configure_logging(settings.log_format)

# Use worker.transport for both URL schemes.
TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "worker.transport:Transport"))

app: Celery = broker_for(settings).celery
app.set_current()
app.conf.update(
    task_queues=[Queue(name, routing_key=name) for name in QUEUES],
    task_default_queue=QUEUES[0],
    # Acknowledge late and prefetch nothing, so that a busy worker does not hold back messages of other shards.
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_concurrency=1,
    # True, the default of Celery 6, would lose the running task when Redis restarts.
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        **app.conf.broker_transport_options,
        "visibility_timeout": 3600,  # may be shorter than a training run: the ledger ignores a second delivery
    },
    worker_send_task_events=False,
    worker_enable_remote_control=False,  # not used, and anyone with access to Redis could send commands
    task_send_sent_event=False,
)


@setup_logging.connect
def _disable_celery_logging(**event: Any) -> None:
    """Keep the logging set up above: Celery configures its own only if this signal has no receiver."""


@worker_init.connect
def _restrict_permissions(**event: Any) -> None:
    """Make new files accessible to the worker's user only, also if the worker was not started by `analyze`."""
    os.umask(0o077)


@worker_ready.connect
def _obey_supervisor(**event: Any) -> None:
    """Exit when the supervisor exits, even if it was killed, so that no worker is left running.

    SIGTERM ends this process when the shard in hand is finished. Other signals are for the supervisor; Celery
    would restart on SIGHUP.
    """
    supervisor = int(os.environ.get("ANALYZE_SUPERVISOR_PID") or 0)

    def watch() -> None:
        while os.getppid() == supervisor:
            time.sleep(1)
        if os.getpgrp() == os.getpid():
            os.killpg(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGQUIT)

    if supervisor:
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        threading.Thread(target=watch, name="supervisor watch", daemon=True).start()


@worker_process_init.connect
def _ignore_signals(**event: Any) -> None:
    """Leave signals to the parent. Service managers and batch systems send SIGTERM to all processes at once, and
    the child would lose the shard that it has time to finish."""
    if os.environ.get("ANALYZE_SUPERVISOR_PID"):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


@worker_process_init.connect
def _load_code(**event: Any) -> None:
    """Import what shards need before the first one. In a thread: Celery ends a child that is slow to start."""
    _loading.append(threading.Thread(target=_import_code, name="imports", daemon=True))
    _loading[0].start()


_loading: list[threading.Thread] = []
_shard_has_come = threading.Event()


def _import_code() -> None:
    """Import the code that runs shards and, if none comes for a while, what most of them would import later.

    PyTorch's compiler is imported by the first linear layer on the meta device and by the first optimizer, and
    takes as long as torch itself: the first projection, sweep or training step would wait for it.
    """
    with suppress(Exception):  # the first shard raises it again
        import worker.runner  # noqa: F401

        if not _shard_has_come.wait(IDLE_SECONDS):
            import torch._dynamo  # noqa: F401


class Beats(bootsteps.StartStopStep):  # type: ignore[misc]
    """Reports once a second that Celery's event loop runs, while it is connected to Redis."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, consumer: Any) -> None:
        self.entry = consumer.timer.call_repeatedly(BEAT_SECONDS, reports.send, (reports.Kind.BEAT,))

    def stop(self, consumer: Any) -> None:
        self.entry.cancel()


app.steps["consumer"].add(Beats)


@task_failure.connect
def _report_lost_child(exception: BaseException, **event: Any) -> None:
    """Report, from the parent, that the child died while it ran a shard, before the pool starts another child."""
    if isinstance(exception, WorkerLostError):
        reports.send(reports.Kind.LOST, str(exception))


@app.task(name=TASK, ignore_result=True)
def run_shard(shard_id: object) -> None:
    """Claim and run a shard. Only the shard id of the message is used."""
    _shard_has_come.set()
    for thread in _loading:
        thread.join()
    try:
        from worker.devices import DeviceUnusable
        from worker.runner import run  # imports torch, in the child process only
    except (ImportError, OSError) as error:  # OSError: a shared library of torch
        _exit(f"The worker's code can't be loaded ({type(error).__name__}: {error})")
    try:
        run(shard_id, settings, queues=tuple(app.amqp.queues.consume_from))
    except DeviceUnusable as error:
        _exit(str(error))
    reports.send(reports.Kind.RAN)


def _exit(reason: str) -> NoReturn:
    """End this process, so that the pool starts another one. The shard of the message was not claimed, or its
    outcome is recorded."""
    logger.error("%s: the worker process is restarted", reason)
    reports.send(reports.Kind.UNUSABLE, reason)
    # Without the pause, a device that has failed for good would consume message after message.
    time.sleep(PAUSE_SECONDS)
    os._exit(1)
