"""``analyze prune``: remove old jobs and events."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from producer.cli.context import App, pass_app
from producer.cli.printing import json_option, print_json, table
from shared.text import size_text

if TYPE_CHECKING:
    from producer.operations.pruning import Prunable

FINISHED = ("done", "failed", "cancelled")
UNITS = {"h": "hours", "d": "days", "w": "weeks"}
OLDEST = timedelta(days=100 * 365)
SHOWN = 20


class Age(click.ParamType[timedelta]):
    """Parameter type for ages such as ``90d``: weeks, days or hours."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"([0-9]{1,6})([hdw])", str(value).strip())
        age = timedelta(**{UNITS[found[2]]: int(found[1])}) if found else OLDEST
        if not timedelta(hours=1) <= age < OLDEST:
            self.fail(f"'{value}' is not of the form 90d, 12w or 36h", param, ctx)
        return age


@click.command()
@click.option(
    "--older-than", "age", required=True, type=Age(), metavar="AGE", help="Minimum age, such as 90d, 12w or 36h."
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(FINISHED),
    help="Only jobs in this state; may be repeated.  [default: all finished jobs]",
)
@click.option(
    "--keep", "newest", default=0, metavar="N", type=click.IntRange(0, 2**31 - 1), help="Keep the N newest jobs."
)
@click.option("--events", "only_events", is_flag=True, help="Remove events only, and no jobs.")
@click.option("--delete", is_flag=True, help="Remove them.  [default: only list them]")
@click.option("--yes", is_flag=True, help="Don't ask before jobs are removed.")
@json_option
@pass_app
def prune(
    app: App,
    age: timedelta,
    states: tuple[str, ...],
    newest: int,
    only_events: bool,
    delete: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """List jobs that finished long ago and old events, or remove them with --delete.

    A job to which something happened since then, or whose results are used by a job that stays, stays. Events are
    the lines of `analyze logs`: those of finished jobs that stay are removed, too.

    `analyze gc --delete` then frees the files of removed jobs, and `analyze db vacuum` the space in the database.

    \b
    analyze prune --older-than 90d
    analyze prune --older-than 30d --state failed --state cancelled --delete
    analyze prune --older-than 30d --events --delete
    """
    from producer.operations.pruning import find_prunable
    from producer.operations.pruning import prune as remove
    from shared.database.base import utc_now

    if only_events and (states or newest):
        raise click.UsageError("--events can't be combined with --state or --keep: it removes no jobs.")
    before = utc_now() - age
    prunable = find_prunable(app.database, before, () if only_events else states or FINISHED, newest)
    if not as_json:
        _print(app, prunable)
    if delete:
        _ask(prunable, yes)
        remove(app.database, before, prunable, lambda: None)
    if as_json:
        print_json(
            {
                "removed": delete,
                "jobs": [vars(job) for job in prunable.jobs],
                "bytes": _bytes(prunable),
                "in_use": [{"job_id": used, "by": users} for used, users in prunable.in_use.items()],
                "events": prunable.events,
            }
        )
    elif not delete:
        app.err.print("Nothing was removed. --delete removes them.")
    elif prunable.jobs:
        app.err.print(
            "Removed. `analyze gc --delete` deletes files that no other job uses once they are a day old."
        )
    else:
        app.err.print("Removed.")


def _print(app: App, prunable: Prunable) -> None:
    if prunable.jobs:
        rows = [[job.job_id, job.description, job.dataset, size_text(job.bytes)] for job in prunable.jobs[:SHOWN]]
        app.out.print(table(["job", "what", "data set", "size"], rows))
    if len(prunable.jobs) > SHOWN:
        app.out.print(f"and {len(prunable.jobs) - SHOWN} more")
    for used, users in list(prunable.in_use.items())[:SHOWN]:
        app.out.print(f"job {used} stays: {_list(users)} that stay use its results")
    files = size_text(_bytes(prunable))
    app.out.print(f"{len(prunable.jobs)} jobs with {files} of files, and {prunable.events:,} events of other jobs")


def _list(job_ids: list[int]) -> str:
    from shared.jobs.removal import list_job_ids

    return list_job_ids(job_ids)


def _bytes(prunable: Prunable) -> int:
    return sum(job.bytes for job in prunable.jobs)


def _ask(prunable: Prunable, yes: bool) -> None:
    """Ask whether the results of jobs may be removed; without a terminal, --yes is required."""
    if yes or not prunable.jobs:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(
            f"{len(prunable.jobs)} jobs would be removed with their results. Give --yes if you mean it."
        )
    click.confirm(f"Remove {len(prunable.jobs)} jobs with their results?", abort=True, err=True)
