"""The command ``analyze submit brightness``."""

from __future__ import annotations

import click

from producer.cli.context import App, pass_app
from producer.cli.jobs.submitting import job_options, submit_job


@click.command("brightness")
@click.option("--dataset", required=True, help="Name of a registered data set.")
@click.option("--split", default="val", show_default=True, help="Split of the data set.")
@click.option("--shards", default=4, show_default=True, type=click.IntRange(1, 1000), help="Pieces of work.")
@job_options
@pass_app
def brightness(app: App, dataset: str, split: str, shards: int, wait: bool, force: bool) -> None:
    """Compute the mean brightness of the images of a split."""
    from shared.kinds.brightness.specification import BrightnessSpecification

    from shared.database.catalogue import find_dataset, split_size

    with app.database.read() as session:
        found = find_dataset(session, dataset)
        count = split_size(session, found, split)
    specification = BrightnessSpecification(
        dataset_id=found.id,
        dataset_fingerprint=found.fingerprint,
        split=split,
        image_count=count,
        shards=shards,
    )
    submit_job(app, specification, wait=wait, force=force)
