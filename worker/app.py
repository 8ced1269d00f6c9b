"""The Celery application. Only the pool's single child process imports torch and computes; the parent does not.

Celery delivers messages at least once, and the ledger decides whether a shard is run: see ``shared.jobs.ledger``.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import Any

from celery import Celery
from celery.signals import setup_logging, worker_init, worker_ready
from kombu.entity import Queue
from kombu.transport import TRANSPORT_ALIASES

from shared import logs
from shared.jobs.broker import TASK, broker_for
from shared.kinds.specification import QUEUES
from shared.settings import load_settings

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
def _exit_with_supervisor(**event: Any) -> None:
    """Exit when the supervisor exits, even if it was killed, so that no worker is left running."""
    supervisor = os.environ.get("ANALYZE_SUPERVISOR_PID")

    def watch() -> None:
        while os.getppid() == int(supervisor or 0):
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGQUIT)

    if supervisor:
        threading.Thread(target=watch, name="supervisor watch", daemon=True).start()


@app.task(name=TASK, ignore_result=True)
def run_shard(shard_id: object) -> None:
    """Claim and run a shard. Only the shard id of the message is used."""
    from worker.devices import DeviceUnusable
    from worker.runner import run  # imports torch, in the child process only

    try:
        run(shard_id, settings)
    except DeviceUnusable as error:
        logger.error("%s: the worker process is restarted", error)
        # The pool waits ten seconds for the process and takes no other message during that time, so that a device
        # that has failed for good does not consume message after message.
        os._exit(1)
