"""``analyze submit filters``: submit a job that shows the filters of convolutions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.cli.context import App, Numbers, pass_app
from producer.cli.jobs.submitting import Submission, job_options, submit_job
from producer.cli.options import MAX_WIDTH, JobId, Maps, chosen_network, separated, trained_network_options
from unitscope.vocabulary import SCALES

if TYPE_CHECKING:
    from producer.networks.choice import NetworkOptions

OTHER = "other_"


def other_network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose a second network: those of ``trained_network_options``, with ``--other-``."""
    for option in (
        click.option("--other-head", type=click.IntRange(1, 100_000), help="Its --head."),
        click.option("--other-without", multiple=True, callback=separated, help="Its --without."),
        click.option("--other-maps", type=Maps(), help="Its --maps."),
        click.option("--other-size", type=click.IntRange(16, 4096), help="Its --size."),
        click.option("--other-fc", type=click.IntRange(1, MAX_WIDTH), help="Its --fc."),
        click.option("--other-classes", type=click.IntRange(1, 100_000), help="Its --classes."),
        click.option("--other-network", help="Its --network."),
        click.option("--other-weights", type=click.Path(path_type=Path), help="Weights file of a second network."),
        click.option(
            "--other-run",
            type=JobId(),
            help="Training run of a second network, shown beside.",
        ),
    ):
        command = option(command)
    return command


def chosen_other(options: dict[str, Any]) -> NetworkOptions | None:
    """Remove the options of the second network from ``options``, and return them; None if there is none."""
    names = [name for name in options if name.startswith(OTHER)]
    others = {name.removeprefix(OTHER): options.pop(name) for name in names}
    if all(value in (None, ()) for value in others.values()):
        return None
    if others["run"] is None and others["weights"] is None:
        raise click.UsageError("A second network needs --other-run or --other-weights.")
    return chosen_network(others)


@click.command("filters")
@click.option(
    "--dataset",
    help="Data set to which the job belongs; no image is read. Without --weights and --run, its latest run "
    "is shown.  [default: that of --run]",
)
@click.option(
    "--layer",
    "--layers",
    "layers",
    multiple=True,
    callback=separated,
    help="Convolutions: 5, conv5, or a module path such as features.10. Comma-separated; may be repeated.  "
    "[default: all]",
)
@click.option(
    "--scale",
    default="own",
    show_default=True,
    type=click.Choice(SCALES),
    help="Grey levels of the pictures: each filter its own scale, or one for all filters of a layer.",
)
@click.option(
    "--units", type=Numbers(), help="Filters in the pictures, for example 0-31.  [default: as many as fit]"
)
@click.option(
    "--inputs",
    type=Numbers(),
    help="Input channels in the pictures, for example 0-47.  [default: as many as fit]",
)
@click.option("--shards", default=4, show_default=True, type=click.IntRange(1, 100_000), help="Number of shards.")
@other_network_options
@trained_network_options
@job_options
@pass_app
def filters(app: App, /, submission: Submission, **options: Any) -> None:
    """Show the filters of convolutions as pictures, and find those that are dead or dominate.

    The pictures are those of Zeiler & Fergus (2013), Fig. 6: the first layer in colour, deeper ones as grey tiles.

    \b
    analyze submit filters --run 1
    analyze submit filters --run 1 --layer conv1 --other-run 2
    analyze submit filters --dataset voc --weights alexnet.pth --network alexnet --classes 1000
    """
    from producer.kinds.filters.request import filters_request

    other = chosen_other(options)
    specification = filters_request(
        app.database, app.settings, network=chosen_network(options), other=other, **options
    )
    submit_job(app, specification, submission)
