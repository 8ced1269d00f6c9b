"""``analyze label``: label the units of a search with words."""

from __future__ import annotations

from pathlib import Path

import click

from producer.cli.context import App, pass_app
from producer.cli.jobs.jobs import job_argument
from producer.cli.printing import json_option, print_json, print_text


@click.command("label")
@job_argument
@click.option(
    "--similarities",
    "file",
    required=True,
    metavar="FILE.npz",
    type=click.Path(path_type=Path),
    help="Similarities of images and concepts: a NumPy archive of names [concepts], paths [images] (in the data "
    "set), and similarities, float [images, concepts].",
)
@click.option(
    "--labels",
    "count",
    default=5,
    show_default=True,
    type=click.IntRange(1, 100),
    help="Labels of a unit, at most.",
)
@json_option
@pass_app
def label(app: App, job_id: int, file: Path, count: int, as_json: bool) -> None:
    """Label the units of a search with words, in place of labels that it had.

    A unit gets the concepts that its strongest images are similar to, and those of other units are not
    (soft weighted pointwise mutual information, after CLIP-Dissect). The similarities can be of any model of
    images and texts, such as CLIP. `analyze results JOB --labels` prints the labels.

    \b
    analyze label 2 --similarities clip.npz
    """
    from producer.kinds.top9.find.kept import kept_maxima
    from producer.kinds.top9.labels.labelling import label_units
    from producer.kinds.top9.labels.similarities import read_similarities

    similarities = read_similarities(file)
    kept = kept_maxima(app.database, app.store, job_id)
    labelled = label_units(app.database, kept, similarities, count)
    if as_json:
        print_json({"units": labelled.units, "images": labelled.images, "concepts": len(similarities.names)})
        return
    searched = len(kept.images.ids)
    print_text(f"{labelled.units} units labelled, from {labelled.images} of {searched} images.")
