"""``analyze submit train``: ask for a training run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from producer.cli.context import App, Numbers, pass_app
from producer.cli.jobs.submitting import job_options, submit_job
from producer.cli.options import NETWORK_OPTIONS, network_options
from unitscope.vocabulary import INITIALIZATIONS, OPTIMIZERS, SCHEDULES

# Options that say a field of the recipe, which is all that --set does too.
RECIPE_OPTIONS = (
    click.option("--init", type=click.Choice(INITIALIZATIONS), help="Initial weights."),
    click.option("--flip", type=click.FloatRange(0, 1), help="Probability of a horizontal flip."),
    click.option("--lr-gamma", type=click.FloatRange(0, 1, min_open=True), help="Factor of a drop."),
    click.option("--lr-step", type=click.IntRange(1), help="Epochs between two drops."),
    click.option("--schedule", type=click.Choice(SCHEDULES)),
    click.option("--learning-rate", "--lr", "learning_rate", type=click.FloatRange(0, 10, min_open=True)),
    click.option("--optimizer", type=click.Choice(OPTIMIZERS)),
    click.option("--batch-size", type=click.IntRange(1, 4096)),
    click.option("--epochs", type=click.IntRange(1, 10_000)),
)


def _recipe_options(command: Any) -> Any:
    for option in RECIPE_OPTIONS:
        command = option(command)
    return command


@click.command("train")
@click.option("--dataset", help="Name of a registered data set.")
@click.option("--network", help="zfnet, alexnet, cifar-cnn, resnet18, ...  [default: the recipe's]")
@click.option("--recipe", help="Preset: `analyze recipe ls` lists them.  [default: the network's]")
@_recipe_options
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any field of the recipe; repeatable."
)
@click.option("--freeze", multiple=True, metavar="PATTERN", help="Modules that don't learn: layer1.*; repeatable.")
@click.option(
    "--rate", "rates", multiple=True, metavar="PATTERN=RATE", help="A learning rate of its own; repeatable."
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Weights to begin with: a .safetensors or .pth file, or DEFAULT for torchvision's.",
)
@click.option("--train-split", default="train", show_default=True)
@click.option("--val-split", default="val", show_default=True)
@click.option(
    "--train-per-class", type=click.IntRange(1), help="Learn from so many images of each class, drawn by the seed."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0, 2**63 - 1))
@click.option(
    "--keep-epochs", type=Numbers(), help="Keep the weights of these epochs.  [default: 1,2,5,10,20,30,40,64]"
)
@click.option("--tensorboard", is_flag=True, help="Write event files too.")
@click.option(
    "--extend", type=click.IntRange(1, 2**31 - 1), metavar="RUN", help="Go on from a finished run, to --epochs."
)
@network_options
@job_options
@click.pass_context
@pass_app
def train(app: App, ctx: click.Context, /, extend: int | None, wait: bool, force: bool, **options: Any) -> None:
    """Train a network. The default is the replications' ZFNet.

    \b
    analyze submit train --dataset voc
    analyze submit train --dataset voc --recipe alexnet --set lr_step=10
    analyze submit train --dataset voc --without conv3,conv4 --epochs 20
    analyze submit train --dataset cifar10 --recipe cifar-cnn
    analyze submit train --extend 3 --epochs 80
    """
    from producer.kinds.train.request import extension_request, note_training_run, training_request

    tensorboard = options["tensorboard"]
    if extend:
        _refuse_what_is_settled(ctx)
        specification = extension_request(app.database, extend, options["epochs"], tensorboard=tensorboard)
    else:
        if not options["dataset"]:
            raise click.UsageError("Missing option '--dataset'.")
        changes = _changes(options)
        network = {name: options.pop(name) for name in NETWORK_OPTIONS}
        specification = training_request(
            app.database, app.settings, changes=changes, network_options=network, **options
        )
    submit_job(app, specification, wait=wait, force=force, also=partial(note_training_run, specification))


def _refuse_what_is_settled(ctx: click.Context) -> None:
    """A run that is extended has its recipe."""
    for name in ctx.params:
        given = ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
        if given and name not in ("extend", "epochs", "wait", "force", "tensorboard"):
            flag = {"settings": "set", "rates": "rate"}.get(name, name.replace("_", "-"))
            raise click.UsageError(f"--{flag} is settled by the run that --extend names.")


def _changes(options: dict[str, Any]) -> dict[str, Any]:
    """The fields of the recipe that were given, taken out of ``options``; an option of its own beats --set."""
    from producer.kinds.train.request import parse_changes
    from unitscope.training.recipes import Recipe

    options["rates"] = dict(_rate(text) for text in options["rates"])
    given = {name: options.pop(name) for name in Recipe.model_fields if name in options}
    changes = parse_changes(options.pop("settings"))
    return changes | {name: value for name, value in given.items() if value not in (None, (), {})}


def _rate(text: str) -> tuple[str, str]:
    pattern, equals, rate = text.rpartition("=")
    if not equals or not pattern:
        raise click.BadParameter(f"'{text}' is not like conv1=0.0001", param_hint="--rate")
    return pattern, rate
