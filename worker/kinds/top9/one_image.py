"""``python -m worker.kinds.top9.one_image``: the maxima of one image, for questions about images that a search did
not use.

The producer, which has no torch, starts it. The request is read as JSON from stdin.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from shared.kinds.top9.specification import SEARCH_BATCH, Top9Specification
from shared.store.store import Store
from unitscope.data.images import ImageSource, Skipped, batches
from unitscope.errors import ImageNotReadable
from unitscope.networks.checkpoints import read_safetensors
from unitscope.networks.weights import load_weights
from unitscope.search.search import search
from worker.networks.build import build_network
from worker.programs.output import print_answer


def main() -> None:
    """Read the request: ``store``, ``specification`` of the search, ``image`` (a path), ``box``, ``upright``."""
    request: dict[str, Any] = json.load(sys.stdin)

    def work() -> dict[str, Any]:
        torch.set_num_threads(1)
        specification = Top9Specification.model_validate(request["specification"])
        network = specification.network
        store = Store(Path(request["store"]))
        weights = store.verified(specification.weights_path)
        model = build_network(network, store)  # the producer has checked that it may be built
        load_weights(model, read_safetensors(weights), network.name, weights)
        box = tuple(request["box"]) if request["box"] else None
        source = ImageSource(0, Path(request["image"]), box=box, upright=request["upright"])
        skipped: list[Skipped] = []
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
            raise ImageNotReadable(path=request["image"], reason=skipped[0].reason)
        return {"maxima": {path: layer.maxima[0].tolist() for path, layer in found.items()}}

    print_answer(work)


if __name__ == "__main__":
    main()
