"""zennit-crp's activation maximisation finds the same images as the search.

It is run as its users run it: on the whole of its own pipeline, with batches of another size, and on pixels that
another reader has read.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from crp.attribution import CondAttribution
from crp.concepts import ChannelConcept
from crp.helper import load_maximization
from crp.visualization import FeatureVisualization

from producer.datasets.shapes import generate
from tests import reference
from unitscope.data.images import ImageSource, batches
from unitscope.networks import build as networks
from unitscope.networks.initialization import initialise
from unitscope.search.ranking import NO_IMAGE, TopActivations
from unitscope.search.search import search

CROPS = 500
SIZE = 96
TOP = 9
LAYERS = {f"conv{number}": f"features.{index}" for number, index in reference.CONVOLUTIONS.items()}
DEAD = 7  # a unit of each layer that never fires: CRP lists its images, the search doesn't
# Of the layer's largest activation: what float32 rounds is in proportion to the terms that are summed.
ROUNDING = 1e-5


@dataclass
class Peer:
    """CRP's best images of each unit, best first, more than are compared. Arrays [units, 40]; ``place`` is
    row * columns + column."""

    activation: np.ndarray
    image: np.ndarray
    place: np.ndarray


Value = Callable[[int, int, int], float]  # of an image, a unit and a place: the activation there


def differences(ours: TopActivations, peer: Peer, columns: int, value: Value) -> list[str]:
    """Where the search and CRP differ by more than rounding, which puts what is tied into either order."""
    rounding = ROUNDING * peer.activation.max()
    found = []
    # What doesn't fire is not listed by the search.
    levels = np.maximum(peer.activation[:, :TOP], 0)
    for unit, rank in np.argwhere(np.abs(np.maximum(ours.activation, 0) - levels) > rounding):
        found.append(f"unit {unit}, rank {rank}: {ours.activation[unit, rank]} is {levels[unit, rank]}")
    for unit, images in enumerate(ours.image):
        listed = images[images != NO_IMAGE].tolist()
        if len(set(listed)) < len(listed):
            found.append(f"unit {unit}: an image twice in {listed}")
        theirs = {image: at for at, image in enumerate(peer.image[unit].tolist())}
        for rank, image in enumerate(listed):
            here = f"unit {unit}, rank {rank}: image {image}"
            at = theirs.get(image)
            if at is None:
                found.append(f"{here} is not among CRP's best")
                continue
            largest = peer.activation[unit, at]
            if abs(largest - levels[unit, rank]) > rounding:
                found.append(f"{here} has {largest}, CRP's of that rank {levels[unit, rank]}")
            place = int(ours.row[unit, rank]) * columns + int(ours.col[unit, rank])
            if place != peer.place[unit, at] and abs(value(image, unit, place) - largest) > rounding:
                found.append(f"{here} is not largest at place {place}")
    return found


@dataclass
class Both:
    """What the search found, and what CRP found, by layer's path."""

    ours: dict[str, TopActivations]
    peer: dict[str, Peer]
    model: torch.nn.Module
    crops: list[reference.Crop]

    def maps(self, path: str, image: int) -> torch.Tensor:
        """[units, rows, columns] of one image."""
        layers = self.model.features[: int(path.split(".")[1]) + 1]
        with torch.no_grad():
            return layers(self.crops[image].pixels[None])[0]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("crp")
    root = folder / "shapes"
    generate(root, images=CROPS // 2, seed=4)
    crops = reference.voc_crops(root, "trainval", SIZE)
    assert len(crops) == CROPS
    torch.manual_seed(2)
    model = networks.build("zfnet", classes=20, image_size=SIZE, fc=16)
    initialise(model, "he")
    for path in LAYERS.values():
        model.get_submodule(path).bias.data[DEAD] = -1000
    model.eval()
    return Both(searched(model, root, crops), maximised(model, crops, folder), model, crops)


def searched(model: torch.nn.Module, root: Path, crops: list[reference.Crop]) -> dict[str, TopActivations]:
    sources = [ImageSource(image, root / crop.path, box=crop.box) for image, crop in enumerate(crops)]
    units = {path: range(model.get_submodule(path).out_channels) for path in LAYERS.values()}
    return {path: found.top for path, found in search(model, units, batches(sources, 48, SIZE), TOP).items()}


def maximised(model: torch.nn.Module, crops: list[reference.Crop], folder: Path) -> dict[str, Peer]:
    visualization = FeatureVisualization(
        CondAttribution(copy.deepcopy(model)),  # which lets go of its parameters' gradients
        [(crop.pixels, 0) for crop in crops],  # of the classes its statistics alone take notice
        {path: ChannelConcept() for path in LAYERS.values()},
        max_target="max",
        abs_norm=False,
        path=str(folder),
    )
    visualization.run(None, 0, len(crops), batch_size=32)
    found = {path: load_maximization(visualization.ActMax.PATH, path) for path in LAYERS.values()}
    return {path: Peer(value.T, image.T, place.T) for path, (image, value, place) in found.items()}


@pytest.mark.parametrize("layer", LAYERS)
def test_crp_finds_the_same_images_for_every_unit(both: Both, layer: str) -> None:
    path = LAYERS[layer]
    ours, peer = both.ours[path], both.peer[path]

    def value(image: int, unit: int, place: int) -> float:
        return both.maps(path, image)[unit].flatten()[place].item()

    assert ours.image.shape == (len(peer.image), TOP)
    assert differences(ours, peer, both.maps(path, 0).shape[2], value) == []
    # So that the comparison says something: nearly all units fire, and nearly none of their images are tied.
    assert ours.dead[DEAD]
    assert ours.dead.mean() < 0.05
    assert (ours.image == peer.image[:, :TOP])[~ours.dead].mean() > 0.95


def example() -> tuple[TopActivations, Peer]:
    """Two units that both sides agree on. Ranks 3 and 4 are tied; the second unit fires on four images."""
    activation = np.array([np.linspace(20, 1, 20), np.linspace(4, -15, 20)], np.float32)
    activation[:, 4] = activation[:, 3]
    image = np.stack([np.arange(20), np.arange(20)[::-1]])
    place = image % 6
    fires = activation[:, :TOP] > 0
    ours = TopActivations(
        np.where(fires, activation[:, :TOP], -np.inf),
        np.where(fires, image[:, :TOP], NO_IMAGE),
        np.where(fires, place[:, :TOP] // 3, 0).astype(np.int32),
        np.where(fires, place[:, :TOP] % 3, 0).astype(np.int32),
    )
    return ours, Peer(activation, image, place)


def swap(found: TopActivations, one: int, other: int) -> None:
    """Two ranks of the first unit, but for the activations."""
    for array in (found.image, found.row, found.col):
        array[0, [one, other]] = array[0, [other, one]]


def elsewhere(image: int, unit: int, place: int) -> float:
    return 0.5


def test_ties_are_no_difference() -> None:
    ours, peer = example()
    assert differences(ours, peer, 3, elsewhere) == []
    swap(ours, 3, 4)
    assert differences(ours, peer, 3, elsewhere) == []
    ours.col[0, 0] += 1  # to where the map has the same value
    assert differences(ours, peer, 3, lambda image, unit, place: 20.0) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda found: swap(found, 0, 1), "rank 0: image 1 has 19"),
        (lambda found: found.image.__setitem__((0, 8), 9), "rank 8: image 9 has 11"),
        (lambda found: found.image.__setitem__((0, 8), 77), "rank 8: image 77 is not among"),
        (lambda found: found.image.__setitem__((0, 4), 3), "an image twice"),
        (lambda found: found.col.__setitem__((0, 2), 0), "rank 2: image 2 is not largest at place 0"),
        (lambda found: found.activation.__setitem__((0, 5), 15.001), "rank 5: 15.00"),
        (lambda found: found.activation.__setitem__((1, 0), -np.inf), "unit 1, rank 0: -inf is 4"),
        (lambda found: found.activation.__setitem__((1, 8), 0.5), "unit 1, rank 8: 0.5 is 0"),
    ],
)
def test_anything_else_is_a_difference(spoil: Callable[[TopActivations], None], said: str) -> None:
    ours, peer = example()
    spoil(ours)
    assert said in "\n".join(differences(ours, peer, 3, elsewhere))
