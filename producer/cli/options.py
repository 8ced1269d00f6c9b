"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from producer.cli.context import NUMBER

if TYPE_CHECKING:
    from producer.networks.choice import NetworkOptions

MAX_WIDTH = 65_536


class Maps(click.ParamType[tuple[int, int, int]]):
    """``512,1024,512`` -> three numbers of maps."""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int, int]:
        if isinstance(value, tuple):
            return value
        parts = [part.strip() for part in str(value).split(",")]
        if len(parts) != 3 or not all(NUMBER.fullmatch(p) and 1 <= int(p) <= MAX_WIDTH for p in parts):
            self.fail(f"'{value}' is not like 512,1024,512 (three numbers from 1 to {MAX_WIDTH})", param, ctx)
        third, fourth, fifth = (int(part) for part in parts)
        return third, fourth, fifth


def separated(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Callback of an option that may be repeated and whose values commas separate."""
    names = tuple(part.strip() for value in values for part in value.split(",") if part.strip())
    if values and not names:
        raise click.BadParameter("is empty", ctx, param)
    return names


NETWORK_OPTIONS = ("fc", "size", "maps", "without")


def network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what a network looks like, ``NETWORK_OPTIONS``."""
    for option in (
        click.option(
            "--without",
            multiple=True,
            callback=separated,
            help="Layers to leave out of a ZFNet: conv3,conv4. Commas separate; may be repeated.",
        ),
        click.option("--maps", type=Maps(), help="Maps of convolutions 3, 4 and 5 of a ZFNet: 512,1024,512."),
        click.option(
            "--size",
            type=click.IntRange(16, 4096),
            help="Height and width of the input, in pixels.  [default: the network's]",
        ),
        click.option(
            "--fc", type=click.IntRange(1, MAX_WIDTH), help="Width of the fully connected layers of a ZFNet."
        ),
    ):
        command = option(command)
    return command


def trained_network_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say which trained network is analysed: see ``chosen_network``."""
    for option in (
        network_options,
        click.option(
            "--classes",
            type=click.IntRange(1, 100_000),
            help="Classes of that network.  [default: the data set's]",
        ),
        click.option("--network", help="Network the weights are for.  [default: zfnet]"),
        click.option("--weights", type=click.Path(path_type=Path), help="File of weights: .safetensors or .pth."),
        click.option(
            "--run",
            type=click.IntRange(1, 2**31 - 1),
            help="Training run.  [default: the newest finished on the data set]",
        ),
    ):
        command = option(command)
    return command


def chosen_network(options: dict[str, Any]) -> NetworkOptions:
    """What was said of the network, taken out of ``options``."""
    from producer.networks.choice import NetworkOptions

    said = NetworkOptions(**{name: options.pop(name) for name in NetworkOptions.__dataclass_fields__})
    if said.run and said.weights:
        raise click.UsageError("--run and --weights exclude each other.")
    only_with_weights = [
        name for name in ("network", "classes", *NETWORK_OPTIONS) if getattr(said, name) not in (None, ())
    ]
    if only_with_weights and not said.weights:
        raise click.UsageError(f"--{only_with_weights[0]} goes with --weights: a training run knows its own.")
    return said


def new_file(command: Callable[..., Any]) -> Callable[..., Any]:
    """Argument FILE of a command that writes it, as ``target``: over one that is there only with --overwrite."""

    def see_that_new(ctx: click.Context, param: click.Parameter, overwrite: bool) -> bool:
        target: Path = ctx.params["target"]  # processed before the option, since it is eager
        if target.exists() and not overwrite:
            raise click.UsageError(f"{target} is there already: say --overwrite, or another name.")
        return overwrite

    option = click.option(
        "--overwrite",
        is_flag=True,
        expose_value=False,
        callback=see_that_new,
        help="Write over a file that is there.",
    )
    file = click.Path(path_type=Path, dir_okay=False)
    return click.argument("target", metavar="FILE", type=file, is_eager=True)(option(command))
