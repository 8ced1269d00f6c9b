"""``analyze recipe``: show the recipes of training runs."""

from __future__ import annotations

import click

from producer.cli.context import App, pass_app
from producer.cli.printing import format_options, json_option, print_json, print_records, print_rows
from unitscope.training.recipes import PRESETS, Recipe, recipe_for


@click.group()
def recipe() -> None:
    """Show the recipes of training runs."""


@recipe.command()
@format_options
@pass_app
def ls(app: App, form: str) -> None:
    """List the recipes."""
    rows = [
        {
            "recipe": name,
            "network": preset.network,
            "epochs": preset.recipe.epochs,
            "optimizer": preset.recipe.optimizer,
            "learning_rate": preset.recipe.learning_rate,
            "about": preset.about,
        }
        for name, preset in PRESETS.items()
    ]
    print_records(app, rows, form)


@recipe.command()
@click.argument("name")
@json_option
@pass_app
def show(app: App, name: str, as_json: bool) -> None:
    """Print every field of a recipe.

    `analyze submit train --set FIELD=VALUE` changes a field for a run.
    """
    _, network, fields = recipe_for(name, None, {})
    head = {} if PRESETS[name].head is None else {"head": PRESETS[name].head}
    if as_json:
        print_json({"recipe": name, "network": network, **head, **fields.model_dump(mode="json")})
        return
    rows = [("network", network, "")]
    rows += [
        ("head", str(outputs), "outputs of the network's head, below a linear layer") for outputs in head.values()
    ]
    for field, info in Recipe.model_fields.items():
        rows.append((field, str(getattr(fields, field)), info.description or ""))
    print_rows(app, ["field", "value", "about"], rows, "table")
