"""``analyze network filters``: the filters of a network, without a job and without a data set."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import click

from producer.cli.context import App, pass_app
from producer.cli.options import network_options, separated
from producer.cli.printing import format_options, print_records
from unitscope.vocabulary import SCALES


@click.command("filters")
@click.argument("name")
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    required=True,
    help="Weights file (.safetensors or .pth).",
)
@click.option(
    "--classes",
    type=click.IntRange(1, 100_000),
    help="Number of classes.  [default: that of the network's recipe, 1000 or 10]",
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
@click.option("--each", is_flag=True, help="Print a row for each filter instead of one for each layer.")
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), help="Also draw the filters to this PNG file."
)
@click.option(
    "--scale",
    default="own",
    show_default=True,
    type=click.Choice(SCALES),
    help="Grey levels of the picture: each filter its own scale, or one for all filters of a layer.",
)
@network_options
@format_options
@pass_app
def filters(
    app: App,
    /,
    name: str,
    weights: Path,
    classes: int | None,
    layers: tuple[str, ...],
    each: bool,
    picture: Path | None,
    scale: str,
    form: str,
    **options: Any,
) -> None:
    """Show the filters of a network's convolutions: size, RMS, and which are dead or dominate.

    `analyze submit filters` keeps the same in the database, also for two networks side by side.

    \b
    analyze network filters alexnet --weights alexnet.pth --layer conv1 --picture conv1.png
    """
    from producer.files import write_file
    from producer.kinds.filters.request import chosen_convolutions
    from producer.networks.description import ask_worker, describe_with_weights
    from producer.networks.own import named_network

    specification = named_network(app.database, app.settings, name, classes, **options)
    description, stored = describe_with_weights(app.database, specification, weights, app.settings)
    request = {
        "store": str(app.settings.resolved_store),
        "network": specification.model_dump(mode="json"),
        "weights_path": stored.path,
        "layers": [(layer.label, layer.path) for layer in chosen_convolutions(description, layers)],
        "scale": scale,
        "picture": picture is not None,
    }
    command = [sys.executable, "-m", "worker.kinds.filters.summarize"]
    answer = ask_worker(command, stdin=json.dumps(request))
    if picture:
        write_file(picture, base64.b64decode(answer["picture"]))
        app.err.print(f"Picture: {picture}")
    print_records(app, answer["filters" if each else "layers"], form)
