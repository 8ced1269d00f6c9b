"""What submitting a job of any kind has in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from producer.cli.context import App

if TYPE_CHECKING:
    from shared.kinds.specification import Specification


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every kind of job has."""
    for option in (
        click.option("--wait", is_flag=True, help="Wait for the end, showing progress. Ctrl+C detaches."),
        click.option("--force", is_flag=True, help="Compute again what was computed already."),
    ):
        command = option(command)
    return command


def submit_job(
    app: App,
    specification: Specification,
    *,
    wait: bool,
    force: bool,
    also: Callable[[Any, int], None] | None = None,
) -> None:
    """Record the job and send its shards; the id, and nothing else, goes to stdout."""
    from shared.jobs.broker import dispatch

    if not app.settings.uses_private_redis:
        app.broker.ping()  # before anything is written; the private one starts with `analyze up`
    job_id, new = app.ledger.submit(specification, force=force, also=also)
    if new:
        if app.broker.answers():
            dispatch(app.ledger, app.broker)
        _say_if_nobody_works(app, specification)
    else:
        _say_what_exists(app, job_id)
    click.echo(job_id)
    if wait:
        from producer.cli.jobs.watching import wait_for

        wait_for(app, job_id)


def _say_if_nobody_works(app: App, specification: Specification) -> None:
    needed = {shard.queue for shard in specification.plan()}
    served = {queue for worker in app.ledger.live_workers() for queue in worker.queues}
    if not needed <= served:
        queues = ", ".join(sorted(needed - served))
        app.talk.print(
            f"No worker is running for: {queues}. The job waits; `analyze up` or `analyze worker` starts one."
        )


def _say_what_exists(app: App, job_id: int) -> None:
    from producer.results.progress import job_progress
    from shared.jobs.tables import JobState

    state = job_progress(app.database, job_id).job.state
    hint = f"; `analyze retry {job_id}` tries again" if state in (JobState.FAILED, JobState.CANCELLED) else ""
    app.talk.print(f"The same was submitted before: job {job_id} is {state}{hint}. --force computes it anew.")
