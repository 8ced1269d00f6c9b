"""``analyze submit probe``: submit linear probes."""

from __future__ import annotations

from typing import Any

import click

from producer.cli.context import App, pass_app
from producer.cli.jobs.submitting import Submission, job_options, submit_job
from producer.cli.options import chosen_network, dataset_option, separated, trained_network_options
from unitscope.probing.layers import MAX_FEATURES
from unitscope.vocabulary import CLASSIFIERS, POOLINGS

MAX_SEED = 2**62 - 1


@click.command("probe")
@dataset_option
@click.option(
    "--layer",
    "--layers",
    "layers",
    multiple=True,
    callback=separated,
    help="Layers: 5, conv5, fc7, or a module path such as features.10. Comma-separated; may be repeated.  "
    "[default: all convolutions and hidden fully connected layers]",
)
@click.option(
    "--classifier",
    "classifiers",
    multiple=True,
    type=click.Choice(CLASSIFIERS),
    help="Linear classifier; may be repeated.  [default: both]",
)
@click.option("--train-split", default="train", show_default=True, help="Split of the training images.")
@click.option("--test-split", default="val", show_default=True, help="Split of the test images.")
@click.option(
    "--folds",
    type=click.IntRange(2, 100),
    help="Divide the images of both splits into this many folds, each of which is the test set once.",
)
@click.option(
    "--seeds",
    "repeats",
    default=1,
    show_default=True,
    type=click.IntRange(1, 100),
    help="Number of trials, with seeds from --seed upwards.",
)
@click.option(
    "--per-class", type=click.IntRange(1), help="Training images of each class, drawn at random.  [default: all]"
)
@click.option(
    "--test-per-class",
    type=click.IntRange(1),
    help="Largest number of test images of each class, drawn at random.  [default: all]",
)
@click.option(
    "--seed",
    default=0,
    show_default=True,
    type=click.IntRange(0, MAX_SEED),
    help="Seed of folds, drawn images, held-out images, and classifiers.",
)
@click.option(
    "--pool",
    "pooling",
    default="average",
    show_default=True,
    type=click.Choice(POOLINGS),
    help="How maps with more values than --features are reduced.",
)
@click.option(
    "--features",
    "max_features",
    default=MAX_FEATURES,
    show_default=True,
    type=click.IntRange(1, 2**20),
    help="Largest number of features of a layer's maps.",
)
@click.option(
    "--shuffle-labels", is_flag=True, help="Permute the labels of the training images: a control, near chance."
)
@click.option(
    "--shards",
    type=click.IntRange(1, 100_000),
    help="Number of shards of images.  [default: of about a minute and at most 512 images each, at least 8]",
)
@trained_network_options
@job_options
@pass_app
def probe(app: App, /, submission: Submission, **options: Any) -> None:
    """Fit linear classifiers to the features of each layer: how well do they separate the classes?

    The method is that of Zeiler & Fergus (2013), Table 7.

    \b
    analyze submit probe --dataset cifar10 --test-split test --per-class 100
    analyze submit probe --dataset caltech101 --folds 5 --per-class 15 --test-per-class 50
    analyze submit probe --dataset voc --layers conv5,fc7 --classifier svm --shuffle-labels
    """
    from producer.kinds.probe.request import probe_request

    specification = probe_request(app.database, app.settings, network=chosen_network(options), **options)
    submit_job(app, specification, submission)
