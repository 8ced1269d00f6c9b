"""``python -m worker.programs.describe``: what the command line can't know without torch, as one line of JSON.

Without ``--weights`` it describes a network; with it, it also reads the file safely, sees that it fits and is
finite, and puts the tensors into the artifact store.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from shared.store.store import Store
from unitscope.description import NetworkDescription, NetworkSpecification
from unitscope.networks.describe import describe_module
from unitscope.networks.pretrained import download_weights, pretrained_url
from unitscope.networks.unallocated import Unallocated
from unitscope.networks.weights import load_pretrained, load_weights, read_weights, weights_writer
from worker.kinds.common import build
from worker.programs.answering import print_answer


def describe(specification: NetworkSpecification) -> NetworkDescription:
    """A network's layers with shapes, receptive fields and numbers of parameters.

    Raises
    ------
    NoSuchNetwork
    InvalidArgument
        the network has no such option, or can't take images of that size.
    """
    with Unallocated():
        model = build(specification)
    return describe_module(model, specification)


def take_weights(
    specification: NetworkSpecification, path: Path, store: Store, *, pretrained: bool = False
) -> dict[str, Any]:
    """Check a file of weights against a network and keep its tensors in the store.

    ``pretrained`` weights may be for another number of classes; with the path ``DEFAULT`` they are torchvision's.
    """
    if pretrained and str(path) == "DEFAULT":
        with TemporaryDirectory() as folder:
            file = download_weights(pretrained_url(specification.name), Path(folder))
            return take_weights(specification, file, store, pretrained=True)
    weights = read_weights(path)
    load = load_pretrained if pretrained else load_weights
    load(build(specification), weights, specification.name, path)
    stored = store.write(".safetensors", weights_writer(weights))
    return {"path": stored.path, "sha256": stored.sha256}


@click.command()
@click.argument("specification")
@click.option("--weights", type=click.Path(path_type=Path))
@click.option("--store", type=click.Path(path_type=Path))
@click.option("--pretrained", is_flag=True)
def main(specification: str, weights: Path | None, store: Path | None, pretrained: bool) -> None:
    """Describe the network of SPECIFICATION (JSON)."""
    os.umask(0o077)

    def answer() -> dict[str, Any]:
        network = NetworkSpecification.model_validate_json(specification)
        said: dict[str, Any] = {"network": describe(network).model_dump(mode="json")}
        if weights and store:
            said["weights"] = take_weights(network, weights, Store(store), pretrained=pretrained)
        return said

    print_answer(answer)


if __name__ == "__main__":
    main()
