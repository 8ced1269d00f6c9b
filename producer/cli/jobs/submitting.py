"""Submission of a job of any kind."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import click

from producer.cli.context import App
from shared.jobs.priority import PRIORITIES, Priority, parse_priority

if TYPE_CHECKING:
    from shared.kinds.specification import Specification


@dataclass(frozen=True)
class Submission:
    """The options that every kind of job has: see ``job_options``."""

    wait: bool
    force: bool
    ignore_space: bool
    priority: str
    dry_run: bool
    as_json: bool


@dataclass(frozen=True)
class JobRequest:
    """A validated request for a job; ``also`` inserts further rows of a new job: see ``Ledger.submit``."""

    specification: Specification
    also: Callable[[Any, int], None] | None = None


REQUESTS = f"{__name__}.requests"  # key in the meta data of click's contexts


@contextmanager
def collected_requests(context: click.Context) -> Iterator[list[JobRequest]]:
    """Collect the requests that commands of ``analyze submit`` make, instead of submitting them."""
    requests: list[JobRequest] = []
    context.meta[REQUESTS] = requests
    try:
        yield requests
    finally:
        del context.meta[REQUESTS]


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that every kind of job has, which the command gets as ``submission`` for ``submit_job``."""

    @functools.wraps(command)
    def with_submission(*arguments: Any, **options: Any) -> Any:
        submission = Submission(**{field.name: options.pop(field.name) for field in fields(Submission)})
        if submission.as_json and not submission.dry_run:
            raise click.UsageError("--json needs --dry-run: without it, the job's id is printed.")
        if submission.dry_run and (app := click.get_current_context().find_object(App)):
            app.database.discards_changes = True
        return command(*arguments, submission=submission, **options)

    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the estimated cost as JSON (with --dry-run)."),
        click.option(
            "--dry-run",
            is_flag=True,
            help="Print the estimated cost (images, shards, files, bytes, time) and the free space, and submit "
            "nothing.",
        ),
        click.option(
            "--ignore-space",
            is_flag=True,
            help="Submit the job even if the artifact store has too little free space for its files.",
        ),
        click.option(
            "--priority",
            type=click.Choice(PRIORITIES),
            default=Priority.NORMAL.label,
            show_default=True,
            help="Workers run shards of jobs of higher priority first; `analyze priority` changes it.",
        ),
        click.option("--force", is_flag=True, help="Submit a new job even if the same was submitted before."),
        click.option(
            "--wait", is_flag=True, help="Show progress until the job ends. Ctrl+C detaches; the job continues."
        ),
    ):
        with_submission = option(with_submission)
    return with_submission


def submit_job(
    app: App,
    specification: Specification,
    submission: Submission,
    *,
    also: Callable[[Any, int], None] | None = None,
    remark: str = "",
) -> None:
    """Record the job, send its shards to the queues, and print its id on stdout; in a dry run, print its cost.

    ``remark`` is printed on stderr, unless the job belongs to a study.

    Raises
    ------
    StoreTooSmall
    """
    request = JobRequest(specification, also)
    if (requests := click.get_current_context().meta.get(REQUESTS)) is not None:
        requests.append(request)
        return
    if remark:
        app.err.print(remark, markup=False, soft_wrap=True)
    if submission.dry_run:
        _print_cost(app, specification, submission, app.ledger.find(specification))
        return
    priority = parse_priority(submission.priority)
    job_id, new = record_job(
        app, request, force=submission.force, ignore_space=submission.ignore_space, priority=priority
    )
    if new:
        warn_without_workers(app, [specification])
    else:
        _report_existing(app, job_id, priority)
    click.echo(job_id)
    if submission.wait:
        from producer.cli.jobs.watching import wait_for

        wait_for(app, job_id)


def record_job(
    app: App,
    request: JobRequest,
    *,
    force: bool = False,
    ignore_space: bool = False,
    priority: Priority = Priority.NORMAL,
) -> tuple[int, bool]:
    """Record the job and send its shards to the queues; return its id, and whether it is new.

    Raises
    ------
    StoreTooSmall, BrokerUnreachable
    """
    from producer.cost.storage import require_space
    from shared.jobs.broker import dispatch

    specification = request.specification
    if not app.settings.uses_private_redis:
        app.broker.ping()  # fail before anything is written; a private server may start later, with `analyze up`
    if not ignore_space and (force or app.ledger.find(specification) is None):
        require_space(app.database, app.settings, specification)
    job_id, new = app.ledger.submit(specification, force=force, priority=priority, also=request.also)
    if new and app.broker.answers():
        dispatch(app.ledger, app.broker)
    return job_id, new


def _print_cost(app: App, specification: Specification, submission: Submission, existing: int | None) -> None:
    from producer.cli.jobs.costs import cost_as_json, cost_lines
    from producer.cli.printing import print_json
    from producer.cost.cost import estimate_cost

    cost = estimate_cost(app.database, app.settings, specification)
    if submission.as_json:
        print_json({**cost_as_json(cost, app.settings.resolved_store), "existing_job": existing})
        return
    for name, text in cost_lines(cost, app.settings.resolved_store):
        app.out.print(f"{name:30} {text}", soft_wrap=True)
    if existing is not None and not submission.force:
        app.err.print(f"The same job was submitted before: job {existing}. Without --force nothing is computed.")


def warn_without_workers(app: App, specifications: Iterable[Specification]) -> None:
    """Say on stderr which queues of these new jobs no worker serves."""
    needed = {shard.queue for specification in specifications for shard in specification.plan()}
    served = {queue for worker in app.ledger.live_workers() for queue in worker.queues}
    if not needed <= served:
        queues = ", ".join(sorted(needed - served))
        app.err.print(
            f"No worker is running for the queues {queues}. The job waits until `analyze up` or `analyze worker` "
            "starts one."
        )


def _report_existing(app: App, job_id: int, priority: Priority) -> None:
    from producer.results.progress import job_progress
    from shared.jobs.tables import ACTIVE_JOBS, JobState

    job = job_progress(app.database, job_id).job
    state = job.state
    hint = f"; `analyze retry {job_id}` tries again" if state in (JobState.FAILED, JobState.CANCELLED) else ""
    app.err.print(f"The same job was submitted before: job {job_id} is {state}{hint}. --force submits a new job.")
    if state in ACTIVE_JOBS and job.priority != priority != Priority.NORMAL:
        app.err.print(f"Its priority is unchanged; `analyze priority {job_id} {priority.label}` changes it.")
