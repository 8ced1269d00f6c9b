"""``analyze submit invariance``: measure the invariance of features to shifts, scales and rotations."""

from __future__ import annotations

from typing import Any

import click

from producer.cli.context import App, pass_app
from producer.cli.jobs.submitting import Submission, job_options, submit_job
from producer.cli.options import (
    chosen_images,
    chosen_network,
    image_options,
    remark_on_images,
    separated,
    trained_network_options,
)
from unitscope.vocabulary import INTERPOLATIONS, OUTSIDES


@click.command("invariance")
@image_options
@click.option(
    "--whole", "whole_files", is_flag=True, help="Use whole image files instead of the objects cut out of them."
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    callback=separated,
    help="Layers whose features are compared: conv1, fc7, 5, or a module path. Comma-separated; may be repeated.  "
    "[default: the first and the last hidden layer]",
)
@click.option(
    "--shifts",
    metavar="VALUES",
    help="Vertical shifts in pixels, downwards: FROM:TO:STEP, values separated by commas, or none.  "
    "[default: -60:60:5, less for inputs smaller than 224 pixels]",
)
@click.option(
    "--scales", metavar="VALUES", help="Factors of magnification, about the centre.  [default: 1:1.8:0.05]"
)
@click.option(
    "--rotations", metavar="VALUES", help="Rotations in degrees, counter-clockwise.  [default: 0:350:10]"
)
@click.option(
    "--outside",
    default="grey",
    show_default=True,
    type=click.Choice(OUTSIDES),
    help="What is outside of the image: grey, its mean colour, black, the nearest pixel, or the mirrored image.",
)
@click.option(
    "--interpolation",
    default="bilinear",
    show_default=True,
    type=click.Choice(INTERPOLATIONS),
    help="Interpolation between pixels.",
)
@click.option(
    "--shards",
    type=click.IntRange(1, 100_000),
    help="Number of shards.  [default: of about a minute and at least 8 images each]",
)
@trained_network_options
@job_options
@pass_app
def invariance(app: App, /, submission: Submission, **options: Any) -> None:
    """Shift, scale and rotate images, and record how far features and the prediction change.

    The method is that of Zeiler & Fergus (2013), Fig. 5.

    \b
    analyze submit invariance --dataset voc --images 5
    analyze submit invariance --dataset voc --class dog --layer conv1,conv5,fc7 --rotations 0:90:5
    analyze submit invariance --dataset voc --images 5 --shifts -20:20:1 --scales none --rotations none
    """
    from producer.kinds.invariance.request import invariance_request

    images = chosen_images(options)
    specification = invariance_request(
        app.database,
        app.settings,
        images=images,
        network=chosen_network(options),
        **options,
    )
    remark = remark_on_images(images, specification.split, len(specification.images))
    submit_job(app, specification, submission, remark=remark)
