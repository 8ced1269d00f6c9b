"""The Celery application. The parent process imports no torch: only its one child computes.

Delivery is at least once, and the ledger is what decides: see ``shared.jobs.ledger``.
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
logs.set_up(settings.log_format)

# Whatever scheme the URL has: see worker.transport.
TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), "worker.transport:Transport"))

app: Celery = broker_for(settings).celery
app.set_current()
app.conf.update(
    task_queues=[Queue(name, routing_key=name) for name in QUEUES],
    task_default_queue=QUEUES[0],
    # Acknowledged at the end, one at a time: a worker that computes holds no other shard's message back.
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    worker_concurrency=1,
    # True, Celery 6's default, loses the task in flight when Redis restarts.
    worker_cancel_long_running_tasks_on_connection_loss=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        **app.conf.broker_transport_options,
        "visibility_timeout": 3600,  # a second delivery is ignored, so this may be short of a training run
    },
    worker_send_task_events=False,
    worker_enable_remote_control=False,  # nobody here sends commands, so nobody else is to
    task_send_sent_event=False,
)


@setup_logging.connect
def _keep_our_logging(**event: Any) -> None:
    """Where somebody listens to this signal Celery sets up nothing of its own."""


@worker_init.connect
def _keep_to_ourselves(**event: Any) -> None:
    """What a worker makes is for its user alone, also if it was started by hand."""
    os.umask(0o077)


@worker_ready.connect
def _follow_the_supervisor(**event: Any) -> None:
    """End with the supervisor, even one that was killed: no process is left behind."""
    supervisor = os.environ.get("ANALYZE_SUPERVISOR_PID")

    def watch() -> None:
        while os.getppid() == int(supervisor or 0):
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGQUIT)

    if supervisor:
        threading.Thread(target=watch, name="supervisor watch", daemon=True).start()


@app.task(name=TASK, ignore_result=True)
def run_shard(shard_id: object) -> None:
    """Claim the shard and do it; whatever the message says beyond the id isn't looked at."""
    from worker.devices import DeviceUnusable
    from worker.runner import run  # torch comes with it: only into the child

    try:
        run(shard_id, settings)
    except DeviceUnusable as error:
        logger.error("%s: another process is started", error)
        # The pool gives the process ten seconds to answer, and takes no other message meanwhile: a device that is
        # gone for good doesn't eat one after the other.
        os._exit(1)
