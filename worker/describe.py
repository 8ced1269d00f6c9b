"""``python -m worker.describe``: what the command line can't know without torch, as one line of JSON.

Without ``--weights`` it describes a network; with it, it also reads the file safely, sees that it fits and is
finite, and puts the tensors into the artifact store.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import torch

from shared.errors import UnitscopeError, UsageError
from shared.networks import LayerDescription, NetworkDescription, NetworkSpecification
from shared.store import Store
from worker.kinds.common import build
from worker.vision.geometry import trace
from worker.vision.networks import layer_names
from worker.vision.weights import load_weights, read_weights, weights_writer


def describe(specification: NetworkSpecification) -> NetworkDescription:
    """A network's layers with shapes, receptive fields and numbers of parameters.

    Raises
    ------
    NoSuchNetwork
    UsageError
        the network has no such option, or can't take images of that size.
    """
    with torch.device("meta"):  # shapes only: nothing is allocated
        model = build(specification)
    try:
        traced = trace(model, specification.image_size)
    except ValueError as error:
        reason = f"{specification.name} can't take images of {specification.image_size} pixels: {error}."
        raise UsageError(reason=reason) from error
    names = layer_names(model)
    layers = [
        LayerDescription(
            path=layer.path,
            name=names.get(layer.path),
            kind=type(layer.module).__name__,
            output_shape=layer.output_shape,
            parameters=sum(p.numel() for p in layer.module.parameters()),
            receptive_field=layer.geometry.size if layer.geometry else None,
            stride=layer.geometry.stride if layer.geometry else None,
            start=layer.geometry.start if layer.geometry else None,
        )
        for layer in traced.layers
    ]
    tensors = [*model.parameters(), *model.buffers()]
    return NetworkDescription(
        specification=specification,
        chain=traced.chain,
        layers=layers,
        parameters=sum(p.numel() for p in model.parameters()),
        bytes=sum(t.numel() * t.element_size() for t in tensors),
    )


def take_weights(specification: NetworkSpecification, path: Path, store: Store) -> dict[str, Any]:
    """Check a file of weights against a network and keep its tensors in the store."""
    weights = read_weights(path)
    load_weights(build(specification), weights, specification.name, path)
    stored = store.write(".safetensors", weights_writer(weights))
    return {"path": stored.path, "sha256": stored.sha256}


@click.command()
@click.argument("specification")
@click.option("--weights", type=click.Path(path_type=Path))
@click.option("--store", type=click.Path(path_type=Path))
def main(specification: str, weights: Path | None, store: Path | None) -> None:
    """Describe the network of SPECIFICATION (JSON)."""
    try:
        network = NetworkSpecification.model_validate_json(specification)
        answer: dict[str, Any] = {"network": describe(network).model_dump(mode="json")}
        if weights and store:
            answer["weights"] = take_weights(network, weights, Store(store))
    except UnitscopeError as error:
        details = {name: str(value) for name, value in error.details.items()}
        answer = {"error": type(error).__name__, "details": details}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
