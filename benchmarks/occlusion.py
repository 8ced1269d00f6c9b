"""Occlusion sweeps against Captum's, against plain batching, and the approximate one."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from benchmarks.captum_occlusion import PERTURBATIONS, TOGETHER, Captum, Labelled, attributed
from benchmarks.measuring import Goal, Row, Timed, Way, in_turn, timed
from benchmarks.setting import CONV5, SIZE, Setting
from unitscope.data.images import ImageSource, read_image, to_input
from unitscope.networks import build as networks
from unitscope.networks.initialization import initialise
from unitscope.occlusion.engines import Engine, Full
from unitscope.occlusion.incremental import Incremental
from unitscope.occlusion.occluders import Grid, filling
from unitscope.occlusion.sweep import OcclusionMaps, Sweep

GRID = Grid(SIZE, patch=32, stride=8)
OURS, PEERS = 8, 4  # images in a round
TOLERANCE, APPROXIMATED = 0.02, 64  # images
BATCHES = (32, 64, 128)  # of plain batching
SAME, SAME_AS_CAPTUM = 1e-5, 1e-4  # of a map's range
CALIBRATED_ON = 64  # images, for batch normalisation
IN_FLOAT64 = 16  # places


@dataclass(frozen=True)
class Large:
    """A network that is too slow for whole images."""

    title: str
    network: str
    layer: str
    goal: float
    plain: int  # places that plain batching runs in a round
    batches: Sequence[int]
    classes: int = 20
    size: int = 224
    patch: int = 16
    stride: int = 4
    images: int = 2


LARGE = (
    Large("VGG-16", "vgg16", "features.28", 4, plain=128, batches=(8, 16, 32)),
    Large("ResNet-18", "resnet18", "layer4.1.conv2", 2, plain=384, batches=BATCHES),
)
HOW = f"""
Crops spread over the classes, in memory as decoded pixels; times are for one image. Ours: a worker's sweep with
the incremental engine, whose plans were made before, once for all images of a job. It makes three maps: how much
the unit that fires most in the clear image still fires, how probable the image's class is, and which class is the
most probable. Captum: `Occlusion` with grey as baseline of the same normalised images; it makes one map, of the
class's probability; the best of {", ".join(map(str, PERTURBATIONS))} perturbations in a batch, of
{" and ".join(map(str, TOGETHER))} images at once, and of both memory formats. Plain batching: the same sweep with
the engine that runs every occluded image as a whole, with its best batch. ZFNet: {OURS} images at once; Captum and
plain batching on {PEERS} of them, since their time is in proportion.

VGG-16 and ResNet-18 (He initialisation; batch normalisation with the statistics of {CALIBRATED_ON} crops) run
batches of a sweep: the incremental engine one of each kind of places, its time taken as often as a sweep has such
batches, over as many images as a worker sweeps at once; plain batching whole batches of some of the same places,
since its time is in proportion.

All maps are those of plain batching, where both computed them: to {SAME:.0e} of a map's range, or, if rounding is
more, to twice what plain batching itself is off from float64 (VGG-16 and ResNet-18, on {IN_FLOAT64} places). What
Captum attributes to pixels follows from our map, to {SAME_AS_CAPTUM:.0e} of its range.
"""


def measure(setting: Setting) -> Iterator[Row]:
    """The rows of the table."""
    yield from _zfnet(setting)
    for large in LARGE:
        yield _large(setting, large)


@dataclass(frozen=True)
class Images:
    """Pixels uint8 [N, 3, H, W], and their classes."""

    pixels: torch.Tensor
    labels: list[int]

    @classmethod
    def spread(cls, sources: Sequence[ImageSource], count: int, size: int) -> Images:
        """So many, from all of the sources: they are in the order of their classes."""
        chosen = [sources[number] for number in _spread(len(sources), count)]
        pixels = np.stack([read_image(source, size) for source in chosen])
        return cls(torch.from_numpy(pixels).permute(0, 3, 1, 2), [source.label for source in chosen])

    def batches(self, size: int) -> Iterator[Images]:
        for start in range(0, len(self.labels), size):
            yield Images(self.pixels[start : start + size], self.labels[start : start + size])

    def first(self, count: int) -> Images:
        return next(self.batches(count))


def _spread(length: int, count: int) -> np.ndarray:
    """So many of the numbers up to ``length``, or all."""
    return np.linspace(0, length - 1, min(count, length)).round().astype(int)


def _zfnet(setting: Setting) -> Iterator[Row]:
    model, device = setting.model(), setting.device
    approximated = Images.spread(setting.crops.sources, APPROXIMATED, SIZE)
    images = Images.spread(setting.crops.sources, OURS, SIZE)
    peers = images.first(PEERS)
    ours, full = Incremental(model, CONV5, GRID), Full(model, CONV5, GRID)
    exact, plain = Sweep(ours, device=device), Sweep(full, device=device)
    approximate = Sweep(ours, tolerance=TOLERANCE, device=device)
    plain.at_once = _best_batch(full, images.first(1), BATCHES, device)
    labelled = Labelled(to_input(peers.pixels, device), torch.tensor(peers.labels, device=device))
    captum = Captum.best(model, GRID, labelled)
    prepared = captum.prepared(labelled)
    turns = in_turn(
        {
            "incremental": _by_image(timed(lambda: swept(exact, images), device), images),
            "approximate": _by_image(timed(lambda: swept(approximate, images), device), images),
            "plain": _by_image(timed(lambda: swept(plain, peers), device), peers),
            "Captum": _by_image(timed(lambda: captum.attribute(prepared), device), peers),
        },
        setting.rounds,
    )
    seconds, found = turns.seconds, turns.results
    same = Difference.of(table_of(found["incremental"][:PEERS]), table_of(found["plain"]))
    theirs = _difference_to_captum(found["incremental"][:PEERS], torch.cat(found["Captum"]).cpu().numpy())
    work = f"ZFNet {SIZE}, conv 5, {GRID.places} squares of {GRID.patch}, an image"
    against_plain = f"plain batching, batches of {plain.at_once}"
    yield Row(
        "occlusion", f"occlusion, {work}, three maps", seconds["incremental"],
        "Captum's Occlusion, at its best, one map", seconds["Captum"], Goal(6),
        f"Captum with {captum.perturbations} perturbations of {captum.together} images in a batch, "
        f"{captum.format}. What it attributes is what our map says, to {theirs:.1e} of its range.",
        {"difference": theirs},
    )  # fmt: skip
    yield Row(
        "occlusion", f"occlusion, {work}", seconds["incremental"], against_plain, seconds["plain"], Goal(4),
        f"{ours.multiplications() / full.multiplications():.0%} of the multiplications. {same}", vars(same),
    )  # fmt: skip
    accuracy = Accuracy.of(swept(approximate, approximated), swept(exact, approximated))
    yield Row(
        "occlusion", f"approximate occlusion ({TOLERANCE}), {work}", seconds["approximate"], against_plain,
        seconds["plain"], Goal(12), str(accuracy), vars(accuracy),
    )  # fmt: skip


def _by_image(way: Way, images: Images) -> Way:
    """The way, its time by the image."""

    def by_image() -> Timed:
        found = way()
        return Timed(found.seconds / len(images.labels), found.result)

    return by_image


def swept(sweep: Sweep, images: Images) -> list[OcclusionMaps]:
    """As a worker does it."""
    return [
        maps for batch in images.batches(sweep.images_at_once) for maps in sweep.run(batch.pixels, batch.labels)
    ]


def table_of(found: Sequence[OcclusionMaps]) -> np.ndarray:
    """float64 [images, 3, places]: activation, probability, class."""
    maps = [(of.activation.ravel(), of.probability.ravel(), of.classes.ravel()) for of in found]
    return np.array(maps, np.float64)


@dataclass(frozen=True)
class Difference:
    """Of two tables of maps, where both have a place: the largest, in shares of a map's range, and how many most
    probable classes are others. ``rounding`` is what plain batching is off from float64, if that was looked at."""

    largest: float
    other_classes: int
    places: int
    rounding: float | None

    @classmethod
    def of(cls, ours: np.ndarray, plain: np.ndarray, rounding: float | None = None) -> Difference:
        both = ~np.isnan(plain[:, 2])
        assert not np.isnan(ours[:, 2][both]).any()
        largest = float(errors_of(plain, ours, ours).max())
        allowed = max(SAME, 2 * (rounding or 0))
        assert largest <= allowed, f"ours and plain batching differ by {largest} of a map's range"
        return cls(largest, int((ours[:, 2] != plain[:, 2])[both].sum()), int(both.sum()), rounding)

    def __str__(self) -> str:
        of = f"The maps differ from plain batching's by at most {self.largest:.1e} of their range"
        classes = f", {self.other_classes} of the classes are others" if self.other_classes else ""
        rounding = f"; those are off from float64 by {self.rounding:.1e}" if self.rounding is not None else ""
        return f"{of}{classes} ({self.places:,} places){rounding}."


def errors_of(found: np.ndarray, right: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """[images, 2]: of activation and probability, the largest difference in shares of the ``whole`` map's range,
    at the places that both have."""
    ranges = np.nanmax(whole[:, :2], 2) - np.nanmin(whole[:, :2], 2)
    largest = np.nanmax(np.abs(found[:, :2] - right[:, :2]), 2)
    with np.errstate(divide="ignore"):
        return np.divide(largest, ranges, out=np.zeros_like(largest), where=largest > 0)


def _difference_to_captum(found: Sequence[OcclusionMaps], attributions: np.ndarray) -> float:
    """The largest, in shares of the attributions' range."""
    wrong = []
    for of, theirs in zip(found, attributions, strict=True):
        expected = attributed(GRID, of.clear_probability, of.probability)
        rows, cols = expected.shape
        wrong.append(float(np.abs(theirs[:, :rows, :cols] - expected).max() / np.ptp(expected)))
    assert max(wrong) <= SAME_AS_CAPTUM, f"ours and Captum's differ by {max(wrong)} of the map's range"
    return max(wrong)


@dataclass(frozen=True)
class Accuracy:
    """Of approximate maps, by image: the largest error of any place, in shares of the exact map's range."""

    errors: list[float]
    computed: float  # share of the places

    @classmethod
    def of(cls, approximate: Sequence[OcclusionMaps], exact: Sequence[OcclusionMaps]) -> Accuracy:
        right = table_of(exact)
        errors = errors_of(table_of(approximate), right, right).max(1)
        return cls(errors.tolist(), float(np.mean([maps.computed.mean() for maps in approximate])))

    def __str__(self) -> str:
        errors = np.array(self.errors)
        return (
            f"{(errors <= TOLERANCE).sum()} of {len(errors)} images are within {TOLERANCE} of the exact maps' "
            f"range at every place (largest error of an image: {np.median(errors):.3f} in the median, "
            f"{errors.max():.3f} at most); {self.computed:.0%} of the places were computed."
        )


def _large(setting: Setting, large: Large) -> Row:
    device, grid = setting.device, Grid(large.size, large.patch, large.stride)
    model = _network(setting, large)
    images = Images.spread(setting.crops.sources, large.images, large.size)
    ours, full = Incremental(model, large.layer, grid), Full(model, large.layer, grid)
    share, sweep = ours.multiplications() / full.multiplications(), Sweep(ours, device=device)
    kinds = _a_batch_of_each_kind(ours, len(images.labels), sweep.at_once, sweep.images_at_once)
    batch = _best_batch(full, images, large.batches, device)
    some = _some(kinds, large.plain, batch)
    some = [Part(part.images, part.places, grid.places / large.plain) for part in some]
    turns = in_turn(
        {
            "incremental": _in_parts(Occluded(ours, images, device), kinds, device),
            "plain": _in_parts(Occluded(full, images, device), some, device),
        },
        setting.rounds,
    )
    found, plain = turns.results["incremental"], turns.results["plain"]
    full = Full(copy.deepcopy(model).double(), large.layer, grid)
    few = _some(some, IN_FLOAT64, IN_FLOAT64)
    exact = _in_parts(Occluded(full, images, device, torch.float64), few, device)().result
    same = Difference.of(found, plain, float(errors_of(plain, exact, found).max()))
    return Row(
        "occlusion",
        f"occlusion, {large.title} {large.size}, {large.layer}, {grid.places:,} squares of {grid.patch}, an image",
        turns.seconds["incremental"],
        f"plain batching, batches of {batch}",
        turns.seconds["plain"],
        Goal(large.goal),
        f"Scaled: timed on {len(kinds)} batches of {sweep.at_once}, one of each kind, for a sweep over "
        f"{sweep.images_at_once} images at once; plain batching on {large.plain} of these places. "
        f"{share:.0%} of the multiplications. {same}",
        {"places_timed": sum(len(part.images) for part in kinds), **vars(same)},
    )


def _network(setting: Setting, large: Large) -> nn.Module:
    torch.manual_seed(0)
    model = networks.build(large.network, large.classes, large.size)
    initialise(model, "he")
    model = model.to(setting.device, memory_format=torch.channels_last)
    return calibrated(model, setting.crops.sources, large.size, setting.device)


def calibrated(model: nn.Module, sources: Sequence[ImageSource], size: int, device: str) -> nn.Module:
    """The model for evaluation, its batch normalisation with the statistics of some images: without them a
    ResNet's maps grow from block to block, and all classes but one have no probability."""
    normalised = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    if normalised:
        for module in normalised:
            module.momentum = 1.0
        images = Images.spread(sources, CALIBRATED_ON, size)
        with torch.no_grad():
            model.train()(to_input(images.pixels, device))
    return model.eval()


@dataclass(frozen=True)
class Part:
    """A batch of a sweep: of which image each is, int64 [N], and its place, int64 [N, 2]. ``times`` is how many
    that take as long a sweep has for each image."""

    images: torch.Tensor
    places: torch.Tensor
    times: float = 1.0


def _a_batch_of_each_kind(engine: Incremental, images: int, at_once: int, together: int) -> list[Part]:
    """Of places of these images, for sweeps of so many images ``together``."""
    along = torch.arange(len(engine.grid.starts))
    every = torch.cartesian_prod(torch.arange(images), along, along)
    kinds = engine.kinds(every[:, 1:])
    parts = []
    for kind in kinds.unique().tolist():
        of_kind = every[kinds == kind]
        some = of_kind[torch.from_numpy(_spread(len(of_kind), at_once))]
        some = torch.cat([some, some[-1:].expand(at_once - len(some), -1)])  # as a sweep does it
        batches = math.ceil(len(of_kind) // images * together / at_once)
        parts.append(Part(some[:, 0], some[:, 1:], batches / together))
    return parts


def _some(parts: Sequence[Part], count: int, batch: int) -> list[Part]:
    """So many places of these, in batches."""
    every = torch.cat([torch.cat([part.images[:, None], part.places], 1) for part in parts]).unique(dim=0)
    assert len(every) >= count
    assert count % batch == 0
    chosen = every[torch.from_numpy(_spread(len(every), count))]
    return [Part(some[:, 0], some[:, 1:]) for some in chosen.split(batch)]


class Occluded:
    """Images that an engine has run unoccluded, of which it can run parts of a sweep."""

    @torch.inference_mode()
    def __init__(self, engine: Engine, images: Images, device: str, dtype: torch.dtype = torch.float32) -> None:
        self.engine, self.count = engine, len(images.labels)
        self.filled = to_input(filling(images.pixels, "grey", engine.grid.patch), device).to(dtype)
        self.clear = engine.clear(to_input(images.pixels, device).to(dtype))
        self.units = self.clear.rectified_sums.argmax(1)
        self.labels = torch.tensor(images.labels, device=device)

    @torch.inference_mode()
    def run(self, part: Part) -> np.ndarray:
        """float64 [N, 3]: activation, probability, class."""
        sums, outputs = self.engine.run(self.clear, self.filled, part.images, part.places, self.units)
        labels = self.labels[part.images.to(self.labels.device)]
        probabilities = outputs.double().softmax(1).gather(1, labels[:, None])
        return torch.cat([sums[:, None], probabilities, outputs.argmax(1)[:, None]], 1).cpu().numpy()


def _in_parts(occluded: Occluded, parts: Sequence[Part], device: str) -> Way:
    """The way that runs parts; its time is for an image, its result a table with gaps."""
    side = len(occluded.engine.grid.starts)

    def way() -> Timed:
        seconds = 0.0
        table = np.full((occluded.count, 3, side, side), np.nan)
        for part in parts:
            found = timed(lambda part=part: occluded.run(part), device)()
            seconds += part.times * found.seconds
            rows, cols = part.places.T.numpy()
            table[part.images.numpy(), :, rows, cols] = found.result
        return Timed(seconds, table.reshape(occluded.count, 3, -1))

    return way


def _best_batch(full: Full, images: Images, batches: Sequence[int], device: str) -> int:
    """The fastest of these, of plain batching on some places."""
    side, most = len(full.grid.starts), max(batches)
    numbers = torch.from_numpy(_spread(side * side, most))
    every = Part(torch.zeros_like(numbers), torch.stack([numbers // side, numbers % side], 1))
    occluded = Occluded(full, images, device)
    ways = {batch: _in_parts(occluded, _some([every], most, batch), device) for batch in batches}
    return min(batches, key=lambda batch: min(ways[batch]().seconds for _ in range(2)))
