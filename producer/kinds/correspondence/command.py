"""``analyze submit correspondence``: test whether a network relates the same part in several images."""

from __future__ import annotations

from pathlib import Path
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
from unitscope.vocabulary import MASK_FILLS


@click.command("correspondence")
@image_options
@click.option(
    "--whole", "whole_files", is_flag=True, help="Use whole image files instead of the objects cut out of them."
)
@click.option(
    "--part",
    "parts",
    multiple=True,
    callback=separated,
    help="Parts to mask, for example head,hand. Comma-separated; may be repeated.  [default: all parts that at "
    "least two images have]",
)
@click.option(
    "--boxes",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="CSV or JSON file with the boxes of the parts.  [default: the <part>s of the data set's VOC annotations]",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    callback=separated,
    help="Layers whose features are compared: conv5, fc7, 5, or a module path. Comma-separated; may be repeated.  "
    "[default: the last convolution and the last hidden layer]",
)
@click.option(
    "--draws",
    default=10,
    show_default=True,
    type=click.IntRange(1, 1000),
    help="Random masks for each image and part, of the same sizes.",
)
@click.option(
    "--fill",
    default="grey",
    show_default=True,
    type=click.Choice(MASK_FILLS),
    help="Content of the masks; mean is the mean colour of the image.",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, 2**63 - 1),
    help="Seed of the random masks, and of --fill noise.",
)
@click.option(
    "--shards",
    type=click.IntRange(1, 100_000),
    help="Number of shards.  [default: of about a minute and at least 8 images each]",
)
@trained_network_options
@job_options
@pass_app
def correspondence(app: App, /, submission: Submission, **options: Any) -> None:
    """Mask the same part in several images, and compare the changes of the features.

    The method is that of Zeiler & Fergus (2013), section 4.3 and Table 1.

    \b
    analyze submit correspondence --dataset voc --part head,hand,foot
    analyze submit correspondence --dataset dogs --boxes faces.csv --layer conv5,fc7
    """
    from producer.kinds.correspondence.request import correspondence_request

    images = chosen_images(options)
    specification = correspondence_request(
        app.database,
        app.settings,
        images=images,
        network=chosen_network(options),
        **options,
    )
    if specification.skipped:
        first = specification.skipped[0]
        app.err.print(
            f"{len(specification.skipped)} parts are left out: {first.path}, object {first.object_number}, "
            f"{first.part or 'annotation'}: {first.reason}"
            f"{' ...' if len(specification.skipped) > 1 else ''}",
            markup=False,
            soft_wrap=True,
        )
    remark = remark_on_images(images, specification.split, len(specification.images))
    submit_job(app, specification, submission, remark=remark)
