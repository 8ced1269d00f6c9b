"""The projections of a search's winners against Captum's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from benchmarks.captum_peer import Captum, Places
from benchmarks.measuring import Goal, Row, in_turn, timed
from benchmarks.search import units_of
from benchmarks.setting import BATCH, LAYERS, SIZE, TOP, Setting
from unitscope.data.images import batches, to_input
from unitscope.projection.choice import projector_for
from unitscope.projection.requests import Requests
from unitscope.search.ranking import NO_IMAGE, TopActivations
from unitscope.search.search import search

GOALS = {5: 6, 2: 30, 1: 30}  # by number of the convolution
SUBSET_UNITS = 12  # Captum projects the winners of so many: its time is in proportion
CHECKED = 9
HOW = f"""
The winners of a search on the crops, images in memory as decoded pixels. Ours: all projections of a layer by one
call of what a worker calls, without checks and pictures. Captum: NeuronDeconvolution on a copy of the network
whose ReLUs don't work in place, with a function as selector, so that a batch holds different places and units;
the best of batches of 1, 9, 18, 36 and of both memory formats; timed on the winners of {SUBSET_UNITS} units and
scaled, since its time is in proportion. Its images are normalised before, ours are not. Both have found the same,
to 1e-5 of the largest value, on {CHECKED} projections of each layer.
"""


def measure(setting: Setting) -> Iterator[Row]:
    """The rows of the table."""
    model, sources = setting.model(), setting.crops.sources
    layers = {number: LAYERS[number] for number in GOALS}
    decoded = list(batches(sources, BATCH, SIZE, pad=True))
    found = search(model, units_of(model, list(layers.values())), decoded, TOP, setting.device)
    pixels = [image for batch in decoded for image in batch.pixels.permute(0, 2, 3, 1).numpy()]
    for number, layer in layers.items():
        yield _layer(setting, model, number, found[layer].top, pixels)


def _layer(
    setting: Setting, model: nn.Module, number: int, winners: TopActivations, pixels: list[np.ndarray]
) -> Row:
    layer, device = LAYERS[number], setting.device
    requests = _requests(winners)
    counts = dict(Counter(requests.ids.tolist()))
    live = np.unique(requests.units)
    chosen = live[np.linspace(0, len(live) - 1, min(SUBSET_UNITS, len(live))).round().astype(int)]
    subset = requests.at(np.flatnonzero(np.isin(requests.units, chosen)))
    places = _places(subset, pixels, device)
    captum = Captum.best(model, layer, places)
    inside, _, last = layer.partition(".")
    cut_off = nn.Sequential(*model.get_submodule(inside)[: int(last) + 1])
    shorter = Captum(cut_off, last, captum.batch, captum.format)
    _check(model, layer, captum, places, pixels, subset)

    prepared = captum.prepared(places)

    def ours() -> None:
        projector = projector_for(model, layer, SIZE, counts=counts, device=device)
        for _ in projector.project(pixels, requests):
            pass

    def theirs(way: Captum) -> None:
        for _ in way.attribute(prepared):
            pass

    turns = in_turn(
        {
            "ours": timed(ours, device),
            "Captum, some": timed(lambda: theirs(captum), device),
            "Captum, cut, some": timed(lambda: theirs(shorter), device),
        },
        setting.rounds,
    )
    scale = len(requests.units) / len(subset.units)
    peer, cut = ([scale * value for value in turns.seconds[way]] for way in ("Captum, some", "Captum, cut, some"))
    by_cut = float(np.median([theirs / own for theirs, own in zip(cut, turns.seconds["ours"], strict=True)]))
    return Row(
        "projection",
        f"{len(requests.units):,} projections of conv {number} ({len(live)} units)",
        turns.seconds["ours"],
        "Captum's NeuronDeconvolution, its best batch",
        peer,
        Goal(GOALS[number]),
        f"Captum with batches of {captum.batch}, {captum.format}, timed on {len(subset.units)} projections. It "
        "runs the whole network forward, having been given it; given one that was cut off behind the layer, the "
        f"ratio is {by_cut:.3g}.",
        {"captum_projections": len(subset.units), "captum_on_a_network_that_was_cut_off": cut},
    )


def _requests(winners: TopActivations) -> Requests:
    unit, rank = (winners.image != NO_IMAGE).nonzero()
    image = winners.image[unit, rank]
    row, col = (values[unit, rank].astype(np.int64) for values in (winners.row, winners.col))
    return Requests(unit, image, image, row, col)


def _places(requests: Requests, pixels: list[np.ndarray], device: str) -> Places:
    images = torch.from_numpy(np.stack([pixels[image] for image in requests.images])).permute(0, 3, 1, 2)
    numbers = (torch.from_numpy(values).to(device) for values in (requests.units, requests.rows, requests.cols))
    return Places(to_input(images, device), *numbers)


def _check(
    model: nn.Module, layer: str, captum: Captum, places: Places, pixels: list[np.ndarray], requests: Requests
) -> None:
    """See that both compute the same."""
    some = np.linspace(0, len(requests.units) - 1, min(CHECKED, len(requests.units))).astype(int)
    tensors = [values[torch.from_numpy(some).to(values.device)] for values in vars(places).values()]
    theirs = [image for batch in captum.attribute(captum.prepared(Places(*tensors))) for image in batch]
    projector = projector_for(model, layer, SIZE, device=places.images.device)
    for number, projection in projector.project(pixels, requests.at(some)):
        expected = projection.activation * theirs[number].cpu().numpy()
        wrong = np.abs(projection.in_image(*expected.shape[1:]) - expected).max() / np.abs(expected).max()
        assert wrong < 1e-5, f"{layer}: ours and Captum's differ by {wrong} of the largest value"
