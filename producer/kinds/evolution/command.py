"""``analyze submit evolution``: submit the evolution of the units of a training run."""

from __future__ import annotations

from typing import Any

import click

from producer.cli.context import App, Numbers, pass_app
from producer.cli.jobs.submitting import Submission, job_options, submit_job
from producer.cli.options import JobId, separated
from unitscope.vocabulary import PROJECTION_METHODS


@click.command("evolution")
@click.option(
    "--run",
    required=True,
    type=JobId(),
    help="Finished training run that kept the weights of several epochs (--keep-epochs).",
)
@click.option(
    "--layer",
    "--layers",
    "layers",
    multiple=True,
    callback=separated,
    help="Layers: 5, conv5, or a module path such as features.10. Comma-separated; may be repeated.  "
    "[default: all convolutions]",
)
@click.option(
    "--units", type=Numbers(), help="Units to draw, for example 0-5.  [default: --draw units, chosen at random]"
)
@click.option(
    "--draw",
    default=6,
    show_default=True,
    type=click.IntRange(0, 1000),
    help="Number of units of each layer to draw, chosen at random among those that are active.",
)
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1), help="Seed of that choice."
)
@click.option("--epochs", type=Numbers(), help="Epochs, for example 1,2,5,10.  [default: all that the run kept]")
@click.option("--split", help="Split of the run's data set.  [default: the images that the run was trained on]")
@click.option(
    "--projection",
    default="deconvnet",
    show_default=True,
    type=click.Choice(PROJECTION_METHODS),
    help="Projection method: see `analyze submit top9`.",
)
@click.option(
    "--shards",
    type=click.IntRange(1, 10_000),
    help="Number of shards of each epoch.  [default: of about a minute each, at least 4]",
)
@job_options
@click.pass_context
@pass_app
def evolution(app: App, ctx: click.Context, /, submission: Submission, **options: Any) -> None:
    """Follow the units of a network through its training: the strongest activation of each at every kept epoch.

    The method is that of Zeiler & Fergus (2013), Fig. 4. All units are searched; some are projected and drawn.

    \b
    analyze submit evolution --run 3
    analyze submit evolution --run 3 --layer 1,5 --units 0-15 --epochs 1,2,5,10
    """
    from producer.kinds.evolution.request import evolution_request

    if options["units"] is not None:
        for name in ("draw", "seed"):
            if ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
                raise click.UsageError(f"--units and --{name} are mutually exclusive.")
    submit_job(app, evolution_request(app.database, app.settings, **options), submission)
