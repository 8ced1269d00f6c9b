"""Options that several verbs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from producer.cli.context import NUMBER

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
