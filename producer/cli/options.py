"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.cli.context import NUMBER

if TYPE_CHECKING:
    from producer.datasets.choice import ImageChoice
    from producer.networks.choice import NetworkOptions

MAX_WIDTH = 65_536
FEW_IMAGES = 20  # with more, a job that did not choose any says how many it has


class JobId(click.IntRange):
    """Parameter type for the id of a job. In a study, it can be the name of another job of the study."""

    name = "job id"

    def __init__(self) -> None:
        super().__init__(1, 2**31 - 1)


class Maps(click.ParamType[tuple[int, int, int]]):
    """Parameter type for three numbers of feature maps such as ``512,1024,512``."""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if len(parts) != 3 or not all(NUMBER.fullmatch(p) and 1 <= int(p) <= MAX_WIDTH for p in parts):
            self.fail(
                f"'{value}' is not of the form 512,1024,512 (three numbers from 1 to {MAX_WIDTH})", param, ctx
            )
        third, fourth, fifth = (int(part) for part in parts)
        return third, fourth, fifth


def separated(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Split the comma-separated values of an option that may be repeated; for use as a callback."""
    names = tuple(part.strip() for value in values for part in value.split(",") if part.strip())
    if values and not names:
        raise click.BadParameter("give at least one name", ctx, param)
    return names


dataset_option = click.option("--dataset", help="Name of a registered data set.  [default: that of --run]")


def image_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose images of a data set, and the data set: see ``chosen_images``."""
    return dataset_option(image_choice_options(command))


def image_choice_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose images of a data set, for a command that has an option of its own for the data
    set."""
    for option in (
        click.option(
            "--image-id",
            "ids",
            type=click.IntRange(1, 2**31 - 1),
            multiple=True,
            help="Id of an image, instead of a split; may be repeated.",
        ),
        click.option(
            "--image",
            "paths",
            type=click.Path(path_type=Path),
            multiple=True,
            help="Image file of the data set, instead of a split; may be repeated.",
        ),
        click.option("--class", "class_name", metavar="NAME", help="Only images of this class."),
        click.option("--split", help="Split of the data set.  [default: val, or the only one]"),
        click.option(
            "--images",
            "count",
            type=click.IntRange(1),
            help="Number of images, spread over the split.  [default: all]",
        ),
    ):
        command = option(command)
    return command


def chosen_images(options: dict[str, Any]) -> ImageChoice:
    """Remove the options that choose images from ``options``, and return them."""
    from producer.datasets.choice import ImageChoice

    images = ImageChoice(**{name: options.pop(name) for name in ImageChoice.__dataclass_fields__})
    if (images.paths or images.ids) and (images.split or images.class_name or images.count):
        raise click.UsageError("--image and --image-id can't be combined with --images, --split or --class.")
    return images


def remark_on_images(chosen: ImageChoice, split: str | None, count: int) -> str:
    """Say how many images a job has that chose all of a split; nothing if they are few."""
    if chosen.count or split is None or count <= FEW_IMAGES:
        return ""
    return (
        f"{count} images of split '{split}' are used. --images 5 takes 5 of them, spread over the split; --image "
        "FILE and --image-id ID choose single ones."
    )


NETWORK_OPTIONS = ("fc", "size", "maps", "without", "head")


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that modify a network, ``NETWORK_OPTIONS``."""
    for option in (
        click.option(
            "--head",
            type=click.IntRange(1, MAX_WIDTH),
            help="Keep the network's own head, with this number of outputs, and put a linear layer for the "
            "classes on top of it.",
        ),
        click.option(
            "--without",
            multiple=True,
            callback=separated,
            help="Layers to leave out of a ZFNet, for example conv3,conv4. Comma-separated; may be repeated.",
        ),
        click.option(
            "--maps",
            type=Maps(),
            help="Numbers of feature maps of a ZFNet's convolutions 3, 4 and 5, for example 512,1024,512.",
        ),
        click.option(
            "--size",
            type=click.IntRange(16, 4096),
            help="Height and width of the input, in pixels.  [default: the network's]",
        ),
        click.option(
            "--fc",
            type=click.IntRange(1, MAX_WIDTH),
            help="Width of a ZFNet's fully connected layers.  [default: 4096]",
        ),
    ):
        command = option(command)
    return command


def trained_network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that choose the trained network to analyse: see ``chosen_network``."""
    for option in (
        network_options,
        click.option(
            "--classes",
            type=click.IntRange(1, 100_000),
            help="Number of classes of the network of --weights.  [default: that of the data set]",
        ),
        click.option("--network", help="Network of --weights.  [default: zfnet]"),
        click.option(
            "--weights",
            type=click.Path(path_type=Path),
            help="Weights file (.safetensors or .pth), instead of a training run.",
        ),
        click.option(
            "--run",
            type=JobId(),
            help="Training run whose best weights are used.  [default: the latest finished run on the data set]",
        ),
    ):
        command = option(command)
    return command


def chosen_network(options: dict[str, Any]) -> NetworkOptions:
    """Remove the options that choose the network from ``options``, and return them."""
    from producer.networks.choice import NetworkOptions

    chosen = NetworkOptions(**{name: options.pop(name) for name in NetworkOptions.__dataclass_fields__})
    if chosen.run and chosen.weights:
        raise click.UsageError("--run and --weights are mutually exclusive.")
    only_with_weights = [
        name for name in ("network", "classes", *NETWORK_OPTIONS) if getattr(chosen, name) not in (None, ())
    ]
    if only_with_weights and not chosen.weights:
        raise click.UsageError(
            f"--{only_with_weights[0]} needs --weights: without it, the training run determines the network."
        )
    return chosen


def new_file(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the argument FILE, ``target``, of a file to write, and --overwrite, without which it must not exist."""
    return _new_file(command, required=True)


def optional_new_file(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the same as ``new_file``; without the argument, ``target`` is None."""
    return _new_file(command, required=False)


def _new_file(command: Callable[..., Any], *, required: bool) -> Callable[..., Any]:

    def refuse_existing(ctx: click.Context, param: click.Parameter, overwrite: bool) -> bool:
        target: Path | None = ctx.params["target"]  # processed before the option, since it is eager
        if target and target.exists() and not overwrite:
            raise click.UsageError(f"{target} already exists. Give --overwrite or another name.")
        return overwrite

    option = click.option(
        "--overwrite",
        is_flag=True,
        expose_value=False,
        callback=refuse_existing,
        help="Overwrite an existing file.",
    )
    file = click.Path(path_type=Path, dir_okay=False)
    return click.argument(
        "target", metavar="FILE" if required else "[FILE]", type=file, is_eager=True, required=required
    )(option(command))
