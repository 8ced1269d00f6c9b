"""Projections of conv 5's top activations compared with Captum."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import nn

from benchmarks.captum_projection import FORMATS, Captum, Targets
from benchmarks.gpu.report import Finding, LimitedRow
from benchmarks.gpu.setting import Setting
from benchmarks.gpu.time_budget import TimeBudget
from benchmarks.search import layer_units
from benchmarks.setting import CONV5, TOP
from benchmarks.timing import Goal
from unitscope.data.images import to_input
from unitscope.memory import is_out_of_memory
from unitscope.projection.choice import projector_for
from unitscope.projection.requests import Projection, Requests
from unitscope.search.ranking import NO_IMAGE, TopActivations
from unitscope.search.search import LayerSearch, search

LIMIT = 2.0  # seconds
COMPARED = 36  # projections
MAX_DIFFERENCE = 1e-4  # median over the projections, as a share of a projection's largest value


@dataclass(frozen=True)
class ProjectionInput:
    """Projections to compute, and the pixels of their images, uint8 [H, W, 3] each."""

    requests: Requests
    pixels: Sequence[np.ndarray]
    counts: dict[int, int]  # number of projections by image id

    @classmethod
    def of(cls, setting: Setting, top: TopActivations) -> ProjectionInput:
        """Collect all top activations of a layer, with pixels from the cache."""
        unit, rank = (top.image != NO_IMAGE).nonzero()
        ids = top.image[unit, rank]
        images, number = np.unique(ids, return_inverse=True)
        row, col = (values[unit, rank].astype(np.int64) for values in (top.row, top.col))
        pixels, present = setting.cache.gather(images.tolist())
        assert present.all(), "an image is missing from the cache"
        return cls(Requests(unit, number, ids, row, col), list(pixels), dict(Counter(ids.tolist())))

    def targets(self, device: str) -> Targets:
        """Convert the projections for Captum, which needs one image per projection, on the device."""
        images = torch.from_numpy(np.stack([self.pixels[number] for number in self.requests.images]))
        numbers = (self.requests.units, self.requests.rows, self.requests.cols)
        on_device = (torch.from_numpy(values).to(device) for values in numbers)
        return Targets(to_input(images.permute(0, 3, 1, 2), device), *on_device)


def search_top_activations(setting: Setting, model: nn.Module, layers: Sequence[str]) -> dict[str, LayerSearch]:
    """Search the first ``sizes.units`` units of each layer."""
    units = {path: numbers[: setting.sizes.units] for path, numbers in layer_units(model, layers).items()}
    return search(model, units, setting.batches(), TOP, setting.device)


def project(
    setting: Setting, model: nn.Module, layer: str, projections: ProjectionInput
) -> Iterator[tuple[int, Projection]]:
    """Compute the projections as a worker does."""
    projector = projector_for(model, layer, setting.sizes.image, counts=projections.counts, device=setting.device)
    return projector.project(projections.pixels, projections.requests)


def measure(setting: Setting, budget: TimeBudget) -> Iterator[Finding]:
    """Yield the row, then check that both compute the same projections."""
    model = setting.model()
    projections = ProjectionInput.of(setting, search_top_activations(setting, model, [CONV5])[CONV5].top)
    targets, count = projections.targets(setting.device), len(projections.requests.units)
    captum = _best(setting, model, targets)
    prepared = captum.to_batches(targets)

    def ours() -> None:
        for _ in project(setting, model, CONV5, projections):
            pass

    def theirs() -> None:
        for _ in captum.attribute(prepared):
            pass

    timings = setting.time_interleaved({"ours": setting.timed(ours), "Captum": setting.timed(theirs)}, budget)
    differences = _differences(setting, model, captum, targets, projections)
    live = len(np.unique(projections.requests.units))
    yield LimitedRow(
        "projection",
        f"{count:,} projections of conv 5 ({live} units, {len(projections.pixels):,} images)",
        timings.seconds["ours"],
        "Captum NeuronDeconvolution, fastest batch size",
        timings.seconds["Captum"],
        Goal(6),
        f"Captum with batches of {captum.batch}, {captum.format}. Captum's images are normalized and on the "
        "device; unitscope's images are copied from host memory, and its projections are copied back. Difference "
        f"of {len(differences)} projections relative to their largest value: median {np.median(differences):.1e}, "
        f"maximum {max(differences):.1e}.",
        {"differences": differences},
        judged=setting.is_cuda,
        limit=LIMIT,
    )
    assert np.median(differences) <= MAX_DIFFERENCE, "the projections of unitscope and Captum differ"


def _best(setting: Setting, model: nn.Module, targets: Targets) -> Captum:
    """Return Captum's fastest batch size and memory format, skipping batches that don't fit in memory."""
    sample = next(iter(targets.batches(setting.sizes.captum_tuning)))
    seconds: dict[Captum, float] = {}
    for batch, format_ in product(setting.sizes.captum_batches, FORMATS):
        variant = Captum(model, CONV5, batch, format_)
        try:
            seconds[variant] = min(variant.seconds(sample) for _ in range(2))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
    return _fastest(seconds)


def _fastest(seconds: Mapping[Captum, float]) -> Captum:
    return min(seconds, key=lambda variant: seconds[variant])


def _differences(
    setting: Setting, model: nn.Module, captum: Captum, targets: Targets, projections: ProjectionInput
) -> list[float]:
    """Return the largest difference from Captum in each of some projections, relative to its largest value."""
    count = len(projections.requests.units)
    chosen = np.linspace(0, count - 1, min(COMPARED, count)).round().astype(int)
    index = torch.from_numpy(chosen).to(targets.units.device)
    few = Targets(*(values[index] for values in vars(targets).values()))
    theirs = [image for batch in captum.attribute(captum.to_batches(few)) for image in batch.cpu().numpy()]
    differences = []
    for number, projection in project(setting, model, CONV5, _chosen(projections, chosen)):
        expected = projection.activation * theirs[number]
        largest = float(np.abs(expected).max()) or 1.0
        difference = np.abs(projection.in_image(*expected.shape[1:]) - expected).max()
        differences.append(float(difference) / largest)
    return differences


def _chosen(projections: ProjectionInput, numbers: np.ndarray) -> ProjectionInput:
    return ProjectionInput(projections.requests.at(numbers), projections.pixels, projections.counts)
