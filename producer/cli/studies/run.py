"""``analyze study run``: submit the jobs of a study and wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from producer.cli.context import App, pass_app

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from producer.cli.studies.running import StudyRun


def running_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of commands that run a study: replace, retry, ignore_space, dry_run."""
    dry_run = "Check the study and list its jobs, and submit nothing."
    space = "Submit jobs even if the artifact store has too little free space."
    again = "Run the unfinished shards of failed and cancelled jobs again."
    changed = "Change the parameters of a study that was run before. Its earlier jobs stay."
    for option in (
        click.option("--dry-run", is_flag=True, help=dry_run),
        click.option("--ignore-space", is_flag=True, help=space),
        click.option("--retry", is_flag=True, help=again),
        click.option("--replace", is_flag=True, help=changed),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("study", metavar="STUDY")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Value of a parameter of the study, for example dataset=voc; may be repeated.",
)
@click.option("--name", help="Name of the study.  [default: that in the file]")
@click.option(
    "--no-wait",
    is_flag=True,
    help="Submit the jobs that can be submitted now, and print which ones remain.",
)
@running_options
@pass_app
def run(
    app: App,
    study: str,
    settings: tuple[str, ...],
    name: str | None,
    replace: bool,
    retry: bool,
    no_wait: bool,
    ignore_space: bool,
    dry_run: bool,
) -> None:
    """Submit the jobs of a study, wait for them, and print its table.

    STUDY is a TOML file, or the name of a study that comes with the program (`analyze study ls --shipped`). A job
    that rests on another one is submitted when that is done.

    Ctrl+C detaches; submitted jobs continue. The same command continues the study at any time: jobs that exist are
    not computed again.

    \b
    analyze study run widths.toml
    analyze study run table-3 --set dataset=voc --set epochs=20 --name table-3-voc
    """
    from producer.cli.studies.running import prepare_study

    if dry_run:
        app.database.discards_changes = True
    prepared = prepare_study(app, study, settings, name, ignore_space=ignore_space, retry=retry)
    if dry_run:
        print_plan(app, prepared)
        return
    prepared.run(replace=replace, wait=not no_wait)
    if not no_wait:
        from producer.cli.studies.show import print_study

        print_study(app, prepared.name, "table")


def print_plan(app: App, prepared: StudyRun) -> None:
    from producer.cli.printing import table
    from producer.studies.parameters import as_text
    from shared.jobs.tables import JobState

    rows = []
    for planned in prepared.planned:
        job_id = prepared.find_existing(planned)
        state = prepared.states([job_id]).get(job_id, JobState.QUEUED) if job_id else "new"
        waits = ", ".join(planned.references)
        if planned.name in prepared.left_out:
            state = "left out"
        elif not job_id and waits:
            state = f"after {waits}"
        rows.append([planned.name, planned.kind, job_id or "", state])
    app.out.print(table(["name", "kind", "job", "state"], rows))
    values = ", ".join(f"{name}={as_text(value)}" for name, value in prepared.parameters.items())
    app.err.print(f"Parameters: {values or 'none'}. Nothing was submitted (--dry-run).")
