"""``analyze submit occlusion``: submit an occlusion sweep."""

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
    trained_network_options,
)
from unitscope.vocabulary import ENGINES, FILLS


@click.command("occlusion")
@image_options
@click.option(
    "--whole", "whole_files", is_flag=True, help="Use whole image files instead of the objects cut out of them."
)
@click.option(
    "--layer", default="5", show_default=True, help="Layer: 5, conv5, or a module path such as features.10."
)
@click.option(
    "--unit",
    type=click.IntRange(0),
    help="Unit whose activation is recorded.  [default: the strongest unit of each image]",
)
@click.option("--target", metavar="CLASS", help="Another class whose probability is recorded.")
@click.option(
    "--patch", default=32, show_default=True, type=click.IntRange(1), help="Side of the square, in pixels."
)
@click.option(
    "--stride",
    default=8,
    show_default=True,
    type=click.IntRange(1),
    help="Distance between two positions, in pixels.",
)
@click.option(
    "--fill",
    default="grey",
    show_default=True,
    type=click.Choice(FILLS),
    help="Content of the square; mean is the mean colour of the image, blur the blurred image.",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1), help="Seed of --fill noise."
)
@click.option(
    "--engine",
    default="auto",
    show_default=True,
    type=click.Choice(ENGINES),
    help="full computes whole images, incremental only what the square can affect; auto chooses the cheaper one.",
)
@click.option(
    "--memory",
    "memory_mb",
    default=1024,
    show_default=True,
    metavar="MB",
    type=click.IntRange(1, 2**20),
    help="Memory for activations, in MB.",
)
@click.option(
    "--positions", is_flag=True, help="Also write a row for every position, to the view occlusion_positions."
)
@click.option(
    "--shards",
    type=click.IntRange(1, 100_000),
    help="Number of shards.  [default: of about a minute and at least 8 images each]",
)
@trained_network_options
@job_options
@pass_app
def occlusion(app: App, /, submission: Submission, **options: Any) -> None:
    """Cover parts of images with a square, and record how a unit's activation and the prediction change.

    The method is that of Zeiler & Fergus (2013), Fig. 7.

    \b
    analyze submit occlusion --dataset voc --images 64 --patch 32 --stride 8
    analyze submit occlusion --dataset voc --class dog --target cat --fill blur
    analyze submit occlusion --dataset voc --image VOC2007/JPEGImages/000497.jpg --whole
    """
    from producer.kinds.occlusion.request import Occluder, occlusion_request

    occluder = Occluder(**{name: options.pop(name) for name in Occluder.__dataclass_fields__})
    images = chosen_images(options)
    specification = occlusion_request(
        app.database,
        app.settings,
        images=images,
        occluder=occluder,
        network=chosen_network(options),
        **options,
    )
    remark = remark_on_images(images, specification.split, len(specification.images))
    submit_job(app, specification, submission, remark=remark)
