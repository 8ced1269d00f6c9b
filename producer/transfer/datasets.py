"""Data set of an imported job: a registered one with the same fingerprint, or a new one from the export's rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import exists, select

from producer.datasets.removal import OWN_FOLDER
from producer.datasets.scan import fingerprint, leads_out
from producer.datasets.updating import unused_name
from shared.database.catalogue import NOTES, FoundDataset, FoundImage, Problem, register
from shared.database.connection import Database
from shared.database.datasets import Dataset, Image
from unitscope.spelling import nfc, spellings

Row = dict[str, Any]


def parse_dataset(
    dataset: Row, images: Iterable[Row], splits: Iterable[Row], problems: Iterable[Row], root: str | None
) -> tuple[FoundDataset, list[int]]:
    """Build the data set from the export's rows, and list the ids that its images have in the export.

    Raises
    ------
    ValueError
        The fingerprint doesn't match the rows, an image's path leads out of the root, or an option is no list of
        texts.
    """
    splits_by_image: dict[int, list[str]] = defaultdict(list)
    for row in splits:
        splits_by_image[row["image_id"]].append(row["split"])
    if not isinstance(dataset["options"], dict):
        raise ValueError("the data set's options are not a JSON object")
    for option in ("splits", NOTES):
        if not _is_list_of_texts(dataset["options"].get(option, [])):
            raise ValueError(f"the data set's {option} are not a list of texts")
    # Another home's folder is not this program's own to delete.
    options = {name: value for name, value in dataset["options"].items() if name != OWN_FOLDER}
    found = FoundDataset(dataset["kind"], root or dataset["root"], options, dataset["class_names"])
    exported_ids = []
    for row in images:
        if leads_out(row["path"]):
            raise ValueError(f"image {row['path']!r} is outside of its data set")
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
            )
        )
        exported_ids.append(row["id"])
    found.problems = [Problem(*(row[name] for name in Problem.__dataclass_fields__)) for row in problems]
    found.fingerprint = fingerprint(found)
    if found.fingerprint != dataset["fingerprint"]:
        raise ValueError("the data set's fingerprint doesn't match its rows")
    return found, exported_ids


def find_or_register(
    database: Database, name: str, found: FoundDataset, exported_ids: Sequence[int]
) -> tuple[int, dict[int, int]]:
    """Find a data set with the same fingerprint, preferably of the same name, or register a new one.

    If the name belongs to other content, the new one is registered as ``NAME-imported-FINGERPRINT``. Returns the
    id of the data set, and the ids of its images by their ids in the export.
    """
    name = nfc(name)
    same = select(Dataset.id).where(Dataset.fingerprint == found.fingerprint)
    with database.read() as session:
        known = session.scalar(same.order_by(Dataset.name != name, Dataset.id).limit(1))
        taken = session.scalar(select(exists().where(Dataset.name.in_(spellings(name)))))
        free_name = unused_name(session, f"{name}-imported-", found.fingerprint) if taken else name
    dataset_id = known if known is not None else register(database, free_name, found)[0]
    query = select(Image.path, Image.object_number, Image.id).where(Image.dataset_id == dataset_id)
    with database.read() as session:
        local_ids = {(path, number): image_id for path, number, image_id in session.execute(query)}
    ids = {
        exported_id: local_ids[image.path, image.object_number]
        for exported_id, image in zip(exported_ids, found.images, strict=True)
    }
    return dataset_id, ids


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
