"""Questions about kept maxima, with the file in the system's cache and without."""

from __future__ import annotations

import os
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.setting import CONV5, SIZE, Setting
from benchmarks.threshold_algorithm import sorted_lists, threshold_algorithm
from benchmarks.timing import Goal, Row, Timed, time_interleaved, timed
from unitscope.find.combinations import UnitValues, combined_images
from unitscope.find.maxima import map_maxima, write_maxima
from unitscope.find.nearest import nearest_images
from unitscope.find.selectivity import selectivity
from unitscope.find.similar import correlations
from unitscope.search.search import observe
from unitscope.vocabulary import COMBINATIONS

UNITS, PART, COUNT = 1152, 4096, 20  # units of ZFNet's layers; images of a shard; images to find
FEW, MANY = 4, 64
MEMORY = 64 * 10**6
SAMPLED = 10_000  # images, for the scale of a unit
LIMITS = {"images of 4 units": 0.05, "images of 64 units": 0.3, "like, 64 units": 0.5, "similar, 1 of 1,152": 5.0}
AT_MOST = Goal(1, at_most=True)
METHOD = f"""
Generates a file of maxima, float32, of {UNITS:,} units, skewed as those of trained networks are: powers of
exponentially distributed values, of which some are negative. The questions run through the functions of
`analyze find`, with {MEMORY // 10**6} MB for their arrays; the database is not involved. *Warm*: the file is in
the system's cache. *Cold*: before each question the system is told to drop it (`posix_fadvise`), so that it is
read from the disk. The ratio of a question is that of its time and its limit.

The threshold algorithm reads lists that are sorted by activation, which take another 4 bytes for each unit and
image; making them is not included. The forward pass is that of ZFNet to conv 5, measured with one batch and
multiplied by the number of images.
"""


@dataclass(frozen=True)
class Kept:
    """A file of maxima, and the scale of each unit."""

    path: Path
    images: int
    scales: np.ndarray

    def open(self) -> list[UnitValues]:
        """Map the file again: pages that are mapped stay in the system's cache."""
        maxima = map_maxima(self.path, UNITS, self.images)
        return [UnitValues(values, scale) for values, scale in zip(maxima, self.scales, strict=True)]

    def drop(self) -> None:
        """Remove the file from the system's cache."""
        with self.path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(setting: Setting) -> Iterator[Row]:
    """Yield rows for the questions, the memory, and what keeping maxima costs."""
    images = setting.found
    path = setting.folder / "maxima.npy"
    began = time.perf_counter()
    with path.open("wb") as file:
        write_maxima(file, _parts(images), UNITS, images)
        file.flush()
        os.fsync(file.fileno())
    written = time.perf_counter() - began
    try:
        sample = map_maxima(path, UNITS, images)[:, :SAMPLED]
        kept = Kept(path, images, np.quantile(sample, 0.999, axis=1).astype(np.float32))
        forward = images * _forward_seconds(setting)
        yield from _questions(setting, kept, forward)
        yield from _against_threshold_algorithm(setting, kept)
        yield from _memory(kept)
        generated = _generation_seconds(images)
        yield Row(
            "find",
            f"write {UNITS:,} units x {images:,} images",
            [max(written - generated, 0.0)],
            "forward pass of the images",
            [forward],
            note="4 bytes for each unit and image, and as many in the partial results; without the SHA-256",
        )
        labels = np.random.default_rng(1).integers(0, 20, min(images, 100_000))
        values = np.array(map_maxima(path, UNITS, images)[0, : len(labels)])
        ranked = timed(lambda: selectivity(values, labels))
        seconds = time_interleaved({"selectivity": ranked}, setting.rounds).seconds["selectivity"]
        yield Row("find", f"selectivity of a unit, 20 classes, {len(labels):,} images", seconds)
    finally:
        path.unlink()


def _parts(images: int) -> Iterator[np.ndarray]:
    """Generate the maxima, float32 [some images, units]."""
    random = np.random.default_rng(0)
    scales = random.uniform(0.5, 3, UNITS).astype(np.float32)
    for start in range(0, images, PART):
        part = random.standard_exponential((min(PART, images - start), UNITS), np.float32)
        part *= np.sqrt(part)
        part -= np.float32(0.5)
        part *= scales
        yield part


def _generation_seconds(images: int) -> float:
    """Return the seconds that generating the maxima takes, from some of them."""
    some = min(images, 8 * PART)
    began = time.perf_counter()
    for _ in _parts(some):
        pass
    return (time.perf_counter() - began) * images / some


def _forward_seconds(setting: Setting) -> float:
    """Return the seconds of the forward pass of an image."""
    model = setting.model()
    pixels = torch.rand(32, 3, SIZE, SIZE, device=setting.device).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        run = timed(lambda: observe(model, {CONV5: lambda maps: None}, pixels), setting.device)
        seconds = time_interleaved({"forward pass": run}, 3).seconds["forward pass"]
    return sorted(seconds)[1] / len(pixels)


def _questions(setting: Setting, kept: Kept, forward: float) -> Iterator[Row]:
    questions: dict[str, Callable[[], object]] = {
        "images of 4 units": lambda: combined_images(_chosen(kept, FEW), count=COUNT, memory=MEMORY),
        "images of 64 units": lambda: combined_images(_chosen(kept, MANY), "sum", count=COUNT, memory=MEMORY),
        "like, 64 units": lambda: nearest_images(
            _chosen(kept, MANY), np.ones(MANY, np.float32), count=COUNT, memory=MEMORY
        ),
        "similar, 1 of 1,152": lambda: correlations(
            map_maxima(kept.path, UNITS, kept.images), np.array(kept.open()[7].values), memory=MEMORY
        ),
    }
    for state in ("warm", "cold"):
        for name, question in questions.items():
            variant = timed(question) if state == "warm" else _cold(kept, question)
            seconds = time_interleaved({f"{name}, {state}": variant}, setting.rounds).seconds[f"{name}, {state}"]
            limit = LIMITS[name]
            text = f"limit of {limit:g} s"
            yield Row("find", f"{name}, {state}", seconds, text, [limit] * len(seconds), AT_MOST)
            if state == "warm":
                peer = [forward] * len(seconds)
                yield Row("find", f"{name}, {state}", seconds, "forward pass of the images, extrapolated", peer)


def _cold(kept: Kept, question: Callable[[], object]) -> Callable[[], Timed]:
    def variant() -> Timed:
        kept.drop()
        return timed(question)()

    return variant


def _chosen(kept: Kept, count: int) -> list[UnitValues]:
    """Return every so-manieth unit."""
    return kept.open()[:: UNITS // count][:count]


def _against_threshold_algorithm(setting: Setting, kept: Kept) -> Iterator[Row]:
    for count, combination in ((FEW, COMBINATIONS[0]), (MANY, COMBINATIONS[2])):
        units = _chosen(kept, count)
        everything = slice(0, kept.images)
        values = [unit.normalized(everything) for unit in units]
        lists = sorted_lists(values)
        ours, theirs = f"{combination} of {count} units", f"threshold algorithm, {combination} of {count} units"
        scan = partial(combined_images, units, combination, count=COUNT, memory=MEMORY)
        peer = partial(threshold_algorithm, values, lists, combination, COUNT)
        timings = time_interleaved({ours: timed(scan), theirs: timed(peer)}, setting.rounds)
        if timings.results[ours][0].tolist() != timings.results[theirs].tolist():
            raise RuntimeError("the threshold algorithm found other images")
        note = "the lists are in memory, and take another 4 bytes for each unit and image"
        against = "threshold algorithm over sorted lists"
        seconds = timings.seconds
        yield Row("find", f"images, {ours}, warm", seconds[ours], against, seconds[theirs], note=note)


def _memory(kept: Kept) -> Iterator[Row]:
    """Yield the largest memory of the arrays of a question; that of the mapped file is the system's cache."""
    questions: dict[str, Callable[[], object]] = {
        "images of 64 units": lambda: combined_images(_chosen(kept, MANY), "sum", count=COUNT, memory=MEMORY),
        "like, 64 units": lambda: nearest_images(_chosen(kept, MANY), np.ones(MANY), count=COUNT, memory=MEMORY),
        "similar, 1 of 1,152": lambda: correlations(
            map_maxima(kept.path, UNITS, kept.images), kept.open()[7].values, memory=MEMORY
        ),
    }
    for name, question in questions.items():
        tracemalloc.start()
        question()
        peak = tracemalloc.get_traced_memory()[1] / 10**6
        tracemalloc.stop()
        yield Row("find", f"memory: {name}", [peak], "--memory", [MEMORY / 10**6], AT_MOST, unit="MB")
