"""Data set of an imported job: a registered one with the same fingerprint, or a new one from the export's rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from producer.datasets.removal import OWN_FOLDER
from producer.datasets.scan import fingerprint, leads_out
from producer.datasets.updating import unused_name
from producer.transfer.row_types import Row
from producer.transfer.staging import StagedRows
from shared.database.catalogue import FoundDataset, FoundImage, Problem, insert_dataset
from shared.database.connection import Database
from shared.database.datasets import Dataset, DatasetProblem, Image, ImageSplit
from shared.text import one_line
from unitscope.images.decoding import LARGEST_IMAGE
from unitscope.spelling import nfc, spellings

LONGEST_NAME = 255  # characters


class DatasetOptions(BaseModel):
    """Options of a data set that every kind of data set has. Its reader validates its other options itself."""

    model_config = ConfigDict(extra="allow", strict=True)

    splits: list[str] = []
    notes: list[str] = []
    turned_images: int = Field(default=0, ge=0)
    orientation: str | None = None
    chosen: dict[str, Any] = {}


@dataclass(frozen=True)
class ExportedDataset:
    """The data set of an export: its row's id and name, and the ids of its images in the export."""

    exported_id: int
    name: str
    found: FoundDataset
    image_ids: list[int]


def read_dataset(staged: StagedRows) -> ExportedDataset:
    """Read and check the data set of an export.

    Raises
    ------
    ValueError
        as ``parse_dataset``.
    """
    names = (model.__tablename__ for model in (Image, ImageSplit, DatasetProblem))
    return parse_dataset(staged.only_row(Dataset.__tablename__), *map(staged.rows, names))


def parse_dataset(
    dataset: Row, images: Iterable[Row], splits: Iterable[Row], problems: Iterable[Row]
) -> ExportedDataset:
    """Build the data set from the export's rows.

    Raises
    ------
    ValueError
        The fingerprint doesn't match the rows, an image's path leads out of the root, its size or its class is
        impossible, or an option is of the wrong type.
    """
    _check_options(dataset["options"])
    name = dataset["name"]
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise ValueError("the data set's name is empty, too long or not printable")
    splits_by_image: dict[int, list[str]] = defaultdict(list)
    for row in splits:
        splits_by_image[row["image_id"]].append(row["split"])
    # Another home's folder is not this program's own to delete.
    options = {name: value for name, value in dataset["options"].items() if name != OWN_FOLDER}
    found = FoundDataset(dataset["kind"], dataset["root"], options, dataset["class_names"])
    image_ids = []
    for row in images:
        _check_image(row, found.class_names)
        box = (row["box_left"], row["box_top"], row["box_right"], row["box_bottom"])
        found.images.append(
            FoundImage(
                row["path"],
                row["object_number"],
                row["class_index"],
                row["class_name"],
                row["width"],
                row["height"],
                None if None in box else box,
                row["sha256"],
                tuple(sorted(splits_by_image[row["id"]])),
                row["perceptual_hash"],
            )
        )
        image_ids.append(row["id"])
    found.problems = [Problem(*(row[name] for name in Problem.__dataclass_fields__)) for row in problems]
    found.fingerprint = fingerprint(found)
    if found.fingerprint != dataset["fingerprint"]:
        raise ValueError("the data set's fingerprint doesn't match its rows")
    return ExportedDataset(dataset["id"], nfc(name), found, image_ids)


def require_root(database: Database, dataset: ExportedDataset, root: str | None) -> None:
    """Check that the data set is registered, or that the folder of its images is given.

    An export must not choose the folder whose files this program reads.

    Raises
    ------
    ValueError
    """
    if root is None:
        with database.read() as session:
            if _registered(session, dataset) is None:
                raise _root_needed(dataset)


def find_or_register(session: Session, dataset: ExportedDataset, root: str | None) -> tuple[int, dict[int, int]]:
    """Find a data set with the same fingerprint, preferably of the same name, or register a new one at ``root``.

    If the name belongs to other content, the new one is registered as ``NAME-imported-FINGERPRINT``. Returns the
    id of the data set, and the ids of its images by their ids in the export.

    Raises
    ------
    ValueError
        It is not registered, and ``root`` is None.
    """
    name, found = dataset.name, dataset.found
    dataset_id = _registered(session, dataset)
    if dataset_id is None:
        if root is None:
            raise _root_needed(dataset)
        if session.scalar(select(exists().where(Dataset.name.in_(spellings(name))))):
            name = unused_name(session, f"{name}-imported-", found.fingerprint)
        found.root = root
        dataset_id = insert_dataset(session, name, found)
    query = select(Image.path, Image.object_number, Image.id).where(Image.dataset_id == dataset_id)
    local_ids = {(path, number): image_id for path, number, image_id in session.execute(query)}
    ids = {
        exported_id: local_ids[image.path, image.object_number]
        for exported_id, image in zip(dataset.image_ids, found.images, strict=True)
    }
    return dataset_id, ids


def _registered(session: Session, dataset: ExportedDataset) -> int | None:
    """Return the id of a registered data set with the same content; it is locked against removal."""
    same = select(Dataset.id).where(Dataset.fingerprint == dataset.found.fingerprint)
    preferred = same.order_by(Dataset.name != dataset.name, Dataset.id).limit(1)
    return session.scalar(preferred.with_for_update(read=True, key_share=True))


def _root_needed(dataset: ExportedDataset) -> ValueError:
    root = one_line(dataset.found.root)
    return ValueError(
        f"its data set '{dataset.name}' is not registered here. --root gives the folder of its images on this "
        f"machine; on the exporting machine it was {root}"
    )


def _check_options(options: dict[str, Any]) -> None:
    try:
        DatasetOptions.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"the data set's options are wrong: {place}: {first['msg']}") from None


def _check_image(row: Row, class_names: list[str]) -> None:
    path = row["path"]
    if not path or leads_out(path):
        raise ValueError(f"image {path!r} is outside of its data set")
    if row["width"] * row["height"] > LARGEST_IMAGE:
        raise ValueError(f"image {path!r} is too large: {row['width']} x {row['height']} pixels")
    if not 0 <= row["class_index"] < len(class_names) or class_names[row["class_index"]] != row["class_name"]:
        raise ValueError(f"image {path!r} is of a class that its data set does not have")
    if row["object_number"] < 0:
        raise ValueError(f"image {path!r} has a negative object number")
