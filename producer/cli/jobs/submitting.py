"""Submission of a job of any kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from producer.cli.context import App

if TYPE_CHECKING:
    from shared.kinds.specification import Specification


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every kind of job has."""
    for option in (
        click.option(
            "--wait", is_flag=True, help="Show progress until the job ends. Ctrl+C detaches; the job continues."
        ),
        click.option("--force", is_flag=True, help="Submit a new job even if the same was submitted before."),
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
    """Record the job, send its shards to the queues, and print its id on stdout."""
    from shared.jobs.broker import dispatch

    if not app.settings.uses_private_redis:
        app.broker.ping()  # fail before anything is written; a private server may start later, with `analyze up`
    job_id, new = app.ledger.submit(specification, force=force, also=also)
    if new:
        if app.broker.answers():
            dispatch(app.ledger, app.broker)
        _warn_without_workers(app, specification)
    else:
        _report_existing(app, job_id)
    click.echo(job_id)
    if wait:
        from producer.cli.jobs.watching import wait_for

        wait_for(app, job_id)


def _warn_without_workers(app: App, specification: Specification) -> None:
    needed = {shard.queue for shard in specification.plan()}
    served = {queue for worker in app.ledger.live_workers() for queue in worker.queues}
    if not needed <= served:
        queues = ", ".join(sorted(needed - served))
        app.err.print(
            f"No worker is running for the queues {queues}. The job waits until `analyze up` or `analyze worker` "
            "starts one."
        )


def _report_existing(app: App, job_id: int) -> None:
    from producer.results.progress import job_progress
    from shared.jobs.tables import JobState

    state = job_progress(app.database, job_id).job.state
    hint = f"; `analyze retry {job_id}` tries again" if state in (JobState.FAILED, JobState.CANCELLED) else ""
    app.err.print(f"The same job was submitted before: job {job_id} is {state}{hint}. --force submits a new job.")
