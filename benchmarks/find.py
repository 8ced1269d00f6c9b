"""Questions about kept maxima, with the file in the system's cache and without."""

from __future__ import annotations

import os
import shutil
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from benchmarks.search import layer_units
from benchmarks.setting import BATCH, CONV5, LAYERS, SIZE, TOP, Setting
from benchmarks.threshold_algorithm import sorted_lists, threshold_algorithm
from benchmarks.timing import Goal, Row, Timed, time_interleaved, timed
from shared.store.store import Store
from unitscope.data.images import Batch, ImageSource
from unitscope.find.combinations import UnitValues, combined_images
from unitscope.find.maxima import map_maxima, write_maxima
from unitscope.find.nearest import nearest_images
from unitscope.find.selectivity import selectivity
from unitscope.find.similar import correlations
from unitscope.search.search import observe, search
from unitscope.search.statistics import tied, unit_statistics
from unitscope.vocabulary import COMBINATIONS
from worker.kinds.top9.merging import file_of_maxima

UNITS, PART, COUNT = 1152, 4096, 20  # units of ZFNet's layers; images of a shard; images to find
FEW, MANY = 4, 64
MEMORY = 64 * 10**6
SAMPLED = 10_000  # images, for the scale of a unit
LEAST_SECONDS = 1e-3  # a shorter difference of two times is noise
SEARCHED = 320  # images of the search with and without kept maxima
READ_AT_ONCE = 8 * 2**20  # bytes
LIMITS = {"images of 4 units": 0.05, "images of 64 units": 0.3, "like, 64 units": 0.5, "similar, 1 of 1,152": 5.0}
AT_MOST = Goal(1, at_most=True)
METHOD = f"""
Generates a file of maxima, float32, of {UNITS:,} units, skewed as those of trained networks are: powers of
exponentially distributed values, of which some are negative. The questions run through the functions of
`analyze find`, with {MEMORY // 10**6} MB for their arrays; the database is not involved. *Warm*: the file is in
the system's cache. *Cold*: before each question the system is told to drop it (`posix_fadvise`), so that it is
read from the disk. The ratio of a question is that of its time and its limit. What bounds a cold question is the
disk: in the same rounds, as many bytes as the question needs are read from the start of the file, in one piece and
without computing anything.

The search with and without kept maxima is that of {SEARCHED} generated images by all five layers of ZFNet, with
the statistics and the file of maxima, which is written to the store, or to a temporary file that is removed
(`--no-maxima`). Reading images, drawing pictures, and the database are not involved.

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
        yield _search_row(setting)
        generated = _generation_seconds(images)
        yield Row(
            "find",
            f"write {UNITS:,} units x {images:,} images",
            [max(written - generated, LEAST_SECONDS)],
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
    units_read = {"images of 4 units": FEW, "images of 64 units": MANY, "like, 64 units": MANY}
    for name, question in questions.items():
        work, limit = f"{name}, warm", LIMITS[name]
        seconds = time_interleaved({work: timed(question)}, setting.rounds).seconds[work]
        yield Row("find", work, seconds, f"limit of {limit:g} s", [limit] * len(seconds), AT_MOST)
        peer = [forward] * len(seconds)
        yield Row("find", work, seconds, "forward pass of the images, extrapolated", peer)
    for name, question in questions.items():
        work, limit = f"{name}, cold", LIMITS[name]
        needed = 4 * kept.images * units_read.get(name, UNITS)
        reading = _cold(kept, partial(_read, kept.path, needed))
        timings = time_interleaved(
            {work: _cold(kept, question), f"{work}, reading alone": reading}, setting.rounds
        )
        seconds, alone = timings.seconds.values()
        speed = needed / float(np.median(alone))
        note = (
            f"needs {needed / 10**6:,.0f} MB of the disk, which reads {speed / 10**6:,.0f} MB/s: at least "
            f"{np.median(alone):.3g} s"
        )
        details = {"bytes": needed, "disk_bytes_per_second": speed}
        yield Row("find", work, seconds, f"limit of {limit:g} s", [limit] * len(seconds), AT_MOST, note, details)
        yield Row("find", work, seconds, "reading as many bytes in one piece, cold", alone, details=details)


def _cold(kept: Kept, question: Callable[[], object]) -> Callable[[], Timed]:
    def variant() -> Timed:
        kept.drop()
        return timed(question)()

    return variant


def _read(file: Path, count: int) -> None:
    """Read bytes from the start of a file, without keeping them."""
    buffer = memoryview(bytearray(READ_AT_ONCE))
    with file.open("rb", buffering=0) as opened:
        while count > 0:
            got = opened.readinto(buffer[: min(count, READ_AT_ONCE)])
            if not got:
                raise RuntimeError(f"{file} is too short")
            count -= got


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


def _search_row(setting: Setting) -> Row:
    """Return the row of a search of generated images that keeps its maxima, and the same without."""
    model, folder, random = setting.model(), setting.folder / "store", np.random.default_rng(2)
    layers = layer_units(model, list(LAYERS.values()))
    pixels = torch.from_numpy(random.integers(0, 256, (SEARCHED, 3, SIZE, SIZE), np.uint8))
    batches = [
        Batch(
            pixels[at : at + BATCH],
            [ImageSource(number, folder) for number in range(at, min(at + BATCH, SEARCHED))],
        )
        for at in range(0, SEARCHED, BATCH)
    ]

    def whole(keep: bool) -> None:
        for result in search(model, layers, batches, TOP, setting.device).values():
            images, units = result.maxima.shape
            with file_of_maxima(Store(folder), [result.maxima], units, images, keep) as (file, _):
                maxima = map_maxima(file, units, images).T
                tied(maxima, result.top.activation)
                unit_statistics(maxima)

    def variant(keep: bool) -> Timed:
        shutil.rmtree(folder, ignore_errors=True)  # of files that exist, the store writes no second one
        folder.mkdir()
        return timed(partial(whole, keep), setting.device)()

    names = ("kept", "not kept")
    timings = time_interleaved(
        {name: partial(variant, keep) for name, keep in zip(names, (True, False), strict=True)}, setting.rounds
    )
    shutil.rmtree(folder)
    work = f"search of {SEARCHED} images by five layers, maxima kept"
    note = f"keeps {4 * sum(map(len, layers.values())):,} bytes of each image"
    return Row(
        "find", work, timings.seconds["kept"], "the same, maxima not kept", timings.seconds["not kept"], note=note
    )


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
