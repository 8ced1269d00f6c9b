"""``analyze verify --all``: verify all done jobs."""

from __future__ import annotations

import sys
from typing import Any

from producer.cli.context import App
from producer.cli.printing import print_json
from producer.operations.verify_all import Files, VerifiedJob, done_jobs, verify_jobs
from shared.errors import VerificationsFailed


def verify_all(app: App, sample: int, seed: int, *, as_json: bool) -> None:
    """Print a line for each job that differs or can't be checked, and exit with 1 if there is one.

    Raises
    ------
    VerificationsFailed, DatabaseUnreachable
    """
    from rich.progress import track

    job_ids = done_jobs(app.database)
    outcomes = verify_jobs(app.database, app.settings, Files(app.store), job_ids, sample, seed)
    shown = not as_json and app.err.is_terminal
    bar = track(outcomes, "jobs", total=len(job_ids), console=app.err, disable=not shown, transient=True)
    jobs, failed = [], 0
    for outcome in bar:
        jobs.append(_described(outcome))
        failed += bool(outcome.wrong or outcome.error)
        if not as_json and (outcome.wrong or outcome.error):
            app.out.print(outcome.text, soft_wrap=True)
    if as_json:
        print_json({"jobs": jobs, "failed": failed})
        sys.exit(1 if failed else 0)
    if failed:
        raise VerificationsFailed(failed=failed, count=len(job_ids))
    app.out.print(f"All {len(job_ids)} done jobs are unchanged.")


def _described(outcome: VerifiedJob) -> dict[str, Any]:
    rows = outcome.rows
    return {
        "job": outcome.job_id,
        "files": outcome.files,
        "rows": rows.rows if rows else 0,
        "largest_difference": rows.largest_difference if rows else None,
        "wrong": outcome.wrong,
        "error": outcome.error,
    }
