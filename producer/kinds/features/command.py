"""``analyze submit features``: submit a job that shows the feature maps of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from producer.cli.context import App, pass_app
from producer.cli.jobs.submitting import Submission, job_options, submit_job
from producer.cli.options import (
    chosen_images,
    chosen_network,
    image_choice_options,
    remark_on_images,
    separated,
    trained_network_options,
)
from unitscope.vocabulary import SCALES


@click.command("features")
@click.option(
    "--dataset",
    help="Data set of the images, or, with --file alone, to which the job belongs.  [default: that of --run]",
)
@image_choice_options
@click.option(
    "--file",
    "files",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Image file that need not belong to a data set; it is copied to the artifact store. May be repeated. "
    "Without options that choose images of the data set, only files are shown.",
)
@click.option(
    "--whole", "whole_files", is_flag=True, help="Use whole image files instead of the objects cut out of them."
)
@click.option(
    "--layer",
    "--layers",
    "layers",
    multiple=True,
    callback=separated,
    help="Layers whose channels are all drawn, too: 5, conv5, or a module path such as features.11. "
    "Comma-separated; may be repeated.",
)
@click.option(
    "--scale",
    default="own",
    show_default=True,
    type=click.Choice(SCALES),
    help="Colours of the channels of --layer: each its own scale, or one for all channels of a layer.",
)
@click.option(
    "--arrays", is_flag=True, help="Also store the maps of --layer as arrays: a .npz file for each image."
)
@click.option(
    "--shards",
    type=click.IntRange(1, 100_000),
    help="Number of shards.  [default: of about a minute and at least 8 images each]",
)
@trained_network_options
@job_options
@pass_app
def features(app: App, /, submission: Submission, **options: Any) -> None:
    """Show the feature maps of images: every layer as one picture, the mean over its channels, and all channels of
    some layers.

    \b
    analyze submit features --dataset voc --images 8
    analyze submit features --dataset voc --images 8 --layer conv1,features.11 --scale shared --arrays
    analyze submit features --run 1 --file cat.jpg --file dog.jpg --layer conv5
    """
    from producer.kinds.features.request import features_request

    images = chosen_images(options)
    specification = features_request(
        app.database, app.settings, images=images, network=chosen_network(options), **options
    )
    remark = remark_on_images(images, specification.split, len(specification.images))
    submit_job(app, specification, submission, remark=remark)
