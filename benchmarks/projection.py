"""Projections of a search's top activations compared with Captum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from benchmarks.captum_projection import Captum, Targets
from benchmarks.search import layer_units
from benchmarks.setting import BATCH, LAYERS, SIZE, TOP, Setting
from benchmarks.timing import Goal, Row, time_interleaved, timed
from unitscope.data.images import batches, to_input
from unitscope.projection.choice import projector_for
from unitscope.projection.requests import Requests
from unitscope.search.ranking import NO_IMAGE, TopActivations
from unitscope.search.search import search

GOALS = {5: 6, 2: 30, 1: 30}  # by number of the convolution
SUBSET_UNITS = 12  # units that Captum is timed on
CHECKED = 9  # projections
METHOD = f"""
Projects the top activations of a search over the crops; the images are in memory as decoded pixels. unitscope: one
call of the function that a worker calls projects all activations of a layer, without checks and pictures. Captum:
`NeuronDeconvolution` on a copy of the network without in-place ReLUs, with a function as selector so that a batch
can hold different units and positions, and with the fastest of the batch sizes 1, 9, 18, 36 and of both memory
formats. Captum is timed on the top activations of {SUBSET_UNITS} units, and the time is scaled by the number of
projections, to which it is proportional. Captum's images are normalized before timing starts; unitscope's are not.
The results of both agree to 1e-5 of the largest value on {CHECKED} projections of each layer.
"""


def measure(setting: Setting) -> Iterator[Row]:
    """Yield one row per layer."""
    model, sources = setting.model(), setting.crops.sources
    layers = {number: LAYERS[number] for number in GOALS}
    decoded = list(batches(sources, BATCH, SIZE, pad=True))
    results = search(model, layer_units(model, list(layers.values())), decoded, TOP, setting.device)
    pixels = [image for batch in decoded for image in batch.pixels.permute(0, 2, 3, 1).numpy()]
    for number, layer in layers.items():
        yield _layer(setting, model, number, results[layer].top, pixels)


def _layer(setting: Setting, model: nn.Module, number: int, top: TopActivations, pixels: list[np.ndarray]) -> Row:
    layer, device = LAYERS[number], setting.device
    requests = _requests(top)
    counts = dict(Counter(requests.ids.tolist()))
    live = np.unique(requests.units)
    chosen = live[np.linspace(0, len(live) - 1, min(SUBSET_UNITS, len(live))).round().astype(int)]
    subset = requests.at(np.flatnonzero(np.isin(requests.units, chosen)))
    targets = _targets(subset, pixels, device)
    captum = Captum.best(model, layer, targets)
    parent, _, last = layer.partition(".")
    truncated = nn.Sequential(*model.get_submodule(parent)[: int(last) + 1])
    captum_truncated = Captum(truncated, last, captum.batch, captum.format)
    _check(model, layer, captum, targets, pixels, subset)

    prepared = captum.to_batches(targets)

    def ours() -> None:
        projector = projector_for(model, layer, SIZE, counts=counts, device=device)
        for _ in projector.project(pixels, requests):
            pass

    def theirs(variant: Captum) -> None:
        for _ in variant.attribute(prepared):
            pass

    timings = time_interleaved(
        {
            "ours": timed(ours, device),
            "Captum": timed(lambda: theirs(captum), device),
            "Captum, truncated network": timed(lambda: theirs(captum_truncated), device),
        },
        setting.rounds,
    )
    scale = len(requests.units) / len(subset.units)
    peer, peer_truncated = (
        [scale * value for value in timings.seconds[variant]]
        for variant in ("Captum", "Captum, truncated network")
    )
    pairs = zip(peer_truncated, timings.seconds["ours"], strict=True)
    ratio_truncated = float(np.median([theirs / own for theirs, own in pairs]))
    return Row(
        "projection",
        f"{len(requests.units):,} projections of conv {number} ({len(live)} units)",
        timings.seconds["ours"],
        "Captum NeuronDeconvolution, fastest batch size",
        peer,
        Goal(GOALS[number]),
        f"Captum with batches of {captum.batch}, {captum.format}, timed on {len(subset.units)} projections. It "
        "runs the forward pass of the whole network; with a network that was truncated after the layer, the ratio "
        f"is {ratio_truncated:.3g}.",
        {"captum_projections": len(subset.units), "captum_on_truncated_network": peer_truncated},
    )


def _requests(top: TopActivations) -> Requests:
    unit, rank = (top.image != NO_IMAGE).nonzero()
    image = top.image[unit, rank]
    row, col = (values[unit, rank].astype(np.int64) for values in (top.row, top.col))
    return Requests(unit, image, image, row, col)


def _targets(requests: Requests, pixels: list[np.ndarray], device: str) -> Targets:
    images = torch.from_numpy(np.stack([pixels[image] for image in requests.images])).permute(0, 3, 1, 2)
    numbers = (torch.from_numpy(values).to(device) for values in (requests.units, requests.rows, requests.cols))
    return Targets(to_input(images, device), *numbers)


def _check(
    model: nn.Module, layer: str, captum: Captum, targets: Targets, pixels: list[np.ndarray], requests: Requests
) -> None:
    """Check that unitscope and Captum compute the same projections."""
    some = np.linspace(0, len(requests.units) - 1, min(CHECKED, len(requests.units))).astype(int)
    tensors = [values[torch.from_numpy(some).to(values.device)] for values in vars(targets).values()]
    theirs = [image for batch in captum.attribute(captum.to_batches(Targets(*tensors))) for image in batch]
    projector = projector_for(model, layer, SIZE, device=targets.images.device)
    for number, projection in projector.project(pixels, requests.at(some)):
        expected = projection.activation * theirs[number].cpu().numpy()
        error = np.abs(projection.in_image(*expected.shape[1:]) - expected).max() / np.abs(expected).max()
        assert error < 1e-5, f"{layer}: unitscope and Captum differ by {error} of the largest value"
