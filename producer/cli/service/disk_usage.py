"""``analyze du``: disk usage."""

from __future__ import annotations

import click

from producer.cli.context import App, pass_app
from producer.cli.printing import json_option, print_json, table
from shared.text import size_text


@click.command()
@click.option(
    "--limit", default=15, show_default=True, type=click.IntRange(0, 100_000), help="Maximum number of jobs."
)
@json_option
@pass_app
def du(app: App, limit: int, as_json: bool) -> None:
    """Show what takes disk space: jobs, the largest first, and everything else that the program stores.

    The size of a job is that of the files that it wrote first. The part that is used by other jobs stays if the
    job is removed.
    """
    from producer.operations.disk_usage import disk_usage

    usage = disk_usage(app.database, app.settings, app.store)
    if as_json:
        print_json(
            {
                **vars(usage),
                "jobs": [vars(job) for job in usage.jobs[:limit]],
                "datasets": [vars(dataset) for dataset in usage.datasets],
                "total": usage.total,
            }
        )
        return
    shown = usage.jobs[:limit]
    if shown:
        columns = ["job", "kind", "what", "state", "size", "used by others"]
        rows = [[j.job_id, j.kind, j.what, j.state, size_text(j.bytes), size_text(j.shared_bytes)] for j in shown]
        app.out.print(table(columns, rows))
    if len(usage.jobs) > len(shown):
        app.out.print(f"and {len(usage.jobs) - len(shown)} more jobs")
    others = [
        *((f"jobs of kind {kind}", count) for kind, count in usage.kinds.items()),
        ("files of removed jobs", usage.of_removed_jobs),
        ("unfinished files (incoming)", usage.incoming),
        ("other files in the store", usage.other),
        *((f"data set {dataset.name}", dataset.bytes) for dataset in usage.datasets),
        ("pixel cache", usage.pixel_cache),
        ("database", usage.database),
    ]
    ordered = sorted(others, key=lambda entry: -entry[1])
    rows = [[name, size_text(count)] for name, count in [*ordered, ("total", usage.total), ("free", usage.free)]]
    app.out.print(table(["what", "size"], rows))
    if usage.unreferenced:
        app.err.print(f"`analyze gc --delete` would free {size_text(usage.unreferenced)} of the store.")
