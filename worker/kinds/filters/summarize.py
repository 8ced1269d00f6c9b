"""``python -m worker.kinds.filters.summarize``: the filters of a network, for ``analyze network filters``.

The producer, which has no torch, starts it. The request is read as JSON from stdin; a picture is written to stdout
as base64, beside the layers and filters.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import torch

from shared.store.store import Store
from unitscope.description import NetworkSpecification
from unitscope.drawing import pictures
from unitscope.drawing.filters import filter_sheet
from unitscope.drawing.text import stacked
from unitscope.filters.layers import layer_filters
from unitscope.networks.weights import load_weights, read_weights
from worker.kinds.filters.draw import filter_columns, layer_columns
from worker.networks.build import build_network
from worker.programs.output import print_answer


def main() -> None:
    """Read the request: ``store``, ``network``, ``weights_path``, ``layers`` (pairs of name and path), ``scale``,
    ``picture`` (whether to draw one)."""
    request: dict[str, Any] = json.load(sys.stdin)

    def work() -> dict[str, Any]:
        torch.set_num_threads(1)
        network = NetworkSpecification.model_validate(request["network"])
        store = Store(Path(request["store"]))
        weights = store.verified(request["weights_path"])
        model = build_network(network, store)
        load_weights(model, read_weights(weights), network.name, weights)
        layers = [layer_filters(model, network.name, name, path, network.std) for name, path in request["layers"]]
        answer: dict[str, Any] = {
            "layers": [layer_columns(filters) for filters in layers],
            "filters": [
                {"layer": filters.layer, **columns} for filters in layers for columns in filter_columns(filters)
            ],
        }
        if request["picture"]:
            sheets = [filter_sheet(filters, request["scale"]) for filters in layers]
            answer["picture"] = base64.b64encode(pictures.png(stacked(sheets, gap=0, margin=0))).decode()
        return answer

    print_answer(work)


if __name__ == "__main__":
    main()
