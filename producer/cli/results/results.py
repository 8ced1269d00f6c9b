"""``analyze results``: print the results of a job."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.cli.context import App, Numbers, pass_app
from producer.cli.jobs.jobs import job_argument
from producer.cli.printing import print_text, print_typed_rows, rows_format_options
from producer.kinds.descriptor import ProducerKind, Result, load
from producer.kinds.registry import producer_kinds

if TYPE_CHECKING:
    from producer.results.filters import Filters


def _result_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option for each result table of all kinds of job, except the default tables."""
    results = {result.name: result for kind in producer_kinds().values() for result in kind.results[1:]}
    for name, result in reversed(results.items()):
        attributes: dict[str, Any] = {"type": click.IntRange(1)} if result.takes_count else {"is_flag": True}
        command = click.option(f"--{name}", help=result.help, **attributes)(command)
    return command


@click.command()
@job_argument
@click.option(
    "--layer",
    help="Only this layer: 5, conv5, or a module path such as features.10. Where a search takes several, also "
    "several: 1-3,fc7.",
)
@click.option("--units", type=Numbers(), help="Only these units, for example 0-15,40.")
@click.option("--class", "class_name", metavar="NAME", help="Only images of this class.")
@click.option("--image", "images", type=Numbers(), help="Only images with these ids, for example 7,12.")
@click.option("--ranks", type=Numbers(), help="Only these ranks, for example 1-3.")
@rows_format_options
@_result_options
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write an HTML page with pictures to this file, and print no rows.",
)
@pass_app
def results(
    app: App,
    /,
    job_id: int,
    layer: str | None,
    units: list[int] | None,
    class_name: str | None,
    images: list[int] | None,
    ranks: list[int] | None,
    form: str,
    html: Path | None,
    **instead: Any,
) -> None:
    """Print the results of a job.

    By default these are the top images of each unit for a top-9 search, the epochs of a training run, and a row
    for each image of an occlusion sweep. A filter that does not apply to the printed rows is an error.

    If a job is not done, the existing rows are printed, a line on stderr says what is missing, and in JSON and CSV
    each row has "incomplete".
    """
    from producer.results.filters import Filters
    from producer.results.jobs import incomplete_job, kind_of

    filters = Filters(layer, tuple(units or ()), class_name, tuple(images or ()), tuple(ranks or ()))
    _refuse_combinations({**instead, "html": html})
    kind = producer_kinds()[kind_of(app.database, job_id)]
    missing = incomplete_job(app.database, job_id)  # before rows are read, which the job may be adding
    if html:
        _write_page(app, kind, job_id, filters, html)
        if missing:
            app.err.print(missing.text)
        return
    result, count = _chosen_result(kind, job_id, instead)
    table = load(result.table)
    rows = table.rows(app.database, job_id, filters)
    first = list(islice(rows, 1))
    if missing and (first or missing.ended):
        app.err.print(missing.text)
    marks = {"incomplete": True} if missing else {}
    print_typed_rows(app, table.row, islice(chain(first, rows), count), form, marks)


def _refuse_combinations(instead: dict[str, Any]) -> None:
    given = [f"--{name.replace('_', '-')}" for name, value in instead.items() if value]
    if len(given) > 1:
        raise click.UsageError(f"{given[0]} and {given[1]} are mutually exclusive.")


def _chosen_result(kind: ProducerKind, job_id: int, instead: dict[str, Any]) -> tuple[Result, int | None]:
    """Return the chosen result, and the maximum number of its rows (None for all)."""
    from shared.errors import JobNotOfKind

    for name, value in instead.items():
        if value:
            option = name.replace("_", "-")
            for result in kind.results[1:]:
                if result.name == option:
                    return result, value if result.takes_count else None
            raise JobNotOfKind(job_id=job_id, kind=kind.name, result=f"results for --{option}")
    return kind.results[0], None


def _write_page(app: App, kind: ProducerKind, job_id: int, filters: Filters, page: Path) -> None:
    from producer.files import write_file
    from producer.results.tables import refuse_other_filters
    from shared.errors import JobNotOfKind

    if kind.page is None:
        raise JobNotOfKind(job_id=job_id, kind=kind.name, result="page")
    refuse_other_filters(filters, kind.page_filters, "the page")
    write_file(page, load(kind.page)(app.database, app.store, job_id, filters).encode())
    print_text(str(page))
