"""``analyze results``: what a job found."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.cli.context import App, Numbers, pass_app
from producer.cli.jobs.jobs import job_argument
from producer.cli.printing import print_typed_rows, rows_format_options
from producer.kinds.descriptor import ProducerKind, Result, load
from producer.kinds.registry import producer_kinds

if TYPE_CHECKING:
    from producer.results.filters import Filters


def _result_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option for each result of any kind of job that doesn't come by itself."""
    results = {result.name: result for kind in producer_kinds().values() for result in kind.results[1:]}
    for name, result in reversed(results.items()):
        how: dict[str, Any] = {"type": click.IntRange(1)} if result.takes_count else {"is_flag": True}
        command = click.option(f"--{name}", help=result.help, **how)(command)
    return command


@click.command()
@job_argument
@click.option("--layer", help="Only this layer: 5, conv5 or features.10.")
@click.option("--units", type=Numbers(), help="Only these units: 0-15,40.")
@click.option("--class", "class_name", metavar="NAME", help="Only images of this class.")
@click.option("--image", "images", type=Numbers(), help="Only these images, by their ids: 7,12.")
@click.option("--ranks", type=Numbers(), help="Only these ranks: 1-3.")
@rows_format_options
@_result_options
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page with the contact sheets."
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
    """Print what a job found: for a search, the top images of every unit; for a training run, its epochs; for an
    occlusion sweep, a row for each image.

    Filters apply to whatever is printed; one that doesn't is refused.
    """
    from producer.results.filters import Filters
    from producer.results.jobs import kind_of

    filters = Filters(layer, tuple(units or ()), class_name, tuple(images or ()), tuple(ranks or ()))
    _refuse_several({**instead, "html": html})
    kind = producer_kinds()[kind_of(app.database, job_id)]
    if html:
        _write_page(app, kind, job_id, filters, html)
        return
    result, count = _asked(kind, job_id, instead)
    table = load(result.table)
    rows = table.rows(app.database, job_id, filters)
    print_typed_rows(app, table.row, islice(rows, count), form)


def _refuse_several(instead: dict[str, Any]) -> None:
    given = [f"--{name.replace('_', '-')}" for name, value in instead.items() if value]
    if len(given) > 1:
        raise click.UsageError(f"{given[0]} and {given[1]} exclude each other.")


def _asked(kind: ProducerKind, job_id: int, instead: dict[str, Any]) -> tuple[Result, int | None]:
    """The result that is asked for, and how many rows of it; None: all."""
    from shared.errors import JobNotOfKind

    for name, value in instead.items():
        if value:
            option = name.replace("_", "-")
            for result in kind.results[1:]:
                if result.name == option:
                    return result, value if result.takes_count else None
            raise JobNotOfKind(job_id=job_id, kind=kind.name, wanted=f"results for --{option}")
    return kind.results[0], None


def _write_page(app: App, kind: ProducerKind, job_id: int, filters: Filters, page: Path) -> None:
    from producer.files import write_file
    from producer.results.tables import refuse_other_filters
    from shared.errors import JobNotOfKind

    if kind.page is None:
        raise JobNotOfKind(job_id=job_id, kind=kind.name, wanted="page")
    refuse_other_filters(filters, kind.page_filters, "the page")
    write_file(page, load(kind.page)(app.database, app.store, job_id, filters).encode())
    click.echo(page)
