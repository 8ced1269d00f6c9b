"""``analyze find``: questions about the kept maxima of a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from producer.cli.context import App, pass_app
from producer.cli.jobs.jobs import job_argument
from producer.cli.options import JobId
from producer.cli.printing import print_text, print_typed_rows, rows_format_options
from unitscope.vocabulary import METRICS, Combination, Metric

if TYPE_CHECKING:
    from producer.kinds.top9.find.answers import FoundImage
    from producer.kinds.top9.find.kept import KeptMaxima
    from producer.kinds.top9.find.units_text import LayerUnit

MOST_ROWS = 100_000

Command = TypeVar("Command", bound=Callable[..., Any])

memory_option = click.option(
    "--memory",
    "memory_mb",
    default=512,
    show_default=True,
    metavar="MB",
    type=click.IntRange(1, 2**20),
    help="Memory for the arrays of the scan, in MB. The file itself is mapped: the system keeps as much of it in "
    "memory as is free.",
)
class_option = click.option("--class", "class_name", metavar="NAME", help="Only images of this class.")
image_option = click.option(
    "--image",
    required=True,
    metavar="PATH|ID",
    help="An image of the data set (its path, or its id), or any other image file. The activations of images that "
    "the search did not use are computed first.",
)
distinct_option = click.option(
    "--distinct",
    is_flag=True,
    help="List only the best of images that show the same: objects and copies of one file, near-duplicates.",
)
page_option = click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write an HTML page with the images to this file, and print no rows.",
)


def _top(default: int, things: str) -> Callable[[Command], Command]:
    return click.option(
        "--top",
        "count",
        default=default,
        show_default=True,
        type=click.IntRange(1, MOST_ROWS),
        help=f"Number of {things}, at most.",
    )


@click.group()
def find() -> None:
    """Answer questions from the maxima that a search kept, without running the network.

    Units are compared by normalized activations: 0 is no activation, 1 a unit's 99.9 % quantile over the images.
    """


@find.command("images")
@job_argument
@click.option(
    "--units",
    required=True,
    metavar="UNITS",
    help="Units such as conv5:3,17,conv4:0-9. The name of a layer alone means all of its units.",
)
@click.option(
    "--all",
    "combination",
    flag_value="all",
    default=True,
    help="Rank images by their least active unit (default).",
)
@click.option("--any", "combination", flag_value="any", help="Rank images by their most active unit.")
@click.option("--sum", "combination", flag_value="sum", help="Rank images by the sum of their units' activations.")
@click.option(
    "--not",
    "absent",
    metavar="UNITS",
    help="Leave out images that activate one of these units: with a normalized activation of 0.5 or more.",
)
@class_option
@distinct_option
@_top(20, "images")
@memory_option
@page_option
@rows_format_options
@pass_app
def images(
    app: App,
    /,
    job_id: int,
    units: str,
    combination: Combination,
    absent: str | None,
    class_name: str | None,
    distinct: bool,
    count: int,
    memory_mb: int,
    html: Path | None,
    form: str,
) -> None:
    """Find the images that several units respond to together.

    \b
    analyze find images 2 --units conv5:3,17
    analyze find images 2 --units conv5:3,conv4:8 --sum --not conv5:9 --class dog
    """
    from producer.kinds.top9.find.answers import find_images
    from producer.kinds.top9.find.kept import kept_maxima
    from producer.kinds.top9.find.units_text import chosen_units

    kept = kept_maxima(app.database, app.store, job_id)
    chosen = chosen_units(kept, units)
    without = chosen_units(kept, absent) if absent else []
    found = find_images(
        app.database, kept, chosen, combination, without, class_name, count, memory_mb * 10**6, distinct
    )
    title = f"images of job {job_id} that activate {units} ({combination})"
    _print_images(app, kept, chosen, found, f"{title}, but not {absent}" if absent else title, html, form)


@find.command("like")
@job_argument
@image_option
@click.option(
    "--units",
    metavar="UNITS",
    help="Units that span the space.  [default: all of the last layer that was searched]",
)
@click.option(
    "--metric",
    default="cosine",
    show_default=True,
    type=click.Choice(METRICS),
    help="Cosine similarity, or Euclidean distance.",
)
@class_option
@distinct_option
@_top(20, "images")
@memory_option
@page_option
@rows_format_options
@pass_app
def like(
    app: App,
    /,
    job_id: int,
    image: str,
    units: str | None,
    metric: Metric,
    class_name: str | None,
    distinct: bool,
    count: int,
    memory_mb: int,
    html: Path | None,
    form: str,
) -> None:
    """Find the images that activate units most like an image does.

    \b
    analyze find like 2 --image JPEGImages/000012.jpg
    analyze find like 2 --image ~/cat.jpg --units conv5 --metric l2
    """
    from producer.kinds.top9.find.answers import find_like
    from producer.kinds.top9.find.kept import kept_maxima
    from producer.kinds.top9.find.query_image import query_image
    from producer.kinds.top9.find.units_text import chosen_units

    kept = kept_maxima(app.database, app.store, job_id)
    chosen = chosen_units(kept, units or kept.layers[-1].path)
    query = query_image(app.database, app.settings, kept, image)
    found = find_like(app.database, kept, query, chosen, metric, class_name, count, memory_mb * 10**6, distinct)
    _print_images(app, kept, chosen, found, f"images of job {job_id} like {query.name} ({metric})", html, form)


@find.command("units")
@job_argument
@image_option
@click.option(
    "--layer", help="Only these layers, as for analyze submit: names, numbers, module paths or patterns."
)
@_top(20, "units")
@memory_option
@rows_format_options
@pass_app
def units(app: App, /, job_id: int, image: str, layer: str | None, count: int, memory_mb: int, form: str) -> None:
    """Find the units for which an image is exceptional: those that few images activate more.

    \b
    analyze find units 2 --image 17
    """
    from producer.kinds.top9.find.answers import find_units
    from producer.kinds.top9.find.kept import kept_maxima
    from producer.kinds.top9.find.query_image import query_image
    from unitscope.find.exceptional import FoundUnit

    kept = kept_maxima(app.database, app.store, job_id)
    layers = kept.named(layer) if layer else kept.layers
    query = query_image(app.database, app.settings, kept, image)
    _remark_on_precision(app, kept)
    print_typed_rows(app, FoundUnit, find_units(kept, query, layers, count, memory_mb * 10**6), form)


@find.command("similar")
@job_argument
@click.option("--unit", required=True, metavar="UNIT", help="The unit, such as conv5:17.")
@click.option(
    "--in",
    "other_id",
    metavar="JOB",
    type=JobId(),
    help="Find the units of this search, of another network or another epoch, on the same images.  [default: JOB]",
)
@click.option(
    "--layer",
    help="Only units of these layers: names, numbers, module paths or patterns.  [default: all that were "
    "searched]",
)
@click.option(
    "--ranks", is_flag=True, help="Correlate ranks (Spearman) instead of activations (Pearson). Takes longer."
)
@_top(10, "units")
@memory_option
@rows_format_options
@pass_app
def similar(
    app: App,
    /,
    job_id: int,
    unit: str,
    other_id: int | None,
    layer: str | None,
    ranks: bool,
    count: int,
    memory_mb: int,
    form: str,
) -> None:
    """Find the units that respond to the images like a unit does.

    The activations of both are correlated over all images that both searches used, before the ReLU.

    \b
    analyze find similar 2 --unit conv5:17
    analyze find similar 2 --unit conv5:17 --in 8 --layer conv5 --ranks
    """
    from producer.kinds.top9.find.answers import find_similar
    from producer.kinds.top9.find.kept import kept_maxima
    from producer.kinds.top9.find.units_text import chosen_units
    from shared.errors import UsageError
    from unitscope.find.similar import SimilarUnit

    kept = kept_maxima(app.database, app.store, job_id)
    chosen = chosen_units(kept, unit)
    if len(chosen) > 1:
        raise UsageError(reason=f"--unit {unit} names {len(chosen)} units. Give one, such as conv5:17.")
    other = kept if other_id in (None, job_id) else kept_maxima(app.database, app.store, other_id or job_id)
    layers = other.named(layer) if layer else other.layers
    for one in dict.fromkeys((kept.precision, other.precision)):
        _remark_on_precision(app, kept if kept.precision == one else other)
    found = find_similar(kept, chosen[0], other, layers, ranks, count, memory_mb * 10**6)
    print_typed_rows(app, SimilarUnit, found, form)


def _print_images(
    app: App,
    kept: KeptMaxima,
    units: Sequence[LayerUnit],
    found: Sequence[FoundImage],
    title: str,
    html: Path | None,
    form: str,
) -> None:
    from producer.files import write_file
    from producer.kinds.top9.find.answers import FoundImage
    from producer.kinds.top9.find.page import render

    _remark_on_precision(app, kept)
    if html:
        write_file(html, render(app.database, kept, units, found, title).encode())
        print_text(str(html))
        return
    print_typed_rows(app, FoundImage, found, form)


def _remark_on_precision(app: App, kept: KeptMaxima) -> None:
    """Say on stderr that maxima are of a lower precision."""
    if kept.precision != "float32":
        app.err.print(f"Job {kept.job_id} screened its images: its maxima are in {kept.precision}.")
