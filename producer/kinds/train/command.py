"""``analyze submit train``: submit a training run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from producer.cli.context import NUMBER, App, Numbers, pass_app
from producer.cli.jobs.submitting import Submission, job_options, submit_job
from producer.cli.options import NETWORK_OPTIONS, JobId, network_options
from unitscope.data.subsets import Fold
from unitscope.vocabulary import INITIALIZATIONS, OPTIMIZERS, SCHEDULES

MAX_FOLDS = 100

# Options for single fields of the recipe, shorter than --set FIELD=VALUE.
RECIPE_OPTIONS = (
    click.option("--init", type=click.Choice(INITIALIZATIONS), help="Initialization of the weights."),
    click.option("--flip", type=click.FloatRange(0, 1), help="Probability of a horizontal flip."),
    click.option(
        "--lr-gamma",
        type=click.FloatRange(0, 1, min_open=True),
        help="Factor of each drop of the learning rate (schedules step and plateau).",
    ),
    click.option(
        "--lr-step", type=click.IntRange(1), help="Epochs between two drops of the learning rate (schedule step)."
    ),
    click.option("--schedule", type=click.Choice(SCHEDULES), help="Schedule of the learning rate."),
    click.option(
        "--learning-rate",
        "--lr",
        "learning_rate",
        type=click.FloatRange(0, 10, min_open=True),
        help="Initial learning rate.",
    ),
    click.option("--optimizer", type=click.Choice(OPTIMIZERS), help="Optimizer."),
    click.option("--batch-size", type=click.IntRange(1, 4096), help="Images in a batch."),
    click.option("--epochs", type=click.IntRange(1, 10_000), help="Number of epochs."),
)


class FoldType(click.ParamType["Fold"]):
    """Parameter type for a fold such as ``2/5``."""

    name = "fold"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fold:
        if isinstance(value, Fold):
            return value
        number, slash, folds = str(value).partition("/")
        if not (slash and NUMBER.fullmatch(number) and NUMBER.fullmatch(folds) and 2 <= int(folds) <= MAX_FOLDS):
            self.fail(f"'{value}' is not of the form 2/5, with 2 to {MAX_FOLDS} folds", param, ctx)
        if not 1 <= int(number) <= int(folds):
            self.fail(f"there is no fold {number} among {folds}", param, ctx)
        return Fold(int(number), int(folds))


SUBMISSION_OPTIONS = tuple(Submission.__dataclass_fields__)


def _recipe_options(command: Any) -> Any:
    for option in RECIPE_OPTIONS:
        command = option(command)
    return command


@click.command("train")
@click.option(
    "--like",
    type=JobId(),
    metavar="RUN",
    help="Take over the data set, the network and all settings of this training run, of any state; other options "
    "override them. Initial weights, and what was frozen with them, are not taken over. A run that extends "
    "another is trained from the start.",
)
@click.option("--dataset", help="Name of a registered data set.  [default with --like: that of the run]")
@click.option("--network", help="Network: zfnet, alexnet, cifar-cnn, resnet18, ...  [default: the recipe's]")
@click.option("--recipe", help="Recipe; `analyze recipe ls` lists them.  [default: the network's]")
@_recipe_options
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Value of any field of the recipe (`analyze recipe show`); may be repeated.",
)
@click.option(
    "--freeze",
    multiple=True,
    metavar="PATTERN",
    help="Modules that are not trained, for example layer1.*; may be repeated.",
)
@click.option(
    "--rate",
    "rates",
    multiple=True,
    metavar="PATTERN=RATE",
    help="Learning rate of the modules that match a pattern, for example fc=1e-2; may be repeated.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Initial weights: a .safetensors or .pth file, or DEFAULT for torchvision's pretrained weights.",
)
@click.option(
    "--weights-of",
    type=JobId(),
    metavar="RUN",
    help="Initial weights: the best ones of this finished training run, whose network is the default. A head for "
    "another number of classes is initialized anew.",
)
@click.option("--train-split", help="Split to train on.  [default: train]")
@click.option("--val-split", help="Split to validate on.  [default: val]")
@click.option(
    "--train-per-class",
    "--per-class",
    "train_per_class",
    type=click.IntRange(1),
    help="Number of training images of each class, drawn with --seed.  [default: all]",
)
@click.option(
    "--val-per-class",
    type=click.IntRange(1),
    help="Largest number of validation images of each class, drawn with --seed.  [default: all]",
)
@click.option(
    "--fold",
    type=FoldType(),
    metavar="K/F",
    help="Divide the images of both splits by class into F parts, drawn with --seed; validate on part K, and "
    "train on the others.",
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of all random numbers.  [default: 0]")
@click.option(
    "--keep-epochs",
    type=Numbers(),
    help="Epochs whose weights are kept as checkpoints.  [default: 1,2,5,10,20,30,40,64]",
)
@click.option(
    "--time-slice",
    "time_slice",
    type=click.FloatRange(0, 1_000_000),
    metavar="MINUTES",
    help="Training time after which the run pauses, at the end of an epoch, if jobs in other queues wait for its "
    "worker; they then get a turn, of at most this time or an epoch.  [default: 10]",
)
@click.option("--tensorboard", is_flag=True, help="Also write TensorBoard event files.")
@click.option(
    "--extend",
    type=JobId(),
    metavar="RUN",
    help="Continue this finished training run, up to a total of --epochs.",
)
@network_options
@job_options
@click.pass_context
@pass_app
def train(
    app: App,
    ctx: click.Context,
    /,
    extend: int | None,
    like: int | None,
    submission: Submission,
    **options: Any,
) -> None:
    """Train a network; the default is the ZFNet of the published replications.

    Options that set a field of the recipe default to the recipe's value.

    \b
    analyze submit train --dataset voc
    analyze submit train --dataset voc --recipe alexnet --set lr_step=10
    analyze submit train --dataset voc --without conv3,conv4 --epochs 20
    analyze submit train --dataset cifar10 --recipe cifar-cnn
    analyze submit train --dataset caltech101 --weights zfnet.pth --per-class 15 --fold 1/5 --val-per-class 50
    analyze submit train --like 3 --without conv3,conv4
    analyze submit train --dataset caltech101 --weights-of 3 --freeze 'features.*'
    analyze submit train --extend 3 --epochs 80
    """
    from producer.kinds.train.options import TrainingOptions
    from producer.kinds.train.request import extension_request, note_training_run, training_request

    tensorboard = options["tensorboard"]
    if extend:
        _refuse_options_of_the_recipe(ctx)
        specification = extension_request(
            app.database, extend, options["epochs"], tensorboard=tensorboard, time_slice=options["time_slice"]
        )
    else:
        changes = _changes(options)
        network = {name: options.pop(name) for name in NETWORK_OPTIONS}
        given = TrainingOptions(changes=changes, network_options=network, **options)
        specification = training_request(app.database, app.settings, given, like)
    submit_job(app, specification, submission, also=partial(note_training_run, specification))


def _refuse_options_of_the_recipe(ctx: click.Context) -> None:
    """Raise ``UsageError`` for an option that can't be combined with --extend."""
    for name in ctx.params:
        given = ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
        if given and name not in ("extend", "epochs", "tensorboard", "time_slice", *SUBMISSION_OPTIONS):
            flag = {"settings": "set", "rates": "rate"}.get(name, name.replace("_", "-"))
            raise click.UsageError(
                f"--{flag} can't be combined with --extend: an extended run keeps its settings."
            )


def _changes(options: dict[str, Any]) -> dict[str, Any]:
    """Remove the fields of the recipe from ``options`` and return them; --FIELD takes precedence over --set."""
    from producer.kinds.train.request import parse_changes
    from unitscope.training.recipes import Recipe

    options["rates"] = dict(_rate(text) for text in options["rates"])
    given = {name: options.pop(name) for name in Recipe.model_fields if name in options}
    changes = parse_changes(options.pop("settings"))
    return changes | {name: value for name, value in given.items() if value not in (None, (), {})}


def _rate(text: str) -> tuple[str, str]:
    pattern, equals, rate = text.rpartition("=")
    if not equals or not pattern:
        raise click.BadParameter(f"'{text}' is not of the form conv1=0.0001", param_hint="--rate")
    return pattern, rate
