"""``python -m worker.kinds.top9.one_image``: the maxima of one image, for questions about images that a search did
not use.

The producer, which has no torch, starts it. The request is read as JSON from stdin.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shared.kinds.top9.specification import SEARCH_BATCH, Top9Specification
from shared.store.store import Store
from unitscope.data.images import ImageSource, Skipped, batches
from unitscope.errors import ImageNotReadable
from unitscope.networks.checkpoints import read_safetensors
from unitscope.networks.weights import load_weights
from unitscope.search.search import search
from worker.networks.build import build_network
from worker.programs.limits import limits_for_network
from worker.programs.output import print_answer


def maxima_of_image(specification: Top9Specification, store: Store, source: ImageSource) -> dict[str, np.ndarray]:
    """Return the maxima of an image, float32 [units] of each layer, by its module path.

    The producer has checked that the network may be built.

    Raises
    ------
    ImageNotReadable
    """
    network = specification.network
    weights = store.verified(specification.weights_path)
    skipped: list[Skipped] = []
    with limits_for_network(network):
        model = build_network(network, store)
        load_weights(model, read_safetensors(weights), network.name, weights)
        found = search(
            model.eval(),
            {layer.path: layer.units for layer in specification.layers},
            batches([source], SEARCH_BATCH, network.image_size, pad=True, skipped=skipped),
            top=1,
            mean=network.mean,
            std=network.std,
            forms=specification.forms,
        )
    if skipped:
        raise ImageNotReadable(path=source.path, reason=skipped[0].reason)
    return {path: layer.maxima[0] for path, layer in found.items()}


def main() -> None:
    """Read the request: ``store``, ``specification`` of the search, ``image`` (a path), ``box``, ``upright``."""
    request: dict[str, Any] = json.load(sys.stdin)

    def work() -> dict[str, Any]:
        torch.set_num_threads(1)
        box = tuple(request["box"]) if request["box"] else None
        source = ImageSource(0, Path(request["image"]), box=box, upright=request["upright"])
        specification = Top9Specification.model_validate(request["specification"])
        maxima = maxima_of_image(specification, Store(Path(request["store"])), source)
        return {"maxima": {path: values.tolist() for path, values in maxima.items()}}

    print_answer(work)


if __name__ == "__main__":
    main()
