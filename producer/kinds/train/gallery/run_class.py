"""The page of a class of a training run: what its images were answered as, and the images."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from producer.gallery.page import Gallery, Parameters
from producer.gallery.pictures import image_link
from producer.kinds.train.gallery.found import find_run, specification_of
from shared.database.datasets import Dataset, Image, ImageSplit
from shared.errors import NoSuchClass
from shared.kinds.train.specification import TrainSpecification
from shared.kinds.train.tables import Answer

IMAGES = 60  # of a page
ANSWERS = 50  # rows of a table
SIDE = 240  # pixels of a thumbnail


def read_class(gallery: Gallery, parameters: Parameters) -> dict[str, Any]:
    """Read the page ``/runs/ID/classes/NUMBER``.

    Raises
    ------
    NoSuchRun, NoSuchClass, UsageError
    """
    number = parameters.path["number"]
    after = parameters.whole("after", 0)
    marked = parameters.optional_whole("as")
    with gallery.database.read() as session:
        job, run = find_run(session, parameters.path["job_id"])
        specification = specification_of(job)
        dataset = session.get_one(Dataset, run.dataset_id)
        name = _class_name(session, job.id, dataset, number)
        answers = _answers(session, Answer.true_index == number, job.id)
        mistaken = _answers(session, (Answer.answer_index == number) & (Answer.true_index != number), job.id)
        images, more = _images(session, dataset, specification, number, after)
    total = sum(row["images"] for row in answers)
    split = specification.val_split if specification else None
    return {
        "title": f"{name} in run {job.id}",
        "job_id": job.id,
        "network": run.network,
        "dataset": dataset.name,
        "class_name": name,
        "number": number,
        "marked": marked,
        "answers": answers[:ANSWERS],
        "mistaken": mistaken[:ANSWERS],
        "total": total,
        "images": images,
        "split": split,
        "part": bool(specification and (specification.fold or specification.val_per_class)),
        "next": parameters.link(after=images[-1]["image_id"]) if more else None,
        "first": parameters.link(after=None) if after else None,
        "address": f"/runs/{job.id}",
    }


def _class_name(session: Session, job_id: int, dataset: Dataset, number: int) -> str:
    """Return the name of a class by its number, as the run answered it, else as the data set has it.

    Raises
    ------
    NoSuchClass
    """
    true = select(Answer.true_class).where(Answer.job_id == job_id, Answer.true_index == number).limit(1)
    answered = select(Answer.answer_class).where(Answer.job_id == job_id, Answer.answer_index == number).limit(1)
    name = session.scalar(true) or session.scalar(answered)
    if name is None and number < len(dataset.class_names):
        name = dataset.class_names[number]
    if name is None:
        raise NoSuchClass(name=number, dataset=dataset.name, close="")
    return name


def _answers(session: Session, condition: ColumnElement[bool], job_id: int) -> list[dict[str, Any]]:
    query = select(Answer).where(Answer.job_id == job_id, condition)
    rows = session.scalars(query.order_by(Answer.images.desc(), Answer.true_index, Answer.answer_index)).all()
    total = sum(row.images for row in rows)
    columns = ("true_index", "true_class", "answer_index", "answer_class", "images")
    return [{**{name: getattr(row, name) for name in columns}, "share": row.images / total} for row in rows]


def _images(
    session: Session, dataset: Dataset, specification: TrainSpecification | None, number: int, after: int
) -> tuple[list[dict[str, Any]], bool]:
    """Return images of the class in the run's validation splits after an id, and whether there are more."""
    query = select(Image).where(Image.dataset_id == dataset.id, Image.class_index == number, Image.id > after)
    if specification:
        splits = [specification.val_split, *([specification.train_split] if specification.fold else [])]
        in_split = select(ImageSplit.image_id).where(
            ImageSplit.dataset_id == dataset.id, ImageSplit.split.in_(splits)
        )
        query = query.where(Image.id.in_(in_split))
    rows = session.scalars(query.order_by(Image.id).limit(IMAGES + 1)).all()
    shown = [
        {
            "image_id": image.id,
            "path": image.path,
            "picture": image_link(image.id, image.sha256, SIDE),
            "object_number": image.object_number,
        }
        for image in rows[:IMAGES]
    ]
    return shown, len(rows) > IMAGES
