"""A small home with jobs of several kinds: real image files, rows, maxima and maps of random numbers."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture

from producer.gallery.page import Gallery
from shared.database.catalogue import FoundDataset, FoundImage, register
from shared.database.connection import Database
from shared.database.networks import Checkpoint, Network, TrainingRun
from shared.jobs.tables import Job, JobState, Shard, ShardState
from shared.kinds.filters.specification import ChosenFilters, ChosenLayer, FiltersSpecification
from shared.kinds.filters.tables import FilterLayer, FiltersJob
from shared.kinds.occlusion.specification import OcclusionSpecification
from shared.kinds.occlusion.tables import OcclusionMap
from shared.kinds.specification import Specification
from shared.kinds.top9.specification import SearchedLayerSpecification, Top9Specification
from shared.kinds.top9.tables import SearchedLayer, SearchedUnit, TopActivation, UnitStatistics
from shared.kinds.train.specification import TrainSpecification
from shared.kinds.train.tables import Answer, Epoch
from shared.settings import Settings, sqlite_url
from shared.store.store import Store
from unitscope.description import NetworkSpecification
from unitscope.training.recipes import Recipe

IMAGES, UNITS, SIDE = 12, 4, 64
DONE_RUN, RUNNING_RUN, SEARCH, SWEEP, FILTERS, OTHER_SEARCH = range(1, 7)
CLASSES = ("circle", "square", "star")
NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
STARTS = list(range(0, 49, 8))  # of a square of 16 pixels
WEIGHTS = {"weights_sha256": "a" * 64, "weights_path": f"aa/{'a' * 64}.safetensors"}


def build(root: Path, template: Path, names: Sequence[str] = CLASSES) -> Gallery:
    """Make a home in ``root``; data set, network, layers and classes are called by ``names``."""
    root.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(template, root / "unitscope.sqlite3")
    database = Database(sqlite_url(root / "unitscope.sqlite3"))
    gallery = Gallery(Settings(home=root), database, Store(root / "store"))
    _add_dataset(gallery, root / "data", names)
    network = NetworkSpecification(name=names[0], classes=len(names), image_size=SIDE)
    with database.write() as session:
        session.add(Network(key="b" * 64, name=names[0], description={}))
    _add_run(gallery, DONE_RUN, network, names, epochs=3, done=True)
    _add_run(gallery, RUNNING_RUN, network, names, epochs=1, done=False)
    _add_search(gallery, SEARCH, network, names)
    _add_search(gallery, OTHER_SEARCH, network, names, keeps=False)
    _add_sweep(gallery, network, names)
    _add_filters(gallery, network, names)
    return gallery


def picture(gallery: Gallery, seed: int = 0, side: int = 24) -> str:
    """Store a PNG file and return its path."""
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    Picture.fromarray(pixels).save(buffer, "PNG")
    return gallery.store.put(buffer.getvalue(), ".png").path


def _add_dataset(gallery: Gallery, root: Path, names: Sequence[str]) -> None:
    root.mkdir()
    images = []
    for number in range(IMAGES):
        pixels = np.random.default_rng(number).integers(0, 256, (30, 40, 3), np.uint8)
        Picture.fromarray(pixels).save(root / f"{number}.png")
        sha256 = hashlib.sha256((root / f"{number}.png").read_bytes()).hexdigest()
        of = number % len(names)
        split = ("val",) if number < IMAGES - 2 else ("train",)
        images.append(FoundImage(f"{number}.png", 0, of, names[of], 40, 30, None, sha256, split))
    found = FoundDataset("folder", str(root), {"splits": ["val"]}, list(names), images, fingerprint="f" * 64)
    register(gallery.database, names[0], found)


def add_job(gallery: Gallery, job_id: int, specification: Specification, state: JobState = JobState.DONE) -> None:
    """Add a job with one shard."""
    left = int(state != JobState.DONE)
    with gallery.database.write() as session:
        session.add(
            Job(
                id=job_id, kind=specification.kind, key=f"{job_id}".rjust(64, "0"), dataset_id=1, state=state,
                specification=specification.model_dump(mode="json"), shards_total=1, shards_left=left,
                started_at=NOW, finished_at=NOW if state == JobState.DONE else None,
            )
        )  # fmt: skip
        session.flush()
        state_of_shard = ShardState.DONE if state == JobState.DONE else ShardState.QUEUED
        session.add(
            Shard(
                job_id=job_id, stage=0, stage_name="train", number=0, queue="training", payload={},
                state=state_of_shard, work_total=10,
            )
        )  # fmt: skip


def _common(network: NetworkSpecification) -> dict[str, Any]:
    return {"dataset_id": 1, "dataset_fingerprint": "f" * 64, "network": network}


def _add_run(
    gallery: Gallery, job_id: int, network: NetworkSpecification, names: Sequence[str], epochs: int, *, done: bool
) -> None:
    specification = TrainSpecification(
        **_common(network), recipe_name=names[1], recipe=Recipe(epochs=3, learning_rate=0.01 * job_id),
        train_count=2, val_count=IMAGES - 2, seed=job_id,
    )  # fmt: skip
    add_job(gallery, job_id, specification, JobState.DONE if done else JobState.RUNNING)
    with gallery.database.write() as session:
        drawn = picture(gallery, 7)
        session.add(
            TrainingRun(
                job_id=job_id, dataset_id=1, network_key="b" * 64, network=names[0], epochs=3,
                best_epoch=epochs, best_accuracy=0.25 * epochs, curves_path=drawn if done else None,
                filters_path=drawn if done else None,
            )
        )  # fmt: skip
        for epoch in range(1, epochs + 1):
            for phase, offset in (("train", 0.0), ("val", 0.1)):
                session.add(
                    Epoch(
                        job_id=job_id, epoch=epoch, phase=phase, loss=2 / epoch + offset, accuracy=0.25 * epoch,
                        learning_rate=0.01, images=10, seconds=2.0, class_accuracy=0.2 if offset else None,
                    )
                )  # fmt: skip
        if not done:
            return
        for true, name in enumerate(names):
            for answer, images in ((true, 3), ((true + 1) % len(names), 1)):
                session.add(
                    Answer(
                        job_id=job_id, true_index=true, answer_index=answer, true_class=name,
                        answer_class=names[answer], images=images,
                    )
                )  # fmt: skip
        for kind, epoch in (("best", 3), ("epoch", 1)):
            session.add(
                Checkpoint(
                    job_id=job_id, kind=kind, epoch=epoch, path=f"cc/{'c' * 64}.safetensors", sha256="c" * 64,
                    bytes=10**6,
                )
            )  # fmt: skip


def _add_search(
    gallery: Gallery, job_id: int, network: NetworkSpecification, names: Sequence[str], *, keeps: bool = True
) -> None:
    layers = [names[1], names[2]]
    specification = Top9Specification(
        **_common(network), **WEIGHTS, split="val", image_count=IMAGES - 2, training_job_id=DONE_RUN, maxima=keeps,
        layers=[SearchedLayerSpecification(layer=name, path=name, units=[*range(UNITS)]) for name in layers],
    )  # fmt: skip
    add_job(gallery, job_id, specification)
    for number, name in enumerate(layers):
        values = np.random.default_rng(number).normal(0, 5, (UNITS, IMAGES - 2)).astype(np.float32)
        path = gallery.store.write(".npy", lambda file, values=values: np.save(file, values)).path
        mosaic = picture(gallery, 100 + number)
        with gallery.database.write() as session:
            layer = SearchedLayer(
                job_id=job_id, layer=name, layer_path=name, projection="deconvnet", contact_sheet_path=mosaic,
                maxima_path=path if keeps else None,
            )  # fmt: skip
            session.add(layer)
            session.flush()
            for unit in range(UNITS):
                session.add(
                    SearchedUnit(
                        layer_id=layer.id, unit=unit, dead=False, patches_path=mosaic, projections_path=mosaic
                    )
                )
                session.add(_statistics(layer.id, unit, values[unit]))
                for rank, at in enumerate(np.argsort(-values[unit])[:3], 1):
                    session.add(
                        TopActivation(
                            layer_id=layer.id, unit=unit, rank=rank, activation=float(values[unit, at]),
                            image_id=int(at) + 1, row=0, col=0, patch_path=mosaic, projection_path=mosaic,
                            projection_scale=1.0, projection_largest=2.0, picture_left=0, picture_top=0,
                            picture_right=8, picture_bottom=8,
                        )
                    )  # fmt: skip


def _statistics(layer_id: int, unit: int, values: np.ndarray) -> UnitStatistics:
    q50, q90, q99, q999 = (float(value) for value in np.quantile(values, (0.5, 0.9, 0.99, 0.999)))
    return UnitStatistics(
        layer_id=layer_id, unit=unit, images=len(values), mean=float(values.mean()), minimum=float(values.min()),
        maximum=float(values.max()), fired_share=0.5, q50=q50, q90=q90, q99=q99, q999=q999,
        histogram=[len(values)],
    )  # fmt: skip


def maps(classes: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return the arrays of an archive of maps, as ``unitscope.occlusion.arrays`` writes them."""
    chance = np.random.default_rng(seed)
    shape = (len(STARTS), len(STARTS))
    return {
        "starts": np.array(STARTS),
        "patch": np.array(16),
        "activation": chance.random(shape).astype(np.float32),
        "probability": chance.random(shape).astype(np.float32),
        "classes": chance.integers(0, classes, shape).astype(np.int32),
    }


def _add_sweep(gallery: Gallery, network: NetworkSpecification, names: Sequence[str]) -> None:
    specification = OcclusionSpecification(
        **_common(network), **WEIGHTS, split="val", images=[0, 1, 2], training_job_id=DONE_RUN, layer=names[1],
        path=names[1], unit=2, target=None, patch=16, stride=8,
    )  # fmt: skip
    add_job(gallery, SWEEP, specification)
    with gallery.database.write() as session:
        for image in (1, 2, 3):
            arrays = maps(len(names), image)
            path = gallery.store.write(".npz", lambda file, arrays=arrays: np.savez(file, **arrays)).path
            session.add(
                OcclusionMap(
                    job_id=SWEEP, image_id=image, layer=names[1], layer_path=names[1], unit=2,
                    clear_activation=3.0, clear_probability=0.3 * image, clear_class=names[0], positions=49,
                    computed=49, min_activation=0.5, min_activation_row=0, min_activation_col=8,
                    min_probability=0.1, min_probability_row=16, min_probability_col=24, class_changes=5,
                    engine="full", array_path=path, picture_path=picture(gallery, image),
                )
            )  # fmt: skip


def _add_filters(gallery: Gallery, network: NetworkSpecification, names: Sequence[str]) -> None:
    chosen = ChosenFilters(network=network, **WEIGHTS, layers=[ChosenLayer(layer=names[1], path=names[1])])
    specification = FiltersSpecification(
        dataset_id=1, dataset_fingerprint="f" * 64, networks=[chosen], training_job_id=DONE_RUN
    )
    add_job(gallery, FILTERS, specification)
    drawn = picture(gallery, 55)
    with gallery.database.write() as session:
        session.add(FiltersJob(job_id=FILTERS, figure_path=drawn))
        session.add(
            FilterLayer(
                job_id=FILTERS, network_number=1, layer_number=1, network=names[0], layer=names[1],
                layer_path=names[1], filters=4, inputs=3, groups=1, kernel_rows=3, kernel_cols=3, stride_rows=1,
                stride_cols=1, reads_pixels=True, rms_median=0.1, rms_limit=0.1, dead=1, dominating=0,
                over_limit=0, picture_path=drawn,
            )
        )  # fmt: skip


class Parsed(HTMLParser):
    """A parsed page: its elements, attributes, links, and the text that people read or hear."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words = ""
        self._inside: str | None = None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attributes}
        self.elements.append((tag, values))
        self._inside = tag
        self.words += " ".join(values.get(name, "") for name in ("alt", "aria-label", "value")) + " "

    def handle_data(self, data: str) -> None:
        self.words += data

    @property
    def links(self) -> list[str]:
        """Addresses of links, pictures and scripts."""
        return [
            values[name] for _, values in self.elements for name in ("href", "src", "action") if name in values
        ]

    def of(self, tag: str) -> list[dict[str, str]]:
        """Return the attributes of all elements of a name."""
        return [values for name, values in self.elements if name == tag]


def unsafe_parts(page: Parsed) -> list[str]:
    """Return what a Content-Security-Policy without inline scripts and styles refuses, and links elsewhere."""
    found = [f"{tag} {name}" for tag, values in page.elements for name in values if name.startswith("on")]
    found += [f"{tag} style" for tag, values in page.elements if tag == "style" or "style" in values]
    found += [
        f"script {values}"
        for values in page.of("script")
        if not values.get("src", "").startswith("/static/") and values.get("type") != "application/json"
    ]
    return found + [link for link in page.links if not link.startswith(("/", "#"))]
