"""``analyze submit top9``: submit a top-9 search."""

from __future__ import annotations

from typing import Any

import click

from producer.cli.context import App, Numbers, pass_app
from producer.cli.jobs.submitting import Submission, job_options, submit_job
from producer.cli.options import chosen_network, dataset_option, trained_network_options
from producer.kinds.top9.layer_names import layer_names
from unitscope.vocabulary import PROJECTION_CHOICES, SCREENS


@click.command("top9")
@dataset_option
@click.option(
    "--layer",
    "--layers",
    "layers",
    required=True,
    multiple=True,
    help="Layers: conv5, 5, 1-5, fc7, a module path such as features.11, a pattern such as 'layer3.*.conv2', or "
    "scores for the class scores; see analyze network show. Comma-separated; may be repeated.",
)
@click.option("--units", type=Numbers(), help="Units, for example 0-15,40.  [default: all]")
@click.option("--split", help="Split of the data set.  [default: val, or the only one]")
@click.option(
    "--top", default=9, show_default=True, type=click.IntRange(1, 100), help="Number of images for each unit."
)
@click.option(
    "--bottom", is_flag=True, help="Also find the images with each unit's lowest minimum, where it is negative."
)
@click.option("--per-class", is_flag=True, help="Also find each unit's top images of each class.")
@click.option(
    "--projection",
    default="auto",
    show_default=True,
    type=click.Choice(PROJECTION_CHOICES),
    help="Projection method: the paper's deconvnet, guided back-propagation, or the plain gradient, each "
    "multiplied by the activation. The first two need layers with no activations but ReLU modules before them; "
    "auto takes the deconvnet, and for other layers the gradient. none: rows only, without pictures.",
)
@click.option(
    "--screen",
    type=click.Choice(SCREENS),
    help="Run all images in this lower precision, and only those again in float32 that can be among a unit's top "
    "images: faster for tens of thousands of images. The top images stayed the same in all measurements; "
    "statistics are of the lower precision. tf32 needs a GPU on every worker. Not with --bottom or --per-class.",
)
@click.option(
    "--distinct",
    is_flag=True,
    help="List only the best of images that show the same: objects and copies of one file, near-duplicates. "
    "Not with --screen.",
)
@click.option(
    "--maxima/--no-maxima",
    default=True,
    show_default=True,
    help="Keep the maximum of each unit on each image, for `analyze find`: 4 bytes each.",
)
@click.option(
    "--shards",
    type=click.IntRange(1, 100_000),
    help="Number of shards.  [default: of about a minute each, at least 8; with --screen of five minutes]",
)
@trained_network_options
@job_options
@pass_app
def top9(app: App, /, layers: tuple[str, ...], submission: Submission, **options: Any) -> None:
    """Find the images that activate each unit most, and project the activations back to pixels.

    A layer is any module whose output are maps, vectors or tokens.
    """
    from producer.kinds.top9.request import search_request

    names = [name for part in layers for name in _layer_names(part)]
    specification = search_request(
        app.database, app.settings, layers=names, network=chosen_network(options), **options
    )
    submit_job(app, specification, submission)


def _layer_names(value: str) -> list[str]:
    names = layer_names(value)
    if not names:
        raise click.BadParameter("give at least one layer", param_hint="--layer")
    return names
