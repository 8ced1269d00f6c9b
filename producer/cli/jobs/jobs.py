"""The commands ls, status, watch, logs, cancel, priority, and retry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.context import App, pass_app
from producer.cli.options import JobId
from producer.cli.printing import json_option, json_text, print_json, utc
from shared.jobs.priority import PRIORITIES, Priority, parse_priority, priority_label
from shared.kinds import kind_names
from shared.text import size_text

if TYPE_CHECKING:
    from producer.results.progress import JobProgress
    from shared.jobs.tables import Job

job_argument = click.argument("job_id", metavar="JOB", type=JobId())
STATE_STYLES = {"done": "green", "failed": "red", "running": "cyan", "cancelled": "yellow"}


@click.command()
@click.option("--kind", type=click.Choice(kind_names()), help="Only jobs of this kind.")
@click.option(
    "--state",
    type=click.Choice(["queued", "running", "done", "failed", "cancelled"]),
    help="Only jobs in this state.",
)
@click.option(
    "--limit", default=30, show_default=True, type=click.IntRange(1, 100_000), help="Maximum number of jobs."
)
@json_option
@pass_app
def ls(app: App, kind: str | None, state: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    from rich.table import Table
    from rich.text import Text

    from producer.results.progress import list_jobs

    rows = list_jobs(app.database, kind, state, limit)
    if as_json:
        print_json(rows)
        return
    left_out = any(row["images_left_out"] for row in rows)
    priorities = any(row["priority"] != Priority.NORMAL.label for row in rows)
    columns = ["job", "kind", "what", "data set", "state", *["priority"] * priorities, "shards"]
    columns += [*["left out"] * left_out, "size", "submitted"]
    table = Table(*columns, box=None)
    for row in rows:
        style = STATE_STYLES.get(row["state"], "")
        done = row["shards_total"] - row["shards_left"]
        table.add_row(
            str(row["id"]),
            row["kind"],
            row["what"],
            row["dataset"],
            Text(row["state"], style),
            *[row["priority"]] * priorities,
            f"{done}/{row['shards_total']}",
            *[str(row["images_left_out"] or "")] * left_out,
            size_text(row["bytes"]),
            utc(row["created_at"]),
        )
    app.out.print(table if rows else "No jobs.")
    for row in rows:
        if hosts := row["hosts_without_images"]:
            app.err.print(f"Job {row['id']}: {_cannot_read(hosts)}")


def _cannot_read(hosts: list[str]) -> str:
    machines = "1 machine" if len(hosts) == 1 else f"{len(hosts)} machines"
    return f"{machines} can't read the images: {', '.join(hosts)}. `analyze doctor` and the log have the reasons."


@click.command()
@job_argument
@json_option
@pass_app
def status(app: App, job_id: int, as_json: bool) -> None:
    """Show the progress of a job, and its result or error."""
    from producer.results.progress import job_progress

    progress = job_progress(app.database, job_id)
    if as_json:
        print_json(progress.as_json())
    else:
        _print_status(app, progress)


def _print_status(app: App, progress: JobProgress) -> None:
    from rich.table import Table
    from rich.text import Text

    from producer.cli.jobs.watching import speed
    from producer.results.waiting import waiting_text
    from shared.kinds.registry import describe

    job = progress.job
    style = STATE_STYLES.get(job.state, "")
    stopping = " (cancel requested)" if job.cancel_requested and job.state == "running" else ""
    app.out.print(f"job {job.id}: {describe(job.kind, job.specification)} on {progress.dataset}")
    priority = "" if job.priority == Priority.NORMAL else f", priority {priority_label(job.priority)}"
    app.out.print(Text(job.state, style) + f"{stopping}, {progress.share:.0%}{priority}")
    table = Table("stage", "work", "shards", "speed", box=None)
    for stage in progress.stages:
        shards = ", ".join(f"{count} {state}" for state, count in stage.shards.items())
        table.add_row(stage.name, f"{stage.done}/{stage.total}", shards, speed(stage, job.kind))
    app.out.print(table)
    if progress.waiting:
        app.out.print(waiting_text(progress.waiting), soft_wrap=True)
    app.out.print(f"files written: {size_text(job.stored_bytes)}")
    _print_summary(app, job)
    _print_warnings(app, progress)
    if job.error:
        first = progress.first_error
        if first and first.message not in job.error:
            shard = "" if first.shard is None else f", shard {first.shard}"
            label = Text(f"first error ({utc(first.at)}{shard}): ", "red")
            app.out.print(label + first.message)
        app.out.print(Text("error: ", "red") + job.error)
        app.out.print(
            f"`analyze logs {job.id}` prints all events. Once the cause is fixed, `analyze retry {job.id}` runs "
            "the unfinished shards again."
        )


def _print_summary(app: App, job: Job) -> None:
    from shared.errors import SummaryNotReadable
    from shared.kinds.registry import read_summary

    try:
        summary = read_summary(job.kind, job.summary)
    except SummaryNotReadable as error:
        app.err.print(str(error))
        return
    for name, value in summary.items():
        app.out.print(f"{name.replace('_', ' ')}: {_plain(value)}")


def _print_warnings(app: App, progress: JobProgress) -> None:
    from rich.text import Text

    if progress.left_out:
        images_were, them = ("images were", "them") if progress.left_out > 1 else ("image was", "it")
        app.out.print(
            f"{progress.left_out} {images_were} left out, because the content can't be decoded: `analyze logs "
            f"{progress.job.id}` lists {them}. Once the files are as they were, `analyze retry {progress.job.id}` "
            f"computes {them}."
        )
    warnings = [*progress.suspected]
    if progress.hosts_without_images:
        warnings.append(_cannot_read(progress.hosts_without_images))
    for warning in warnings:
        app.out.print(Text("warning: ", "yellow") + warning)


def _plain(value: object) -> str:
    if isinstance(value, list):
        return "".join(f"\n  {_plain(item)}" for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_plain(inner)}" for name, inner in value.items())
    return f"{value:.4f}" if isinstance(value, float) else str(value)


@click.command()
@job_argument
@pass_app
def watch(app: App, job_id: int) -> None:
    """Show the live progress of a job until it ends: work done, speed, time left.

    Ctrl+C detaches; the job continues.
    """
    from producer.cli.jobs.watching import wait_for

    _print_status(app, wait_for(app, job_id))


@click.command()
@job_argument
@click.option("--follow", "-f", is_flag=True, help="Keep printing new events until the job ends.")
@json_option
@pass_app
def logs(app: App, job_id: int, follow: bool, as_json: bool) -> None:
    """Print the events of a job."""
    import json
    import time

    from producer.results.progress import job_events, job_progress
    from shared.jobs.tables import ACTIVE_JOBS

    last = 0
    while True:
        active = job_progress(app.database, job_id).job.state in ACTIVE_JOBS
        while events := job_events(app.database, job_id, after=last):
            last = events[-1]["id"]
            for event in events:
                if as_json:
                    click.echo(json.dumps(event, default=json_text))
                else:
                    shard = f" shard {event['shard']}" if event["shard"] is not None else ""
                    # Continuation lines are indented, so that every line that begins with a time is an event.
                    message = event["message"].replace("\n", "\n    ")
                    click.echo(f"{utc(event['at'])} {event['level']:7}{shard} {message}")
        if not (follow and active):
            return
        time.sleep(0.5)


@click.command()
@job_argument
@pass_app
def cancel(app: App, job_id: int) -> None:
    """Cancel a job. Its workers stop within a few seconds; finished shards stay done."""
    state = app.ledger.cancel(job_id)
    outcome = "is cancelled" if state == "cancelled" else "will stop when its workers see the request"
    app.err.print(f"Job {job_id} {outcome}.")


@click.command()
@job_argument
@click.argument("level", metavar="PRIORITY", type=click.Choice(PRIORITIES))
@pass_app
def priority(app: App, job_id: int, level: str) -> None:
    """Change the priority of a job: high, normal, or low.

    Workers run shards of jobs of higher priority first. A shard that runs is not interrupted; a training run lets
    jobs of higher priority run after its epoch.
    """
    app.ledger.set_priority(job_id, parse_priority(level))
    app.err.print(f"Job {job_id} has priority {level}.")


@click.command()
@job_argument
@click.option("--wait", is_flag=True, help="Show progress until the job ends.")
@pass_app
def retry(app: App, job_id: int, wait: bool) -> None:
    """Run the unfinished shards of a failed or cancelled job again.

    Shards that left out images, because their content could not be decoded, run again too, also those of a job
    that is done. The job's later stages then run again and replace its results. A training run that is done can't
    be continued this way.
    """
    from shared.jobs.broker import retry_and_send

    retry_and_send(app.ledger, app.broker, job_id, private=app.settings.uses_private_redis)
    app.err.print(f"Job {job_id} is queued again.")
    if wait:
        from producer.cli.jobs.watching import wait_for

        wait_for(app, job_id)
