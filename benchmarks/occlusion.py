"""Occlusion sweeps compared with Captum and with plain batching."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from benchmarks.captum_occlusion import BATCH_IMAGES, PERTURBATIONS, Captum, LabelledImages, attributed
from benchmarks.setting import CONV5, SIZE, Setting
from benchmarks.timing import Goal, Row, Timed, Variant, time_interleaved, timed
from unitscope.data.images import ImageSource, read_image, to_input
from unitscope.networks import build as networks
from unitscope.networks.initialization import initialize
from unitscope.occlusion.engines import Engine, Full
from unitscope.occlusion.incremental import Incremental
from unitscope.occlusion.occluders import Grid, filling
from unitscope.occlusion.sweep import OcclusionMaps, Sweep

GRID = Grid(SIZE, patch=32, stride=8)
IMAGES, PEER_IMAGES = 8, 4  # per round; a worker sweeps 8 images together, too
BATCHES = (32, 64, 128)  # batch sizes tried for plain batching
MAX_DIFFERENCE, MAX_CAPTUM_DIFFERENCE = 1e-5, 1e-4  # as a share of a map's range
CALIBRATION_IMAGES = 64  # for the statistics of batch normalization
FLOAT64_POSITIONS = 16


@dataclass(frozen=True)
class LargeNetwork:
    """A network for which whole sweeps take too long, so that only some batches are timed."""

    title: str
    network: str
    layer: str
    goal: float
    plain: int  # positions that plain batching runs per round
    batches: Sequence[int]
    classes: int = 20
    size: int = 224
    patch: int = 16
    stride: int = 4
    images: int = 2


LARGE_NETWORKS = (
    LargeNetwork("VGG-16", "vgg16", "features.28", 7.5, plain=128, batches=(8, 16, 32)),
    LargeNetwork("ResNet-18", "resnet18", "layer4.1.conv2", 2.5, plain=384, batches=BATCHES),
)
METHOD = f"""
The images are crops of all classes, in memory as decoded pixels; times are per image. unitscope: a worker's sweep
with the incremental engine, whose plans are made once per job and not timed. It computes three maps: the
activation of the unit that is strongest in the unoccluded image, the probability of the image's class, and the
most probable class. Captum: `Occlusion` of the same normalized images with a grey baseline. It computes one map,
of the class's probability, with the fastest of {", ".join(map(str, PERTURBATIONS))} perturbations per batch,
{" and ".join(map(str, BATCH_IMAGES))} images per batch, and both memory formats. Plain batching: the same sweep
with the engine that runs the whole network on every occluded image, with its fastest batch size. ZFNet: {IMAGES}
images at a time; Captum and plain batching run {PEER_IMAGES} of them, since their time is proportional to the
number of images.

VGG-16 and ResNet-18 (He initialization; batch normalization with the statistics of {CALIBRATION_IMAGES} crops) run
only some batches of a sweep. The incremental engine runs one batch per position group; its time is multiplied by
the number of such batches in a sweep over as many images as a worker sweeps at a time. Plain batching runs batches
with some of the same positions, since its time is proportional to their number.

Where both were computed, the maps agree with those of plain batching to {MAX_DIFFERENCE:.0e} of a map's range, or
to twice the rounding error of plain batching, determined in float64 at {FLOAT64_POSITIONS} positions, if that is
larger. Captum's attributions agree with those computed from unitscope's map to
{MAX_CAPTUM_DIFFERENCE:.0e} of their range.
"""


def measure(setting: Setting) -> Iterator[Row]:
    """Yield two rows for ZFNet, and one for each large network."""
    yield from _zfnet(setting)
    for large in LARGE_NETWORKS:
        yield _large(setting, large)


@dataclass(frozen=True)
class Images:
    """Pixels uint8 [N, 3, H, W], and their classes."""

    pixels: torch.Tensor
    labels: list[int]

    @classmethod
    def spread(cls, sources: Sequence[ImageSource], count: int, size: int) -> Images:
        """Read ``count`` images evenly spaced among the sources, which are ordered by class."""
        chosen = [sources[number] for number in _spread(len(sources), count)]
        pixels = np.stack([read_image(source, size) for source in chosen])
        return cls(torch.from_numpy(pixels).permute(0, 3, 1, 2), [source.label for source in chosen])

    def batches(self, size: int) -> Iterator[Images]:
        for start in range(0, len(self.labels), size):
            yield Images(self.pixels[start : start + size], self.labels[start : start + size])

    def first(self, count: int) -> Images:
        return next(self.batches(count))


def _spread(length: int, count: int) -> np.ndarray:
    """Return ``count`` evenly spaced indices below ``length``, or all if there are fewer."""
    return np.linspace(0, length - 1, min(count, length)).round().astype(int)


def _zfnet(setting: Setting) -> Iterator[Row]:
    model, device = setting.model(), setting.device
    images = Images.spread(setting.crops.sources, IMAGES, SIZE)
    peers = images.first(PEER_IMAGES)
    ours, full = Incremental(model, CONV5, GRID), Full(model, CONV5, GRID)
    exact = Sweep(ours, together=IMAGES, device=device)
    plain = Sweep(full, together=PEER_IMAGES, device=device)
    plain.at_once = _best_batch(full, images.first(1), BATCHES, device)
    labelled = LabelledImages(to_input(peers.pixels, device), torch.tensor(peers.labels, device=device))
    captum = Captum.best(model, GRID, labelled)
    captum_batches = captum.to_batches(labelled)
    timings = time_interleaved(
        {
            "incremental": per_image(timed(lambda: run_sweep(exact, images), device), images),
            "plain": per_image(timed(lambda: run_sweep(plain, peers), device), peers),
            "Captum": per_image(timed(lambda: captum.attribute(captum_batches), device), peers),
        },
        setting.rounds,
    )
    seconds, results = timings.seconds, timings.results
    maps = results["incremental"][:PEER_IMAGES]
    incremental, plain_maps = maps_table(maps), maps_table(results["plain"])
    along = torch.arange(len(GRID.starts))
    every = torch.cartesian_prod(torch.arange(len(peers.labels)), along, along)
    rounding = _rounding(full, peers, [SweepBatch(every[:, 0], every[:, 1:])], incremental, device)
    difference = Difference.of(incremental, plain_maps, rounding)
    captum_difference = _difference_to_captum(maps, torch.cat(results["Captum"]).cpu().numpy())
    work = f"ZFNet {SIZE}, conv 5, {GRID.positions} squares of {GRID.patch} px, per image"
    against_plain = f"plain batching, batches of at most {plain.at_once}"
    yield Row(
        "occlusion", f"occlusion, {work}, three maps", seconds["incremental"],
        "Captum Occlusion, fastest settings, one map", seconds["Captum"], Goal(4.5),
        f"Captum with {captum.perturbations} perturbations of {captum.images_per_batch} images per batch, "
        f"{captum.format}. Its attributions differ from those computed from unitscope's map by at most "
        f"{captum_difference:.1e} of their range.",
        {"difference": captum_difference},
    )  # fmt: skip
    yield Row(
        "occlusion", f"occlusion, {work}", seconds["incremental"], against_plain, seconds["plain"], Goal(4.5),
        f"{ours.multiplications() / full.multiplications():.0%} of the multiplications. {difference}",
        vars(difference),
    )  # fmt: skip


def per_image(variant: Variant, images: Images) -> Variant:
    """Return a variant that divides the time of another one by the number of images."""

    def run() -> Timed:
        total = variant()
        return Timed(total.seconds / len(images.labels), total.result)

    return run


def run_sweep(sweep: Sweep, images: Images) -> list[OcclusionMaps]:
    """Sweep the images in batches, as a worker does."""
    return [
        maps for batch in images.batches(sweep.images_at_once) for maps in sweep.run(batch.pixels, batch.labels)
    ]


def maps_table(maps: Sequence[OcclusionMaps]) -> np.ndarray:
    """Stack maps as float64 [images, 3, positions]: activation, probability, class."""
    rows = [(one.activation.ravel(), one.probability.ravel(), one.classes.ravel()) for one in maps]
    return np.array(rows, np.float64)


@dataclass(frozen=True)
class Difference:
    """The difference between two tables of maps at the positions that both contain.

    ``largest`` is the largest difference as a share of a map's range, ``other_classes`` the number of positions
    with another most probable class, and ``rounding`` the error of plain batching relative to float64.
    """

    largest: float
    other_classes: int
    places: int
    rounding: float

    @classmethod
    def of(cls, ours: np.ndarray, plain: np.ndarray, rounding: float) -> Difference:
        both = ~np.isnan(plain[:, 2])
        assert not np.isnan(ours[:, 2][both]).any()
        largest = float(max_errors(plain, ours, ours).max())
        allowed = max(MAX_DIFFERENCE, 2 * rounding)
        assert largest <= allowed, f"incremental and plain maps differ by {largest} of a map's range"
        return cls(largest, int((ours[:, 2] != plain[:, 2])[both].sum()), int(both.sum()), rounding)

    def __str__(self) -> str:
        maps = f"The maps differ from those of plain batching by at most {self.largest:.1e} of their range"
        classes = f", {self.other_classes} classes differ" if self.other_classes else ""
        rounding = f"; those differ from float64 by {self.rounding:.1e}"
        return f"{maps}{classes} ({self.places:,} positions){rounding}."


def max_errors(maps: np.ndarray, expected: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Return the largest difference of activation and of probability, [images, 2], as a share of the range of the
    ``whole`` map, over the positions that both tables contain."""
    ranges = np.nanmax(whole[:, :2], 2) - np.nanmin(whole[:, :2], 2)
    largest = np.nanmax(np.abs(maps[:, :2] - expected[:, :2]), 2)
    with np.errstate(divide="ignore"):
        return np.divide(largest, ranges, out=np.zeros_like(largest), where=largest > 0)


def _rounding(full: Full, images: Images, parts: Sequence[SweepBatch], ours: np.ndarray, device: str) -> float:
    """Return the largest difference of plain batching from float64 at some positions of ``parts``, as a share of
    the range of our map."""
    exact = Full(copy.deepcopy(full.model).double(), full.layer, full.grid)
    few = _sample(parts, FLOAT64_POSITIONS, FLOAT64_POSITIONS)
    plain, expected = (
        _timed_batches(OcclusionRun(engine, images, device, dtype), few, device)().result
        for engine, dtype in ((full, torch.float32), (exact, torch.float64))
    )
    return float(max_errors(plain, expected, ours).max())


def _difference_to_captum(maps: Sequence[OcclusionMaps], attributions: np.ndarray) -> float:
    """Return the largest difference from Captum's attributions, as a share of their range."""
    differences = []
    for ours, theirs in zip(maps, attributions, strict=True):
        expected = attributed(GRID, ours.clear_probability, ours.probability)
        rows, cols = expected.shape
        differences.append(float(np.abs(theirs[:, :rows, :cols] - expected).max() / np.ptp(expected)))
    largest = max(differences)
    assert largest <= MAX_CAPTUM_DIFFERENCE, f"unitscope and Captum differ by {largest} of the map's range"
    return largest


def _large(setting: Setting, large: LargeNetwork) -> Row:
    device, grid = setting.device, Grid(large.size, large.patch, large.stride)
    model = _network(setting, large)
    images = Images.spread(setting.crops.sources, large.images, large.size)
    ours, full = Incremental(model, large.layer, grid), Full(model, large.layer, grid)
    share = ours.multiplications() / full.multiplications()
    sweep = Sweep(ours, together=IMAGES, device=device)
    kinds = _one_batch_per_group(sweep, len(images.labels))
    batch = _best_batch(full, images, large.batches, device)
    plain_batches = [
        SweepBatch(part.images, part.positions, grid.positions / large.plain)
        for part in _sample(kinds, large.plain, batch)
    ]
    timings = time_interleaved(
        {
            "incremental": _timed_batches(OcclusionRun(ours, images, device), kinds, device),
            "plain": _timed_batches(OcclusionRun(full, images, device), plain_batches, device),
        },
        setting.rounds,
    )
    incremental, plain = timings.results["incremental"], timings.results["plain"]
    rounding = _rounding(full, images, plain_batches, incremental, device)
    difference = Difference.of(incremental, plain, rounding)
    return Row(
        "occlusion",
        f"occlusion, {large.title} {large.size}, {large.layer}, {grid.positions:,} squares of {grid.patch} px, "
        "per image",
        timings.seconds["incremental"],
        f"plain batching, batches of {batch}",
        timings.seconds["plain"],
        Goal(large.goal),
        f"Extrapolated from {len(kinds)} batches of at most {sweep.at_once}, one per position group, to a sweep "
        f"over {sweep.together} images; plain batching from {large.plain} of these positions. "
        f"{share:.0%} of the multiplications. {difference}",
        {"places_timed": sum(len(part.images) for part in kinds), **vars(difference)},
    )


def _network(setting: Setting, large: LargeNetwork) -> nn.Module:
    torch.manual_seed(0)
    model = networks.build(large.network, large.classes, large.size)
    initialize(model, "he")
    model = model.to(setting.device, memory_format=torch.channels_last)
    return calibrated(model, setting.crops.sources, large.size, setting.device)


def calibrated(model: nn.Module, sources: Sequence[ImageSource], size: int, device: str) -> nn.Module:
    """Set the statistics of batch normalization from some images, and return the model in evaluation mode.

    Without them, a ResNet's maps grow from block to block, and the probability of all classes but one is zero.
    """
    normalized = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    if normalized:
        for module in normalized:
            module.momentum = 1.0
        images = Images.spread(sources, CALIBRATION_IMAGES, size)
        with torch.no_grad():
            model.train()(to_input(images.pixels, device))
    return model.eval()


@dataclass(frozen=True)
class SweepBatch:
    """A batch of a sweep: the image index, int64 [N], and the position, int64 [N, 2], of each item.

    ``repeats`` is the number of batches of the same cost that a sweep has per image.
    """

    images: torch.Tensor
    positions: torch.Tensor
    repeats: float = 1.0


def _one_batch_per_group(sweep: Sweep, images: int) -> list[SweepBatch]:
    """Return one batch per position group, with positions of ``images`` images."""
    engine, together = sweep.engine, sweep.together
    along = torch.arange(len(engine.grid.starts))
    every = torch.cartesian_prod(torch.arange(images), along, along)
    kinds = engine.groups(every[:, 1:])
    result = []
    for kind in kinds.unique().tolist():
        of_kind = every[kinds == kind]
        size = sweep.batch_size(len(of_kind) // images)
        items = of_kind[torch.from_numpy(_spread(len(of_kind), size))]
        items = torch.cat([items, items[-1:].expand(size - len(items), -1)])  # repeated, for lack of images
        batches = math.ceil(len(of_kind) // images * together / size)
        result.append(SweepBatch(items[:, 0], items[:, 1:], batches / together))
    return result


def _sample(parts: Sequence[SweepBatch], count: int, batch: int) -> list[SweepBatch]:
    """Choose ``count`` items of the batches, evenly spaced, and return them in batches of size ``batch``."""
    every = torch.cat([torch.cat([part.images[:, None], part.positions], 1) for part in parts]).unique(dim=0)
    assert len(every) >= count
    assert count % batch == 0
    chosen = every[torch.from_numpy(_spread(len(every), count))]
    return [SweepBatch(items[:, 0], items[:, 1:]) for items in chosen.split(batch)]


class OcclusionRun:
    """Images prepared for an engine, with their unoccluded activations, to run single batches of a sweep."""

    @torch.inference_mode()
    def __init__(self, engine: Engine, images: Images, device: str, dtype: torch.dtype = torch.float32) -> None:
        self.engine, self.count = engine, len(images.labels)
        self.filled = to_input(filling(images.pixels, "grey", engine.grid.patch), device).to(dtype)
        self.clear = engine.clear(to_input(images.pixels, device).to(dtype))
        self.units = self.clear.rectified_sums.argmax(1)
        self.labels = torch.tensor(images.labels, device=device)

    @torch.inference_mode()
    def run(self, part: SweepBatch) -> np.ndarray:
        """Run a batch; returns float64 [N, 3]: activation, probability, class."""
        sums, outputs = self.engine.run(self.clear, self.filled, part.images, part.positions, self.units)
        labels = self.labels[part.images.to(self.labels.device)]
        probabilities = outputs.double().softmax(1).gather(1, labels[:, None])
        return torch.cat([sums[:, None], probabilities, outputs.argmax(1)[:, None]], 1).cpu().numpy()


def _timed_batches(occluded: OcclusionRun, parts: Sequence[SweepBatch], device: str) -> Variant:
    """Return a variant that runs the batches; its time is per image, its result a table with NaN at positions that
    were not run."""
    side = len(occluded.engine.grid.starts)

    def variant() -> Timed:
        seconds = 0.0
        table = np.full((occluded.count, 3, side, side), np.nan)
        for part in parts:
            timed_run = timed(lambda part=part: occluded.run(part), device)()
            seconds += part.repeats * timed_run.seconds
            rows, cols = part.positions.T.numpy()
            table[part.images.numpy(), :, rows, cols] = timed_run.result
        return Timed(seconds, table.reshape(occluded.count, 3, -1))

    return variant


def _best_batch(full: Full, images: Images, batches: Sequence[int], device: str) -> int:
    """Return the fastest of the batch sizes for plain batching."""
    side, most = len(full.grid.starts), max(batches)
    numbers = torch.from_numpy(_spread(side * side, most))
    every = SweepBatch(torch.zeros_like(numbers), torch.stack([numbers // side, numbers % side], 1))
    occluded = OcclusionRun(full, images, device)
    variants = {batch: _timed_batches(occluded, _sample([every], most, batch), device) for batch in batches}
    return min(batches, key=lambda batch: min(variants[batch]().seconds for _ in range(2)))
