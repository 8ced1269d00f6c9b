"""Comparison with zennit-crp: its activation maximization finds the same images as the search.

zennit-crp runs with its complete pipeline, another batch size, and images read by the reference implementation.
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
from unitscope.networks.initialization import initialize
from unitscope.search.ranking import NO_IMAGE, TopActivations
from unitscope.search.search import search

CROPS = 300
SIZE = 96
TOP = 9
LAYERS = {f"conv{number}": f"features.{index}" for number, index in reference.CONVOLUTIONS.items()}
DEAD = 7  # a dead unit of each layer: CRP lists images for it, the search doesn't
# Relative to the layer's largest activation, since rounding errors are proportional to the summed terms.
ROUNDING = 1e-5


@dataclass
class Peer:
    """CRP's top 40 images of each unit, more than are compared. Arrays are [units, 40]; ``place`` is
    row * columns + column."""

    activation: np.ndarray
    image: np.ndarray
    place: np.ndarray


Value = Callable[[int, int, int], float]  # the activation of (image, unit, position)


def differences(ours: TopActivations, peer: Peer, columns: int, value: Value) -> list[str]:
    """Describe differences between the search and CRP that are not due to rounding, which can reorder ties."""
    rounding = ROUNDING * peer.activation.max()
    problems = []
    # The search doesn't list images that don't activate the unit.
    levels = np.maximum(peer.activation[:, :TOP], 0)
    for unit, rank in np.argwhere(np.abs(np.maximum(ours.activation, 0) - levels) > rounding):
        problems.append(f"unit {unit}, rank {rank}: {ours.activation[unit, rank]} is {levels[unit, rank]}")
    for unit, images in enumerate(ours.image):
        listed = images[images != NO_IMAGE].tolist()
        if len(set(listed)) < len(listed):
            problems.append(f"unit {unit}: an image occurs twice in {listed}")
        theirs = {image: at for at, image in enumerate(peer.image[unit].tolist())}
        for rank, image in enumerate(listed):
            here = f"unit {unit}, rank {rank}: image {image}"
            at = theirs.get(image)
            if at is None:
                problems.append(f"{here} is not among CRP's best")
                continue
            largest = peer.activation[unit, at]
            if abs(largest - levels[unit, rank]) > rounding:
                problems.append(f"{here} has {largest}, CRP's of that rank {levels[unit, rank]}")
            place = int(ours.row[unit, rank]) * columns + int(ours.col[unit, rank])
            if place != peer.place[unit, at] and abs(value(image, unit, place) - largest) > rounding:
                problems.append(f"{here} is not largest at place {place}")
    return problems


@dataclass
class Both:
    """The results of the search and of CRP, by module path of the layer."""

    ours: dict[str, TopActivations]
    peer: dict[str, Peer]
    model: torch.nn.Module
    crops: list[reference.Crop]

    def maps(self, path: str, image: int) -> torch.Tensor:
        """Return the maps of one image, [units, rows, columns]."""
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
    initialize(model, "he")
    for path in LAYERS.values():
        model.get_submodule(path).bias.data[DEAD] = -1000
    model.eval()
    return Both(searched(model, root, crops), maximized(model, crops, folder), model, crops)


def searched(model: torch.nn.Module, root: Path, crops: list[reference.Crop]) -> dict[str, TopActivations]:
    sources = [ImageSource(image, root / crop.path, box=crop.box) for image, crop in enumerate(crops)]
    units = {path: range(model.get_submodule(path).out_channels) for path in LAYERS.values()}
    return {path: problems.top for path, problems in search(model, units, batches(sources, 48, SIZE), TOP).items()}


def maximized(model: torch.nn.Module, crops: list[reference.Crop], folder: Path) -> dict[str, Peer]:
    visualization = FeatureVisualization(
        CondAttribution(
            copy.deepcopy(model)
        ),  # a copy, since CondAttribution disables the gradients of its parameters
        [(crop.pixels, 0) for crop in crops],  # the class is used only by CRP's statistics
        {path: ChannelConcept() for path in LAYERS.values()},
        max_target="max",
        abs_norm=False,
        path=str(folder),
    )
    visualization.run(None, 0, len(crops), batch_size=32)
    problems = {path: load_maximization(visualization.ActMax.PATH, path) for path in LAYERS.values()}
    return {path: Peer(value.T, image.T, place.T) for path, (image, value, place) in problems.items()}


@pytest.mark.parametrize("layer", LAYERS)
def test_crp_finds_the_same_images_for_every_unit(both: Both, layer: str) -> None:
    path = LAYERS[layer]
    ours, peer = both.ours[path], both.peer[path]

    def value(image: int, unit: int, place: int) -> float:
        return both.maps(path, image)[unit].flatten()[place].item()

    assert ours.image.shape == (len(peer.image), TOP)
    assert differences(ours, peer, both.maps(path, 0).shape[2], value) == []
    # Otherwise the comparison would prove nothing: nearly all units are active, and there are few ties.
    assert ours.dead[DEAD]
    assert ours.dead.mean() < 0.05
    assert (ours.image == peer.image[:, :TOP])[~ours.dead].mean() > 0.95


def example() -> tuple[TopActivations, Peer]:
    """Return results for two units that agree. Ranks 3 and 4 are tied; the second unit is active on four
    images."""
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


def swap(problems: TopActivations, one: int, other: int) -> None:
    """Swap two ranks of the first unit, except for the activations."""
    for array in (problems.image, problems.row, problems.col):
        array[0, [one, other]] = array[0, [other, one]]


def elsewhere(image: int, unit: int, place: int) -> float:
    return 0.5


def test_ties_are_not_reported_as_differences() -> None:
    ours, peer = example()
    assert differences(ours, peer, 3, elsewhere) == []
    swap(ours, 3, 4)
    assert differences(ours, peer, 3, elsewhere) == []
    ours.col[0, 0] += 1  # another position with the same value
    assert differences(ours, peer, 3, lambda image, unit, place: 20.0) == []


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda problems: swap(problems, 0, 1), "rank 0: image 1 has 19"),
        (lambda problems: problems.image.__setitem__((0, 8), 9), "rank 8: image 9 has 11"),
        (lambda problems: problems.image.__setitem__((0, 8), 77), "rank 8: image 77 is not among"),
        (lambda problems: problems.image.__setitem__((0, 4), 3), "an image occurs twice"),
        (lambda problems: problems.col.__setitem__((0, 2), 0), "rank 2: image 2 is not largest at place 0"),
        (lambda problems: problems.activation.__setitem__((0, 5), 15.001), "rank 5: 15.00"),
        (lambda problems: problems.activation.__setitem__((1, 0), -np.inf), "unit 1, rank 0: -inf is 4"),
        (lambda problems: problems.activation.__setitem__((1, 8), 0.5), "unit 1, rank 8: 0.5 is 0"),
    ],
)
def test_other_deviations_are_reported_as_differences(spoil: Callable[[TopActivations], None], said: str) -> None:
    ours, peer = example()
    spoil(ours)
    assert said in "\n".join(differences(ours, peer, 3, elsewhere))
