"""The projections of conv 5's winners against Captum's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import nn

from benchmarks.captum_peer import FORMATS, Captum, Places
from benchmarks.gpu.clock import Clock
from benchmarks.gpu.report import Finding, LimitedRow
from benchmarks.gpu.setting import Setting
from benchmarks.measuring import Goal
from benchmarks.search import units_of
from benchmarks.setting import CONV5, TOP
from unitscope.data.images import to_input
from unitscope.memory import is_out_of_memory
from unitscope.projection.choice import projector_for
from unitscope.projection.requests import Projection, Requests
from unitscope.search.ranking import NO_IMAGE, TopActivations
from unitscope.search.search import LayerSearch, search

LIMIT = 2.0  # seconds
COMPARED = 36  # projections
SAME = 1e-4  # of a projection's largest value, in the median


@dataclass(frozen=True)
class Asked:
    """Projections that are asked for, and the pixels of their images, uint8 [H, W, 3] each."""

    requests: Requests
    pixels: Sequence[np.ndarray]
    counts: dict[int, int]  # projections by the image's id

    @classmethod
    def of(cls, setting: Setting, winners: TopActivations) -> Asked:
        """All of a layer's winners; their pixels come from the cache."""
        unit, rank = (winners.image != NO_IMAGE).nonzero()
        ids = winners.image[unit, rank]
        images, number = np.unique(ids, return_inverse=True)
        row, col = (values[unit, rank].astype(np.int64) for values in (winners.row, winners.col))
        pixels, present = setting.cache.gather(images.tolist())
        assert present.all(), "an image is missing in the cache"
        return cls(Requests(unit, number, ids, row, col), list(pixels), dict(Counter(ids.tolist())))

    def places(self, device: str) -> Places:
        """The same as Captum takes them: an image for each, on the device."""
        images = torch.from_numpy(np.stack([self.pixels[number] for number in self.requests.images]))
        numbers = (self.requests.units, self.requests.rows, self.requests.cols)
        on_device = (torch.from_numpy(values).to(device) for values in numbers)
        return Places(to_input(images.permute(0, 3, 1, 2), device), *on_device)


def winners(setting: Setting, model: nn.Module, layers: Sequence[str]) -> dict[str, LayerSearch]:
    """Of the first units of each layer, as many as the sizes say."""
    units = {path: of[: setting.sizes.units] for path, of in units_of(model, layers).items()}
    return search(model, units, setting.batches(), TOP, setting.device)


def projected(setting: Setting, model: nn.Module, layer: str, asked: Asked) -> Iterator[tuple[int, Projection]]:
    """What a worker calls."""
    projector = projector_for(model, layer, setting.sizes.image, counts=asked.counts, device=setting.device)
    return projector.project(asked.pixels, asked.requests)


def measure(setting: Setting, clock: Clock) -> Iterator[Finding]:
    """The row, and then whether both have found the same."""
    model = setting.model()
    asked = Asked.of(setting, winners(setting, model, [CONV5])[CONV5].top)
    places, count = asked.places(setting.device), len(asked.requests.units)
    captum = _best(setting, model, places)
    prepared = captum.prepared(places)

    def ours() -> None:
        for _ in projected(setting, model, CONV5, asked):
            pass

    def theirs() -> None:
        for _ in captum.attribute(prepared):
            pass

    turns = setting.in_turn({"ours": setting.timed(ours), "Captum": setting.timed(theirs)}, clock)
    differences = _differences(setting, model, captum, places, asked)
    live = len(np.unique(asked.requests.units))
    yield LimitedRow(
        "projection",
        f"{count:,} projections of conv 5 ({live} units, {len(asked.pixels):,} images)",
        turns.seconds["ours"],
        "Captum's NeuronDeconvolution, its best batch",
        turns.seconds["Captum"],
        Goal(6),
        f"Captum with batches of {captum.batch}, {captum.format}; its images lie on the device, normalised, ours "
        f"come from the processor's memory and the projections go there. Difference of {len(differences)} "
        f"projections, in shares of their largest value: {np.median(differences):.1e} in the median, "
        f"{max(differences):.1e} at most.",
        {"differences": differences},
        judged=setting.is_cuda,
        limit=LIMIT,
    )
    assert np.median(differences) <= SAME, "ours and Captum's projections differ"


def _best(setting: Setting, model: nn.Module, places: Places) -> Captum:
    """Captum's fastest batch and memory format; a batch that the memory can't hold is none."""
    tried = next(iter(places.batches(setting.sizes.captum_tried)))
    seconds: dict[Captum, float] = {}
    for batch, format_ in product(setting.sizes.captum_batches, FORMATS):
        way = Captum(model, CONV5, batch, format_)
        try:
            seconds[way] = min(way.seconds(tried) for _ in range(2))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
    return _fastest(seconds)


def _fastest(seconds: Mapping[Captum, float]) -> Captum:
    return min(seconds, key=lambda way: seconds[way])


def _differences(setting: Setting, model: nn.Module, captum: Captum, places: Places, asked: Asked) -> list[float]:
    """Between ours and Captum's, of some projections: the largest, in shares of the projection's largest value."""
    count = len(asked.requests.units)
    some = np.linspace(0, count - 1, min(COMPARED, count)).round().astype(int)
    numbers = torch.from_numpy(some).to(places.units.device)
    few = Places(*(values[numbers] for values in vars(places).values()))
    theirs = [image for batch in captum.attribute(captum.prepared(few)) for image in batch.cpu().numpy()]
    wrong = []
    for number, projection in projected(setting, model, CONV5, _chosen(asked, some)):
        expected = projection.activation * theirs[number]
        largest = float(np.abs(expected).max()) or 1.0
        wrong.append(float(np.abs(projection.in_image(*expected.shape[1:]) - expected).max()) / largest)
    return wrong


def _chosen(asked: Asked, numbers: np.ndarray) -> Asked:
    return Asked(asked.requests.at(numbers), asked.pixels, asked.counts)
