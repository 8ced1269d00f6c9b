"""``analyze network``: show networks, and those of the user's own."""

from __future__ import annotations

from typing import Any

import click

from producer.cli.context import App, pass_app
from producer.cli.lazy import LazyGroup
from producer.cli.options import network_options
from producer.cli.printing import json_option, print_json
from producer.kinds.registry import producer_kinds


class NetworkGroup(LazyGroup):
    """The group of the commands about networks, including those of single kinds of job."""

    def import_paths(self) -> dict[str, str]:
        paths = {verb: f"producer.cli.data.own_networks:{verb}" for verb in ("add", "ls", "rm")}
        paths["show"] = "producer.cli.data.network:show"
        for kind in producer_kinds().values():
            paths |= kind.network_verbs
        return paths


@click.group(cls=NetworkGroup)
def network() -> None:
    """Show networks, and add your own."""


@click.command()
@click.argument("name")
@click.option(
    "--classes",
    type=click.IntRange(1, 100_000),
    help="Number of classes.  [default: that of the network's recipe, 1000 or 10; of a network of your own, that "
    "with which it was added]",
)
@network_options
@json_option
@pass_app
def show(app: App, /, name: str, classes: int | None, as_json: bool, **options: Any) -> None:
    """Show the layers of a network, which searches accept by name, number or module path: output shape and form,
    receptive field, stride, parameters; blocks of layers; projection methods; and totals. --json lists all."""
    from rich.table import Table

    from producer.networks.description import describe
    from producer.networks.own import named_network
    from unitscope.description import HEADINGS, NUMBERS

    specification = named_network(app.database, app.settings, name, classes, **options)
    description = describe(app.database, specification, app.settings)
    if as_json:
        print_json(description.model_dump(mode="json"))
        return
    app.out.print(description.title)
    if factory := specification.factory:
        origin = f"code {factory.code}" if factory.code else f"{factory.package} {factory.version}"
        app.out.print(f"{factory.call}, {origin}", soft_wrap=True)
    table = Table(box=None)
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading in NUMBERS else "left")
    for cells in description.table():
        table.add_row(*cells)
    app.out.print(table)
    for line in description.below:
        app.out.print(line, highlight=False)
