"""The data set of an imported job: the one that is here, or a new one made of the export's rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import select

from producer.datasets.scan import fingerprint, leads_out
from shared.database.catalogue import FoundDataset, FoundImage, Problem, register
from shared.database.connection import Database
from shared.database.datasets import Dataset, Image

Row = dict[str, Any]


def found_dataset(
    dataset: Row, images: Iterable[Row], splits: Iterable[Row], problems: Iterable[Row], root: str | None
) -> tuple[FoundDataset, list[int]]:
    """The data set as a reader would have found it, and the numbers of its images there.

    Raises
    ------
    ValueError
        its fingerprint is not that of its rows, or an image's path leads out of its root.
    """
    of_image: dict[int, list[str]] = defaultdict(list)
    for row in splits:
        of_image[row["image_id"]].append(row["split"])
    found = FoundDataset(dataset["kind"], root or dataset["root"], dataset["options"], dataset["class_names"])
    numbers = []
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
                tuple(sorted(of_image[row["id"]])),
            )
        )
        numbers.append(row["id"])
    found.problems = [Problem(*(row[name] for name in Problem.__dataclass_fields__)) for row in problems]
    found.fingerprint = fingerprint(found)
    if found.fingerprint != dataset["fingerprint"]:
        raise ValueError("the data set's rows don't have its fingerprint")
    return found, numbers


def dataset_here(
    database: Database, name: str, found: FoundDataset, numbers: Sequence[int]
) -> tuple[int, dict[int, int]]:
    """A data set with the same fingerprint, of the same name if possible, or a new one: its id, and the images'
    ids by their numbers there.

    Raises
    ------
    DatasetExists
        the name is taken by other content.
    """
    same = select(Dataset.id).where(Dataset.fingerprint == found.fingerprint)
    with database.read() as session:
        known = session.scalar(same.order_by(Dataset.name != name, Dataset.id).limit(1))
    dataset_id = known if known is not None else register(database, name, found)[0]
    query = select(Image.path, Image.object_number, Image.id).where(Image.dataset_id == dataset_id)
    with database.read() as session:
        here = {(path, number): image_id for path, number, image_id in session.execute(query)}
    ids = {
        there: here[image.path, image.object_number] for there, image in zip(numbers, found.images, strict=True)
    }
    return dataset_id, ids
