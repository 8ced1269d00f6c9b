"""Live progress of a job on the terminal."""

from __future__ import annotations

import time

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from producer.cli.context import App
from producer.results.progress import JobProgress, StageProgress, job_progress
from shared.errors import JobCancelled, JobFailed
from shared.jobs.tables import ACTIVE_JOBS, JobState
from shared.kinds.registry import work_unit
from shared.text import duration

POLL_SECONDS = 0.5


def wait_for(app: App, job_id: int) -> JobProgress:
    """Show a job's progress on stderr until it ends.

    Raises
    ------
    NoSuchJob, JobFailed, JobCancelled
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
    )
    with Progress(*columns, console=app.err) as bars:
        tasks: dict[str, TaskID] = {}
        while True:
            progress = job_progress(app.database, job_id)
            for stage in progress.stages:
                if stage.name not in tasks:
                    tasks[stage.name] = bars.add_task(stage.name, total=stage.total, speed="")
                bars.update(tasks[stage.name], completed=stage.done, speed=speed(stage, progress.job.kind))
            if progress.job.state not in ACTIVE_JOBS:
                break
            time.sleep(POLL_SECONDS)
    _raise_unless_done(progress)
    return progress


def speed(stage: StageProgress, kind: str) -> str:
    """Format a stage's speed and remaining time, as far as they are known: ``103.2 images/s, 1:05 left``."""
    if stage.per_second is None:
        return ""
    counted = work_unit(kind, stage.name)
    text = f"{stage.per_second:.1f} {counted}/s" if counted else ""
    if stage.seconds_left is not None:
        text += f", {duration(stage.seconds_left)} left"
    return text.removeprefix(", ")


def _raise_unless_done(progress: JobProgress) -> None:
    job = progress.job
    if job.state == JobState.FAILED:
        reason = (job.error or "no reason was recorded").strip().splitlines()[-1]
        raise JobFailed(job_id=job.id, reason=reason)
    if job.state == JobState.CANCELLED:
        raise JobCancelled(job_id=job.id)
