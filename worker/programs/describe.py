"""``python -m worker.programs.describe``: describe a network as one line of JSON, for the producer, which has no
torch.

With ``--weights`` the program also reads the file safely, checks that the tensors fit the network and are finite,
and writes them to the artifact store.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from shared.store.store import Store
from unitscope.description import NetworkDescription, NetworkSpecification
from unitscope.networks.checkpoints import read_checkpoint
from unitscope.networks.describe import describe_module
from unitscope.networks.names import fit
from unitscope.networks.pretrained import download_weights, pretrained_url
from unitscope.networks.unallocated import Unallocated
from unitscope.networks.weights import load_pretrained, load_weights, weights_writer
from worker.networks.build import build_network
from worker.networks.factory import require_new_name
from worker.programs.limits import limits_for_network, limits_for_reading
from worker.programs.output import print_answer


def describe(specification: NetworkSpecification, store: Store | None = None) -> NetworkDescription:
    """Describe a network's layers with shapes, receptive fields and numbers of parameters.

    ``store`` has the code of a network of the user's own.

    Raises
    ------
    NoSuchNetwork, NetworkNotBuilt
    InvalidArgument
        the network does not have an option, or does not accept images of that size.
    """
    store = store or Store(Path())
    if specification.factory is not None:  # its code can do anything with the weights
        with limits_for_network(specification):
            return describe_module(build_network(specification, store), specification)
    with Unallocated():
        model = build_network(specification, store)
    return describe_module(model, specification)


def take_weights(
    specification: NetworkSpecification,
    path: Path,
    store: Store,
    *,
    pretrained: bool = False,
    say: Callable[[str], None] = lambda note: None,
) -> dict[str, Any]:
    """Check that a weights file fits a network, and write its tensors to the store, with the network's names.

    ``pretrained`` weights may have another number of classes: their head is not written. The path ``DEFAULT``
    means torchvision's weights. ``say`` is called with sentences on what was assumed and left out.
    """
    if pretrained and str(path) == "DEFAULT":
        with TemporaryDirectory() as folder:
            file = download_weights(pretrained_url(specification.name), Path(folder))
            return take_weights(specification, file, store, pretrained=True, say=say)
    with limits_for_network(specification):
        model = build_network(specification, store)
    with limits_for_reading(path.stat().st_size if path.is_file() else 0):
        checkpoint = read_checkpoint(path)
    fitted = fit(checkpoint, model, specification.name)
    unused: list[str] = []  # their sizes are not checked, and they are not written
    if pretrained:
        # Of a network with a layer on top of its head, the file has the weights below that layer.
        headless = specification.head is not None
        unused = load_pretrained(model, fitted.weights, specification.name, path, headless=headless)
    else:
        load_weights(model, fitted.weights, specification.name, path)
    used = {name: tensor for name, tensor in fitted.weights.items() if name not in unused}
    for note in fitted.notes:
        say(note)
    stored = store.write(".safetensors", weights_writer(used))
    return {"path": stored.path, "sha256": stored.sha256}


@click.command()
@click.argument("specification")
@click.option("--weights", type=click.Path(path_type=Path))
@click.option("--store", type=click.Path(path_type=Path))
@click.option("--pretrained", is_flag=True)
@click.option("--known", is_flag=True, help="The description is known: only take the weights.")
@click.option("--new", is_flag=True, help="A network of the user's own is added: its name must not be another's.")
def main(
    specification: str, weights: Path | None, store: Path | None, pretrained: bool, known: bool, new: bool
) -> None:
    """Describe the network of SPECIFICATION (JSON)."""
    os.umask(0o077)

    def work() -> dict[str, Any]:
        network = NetworkSpecification.model_validate_json(specification)
        if new:
            require_new_name(network.name)
        files = Store(store) if store else None
        result: dict[str, Any] = {} if known else {"network": describe(network, files).model_dump(mode="json")}
        if weights and files:
            notes: list[str] = []
            result["weights"] = take_weights(network, weights, files, pretrained=pretrained, say=notes.append)
            result["notes"] = notes
        return result

    print_answer(work)


if __name__ == "__main__":
    main()
