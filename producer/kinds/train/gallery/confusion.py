"""The confusion matrix of a training run: accuracies of classes, most frequent confusions, and cells to draw."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.kinds.train.tables import Answer

LINKED = 30  # classes, up to which each cell is a link
NAMED = 60  # classes, up to which rows and columns have names
NUMBERED = 25  # classes, up to which cells have numbers
LEVELS = 10  # of the shading of cells that are no links
MOST_CELLS = 8000  # that are drawn, those with the largest shares
CONFUSIONS = 20
SIDE = 20  # of a cell, in units of the SVG


@dataclass(frozen=True)
class ClassAccuracy:
    """How a class was answered."""

    number: int
    name: str
    images: int
    right: int
    accuracy: float


@dataclass(frozen=True)
class Confused:
    """Images of a class that were answered as another, and their share of the class."""

    true_index: int
    true_class: str
    answer_index: int
    answer_class: str
    images: int
    share: float


@dataclass(frozen=True)
class Cell:
    """A cell of a matrix that is drawn: its place, and what it counts."""

    row: int
    column: int
    images: int
    share: float
    level: int  # 1 to LEVELS


@dataclass(frozen=True)
class Matrix:
    """A matrix to draw: rows are true classes, columns answers, both in the order of ``numbers`` and ``names``."""

    numbers: list[int]
    names: list[str]
    cells: list[Cell]
    paths: Mapping[int, str]  # by level, for a matrix whose cells are no links
    left_out: int  # cells
    side: int = SIDE
    linked: bool = False
    named: bool = False
    numbered: bool = False


@dataclass(frozen=True)
class Confusion:
    """The answers of a run at its best epoch."""

    images: int
    classes: list[ClassAccuracy]  # the best first
    confusions: list[Confused]  # the most frequent first
    matrix: Matrix


def read_confusion(session: Session, job_id: int) -> Confusion | None:
    """Return the answers of a run, or None if it has none yet."""
    columns = (
        *(Answer.true_index, Answer.answer_index, Answer.true_class, Answer.answer_class),
        Answer.images,
    )
    query = select(*columns).where(Answer.job_id == job_id).order_by(Answer.true_index, Answer.answer_index)
    rows = session.execute(query).all()
    if not rows:
        return None
    names: dict[int, str] = {}
    totals: dict[int, int] = defaultdict(int)
    for true, answer, true_name, answer_name, images in rows:
        names |= {true: true_name, answer: answer_name}
        totals[true] += images
    right = {true: images for true, answer, *_, images in rows if true == answer}
    classes = [
        ClassAccuracy(true, names[true], total, right.get(true, 0), right.get(true, 0) / total)
        for true, total in totals.items()
    ]
    confusions = [
        Confused(true, true_name, answer, answer_name, images, images / totals[true])
        for true, answer, true_name, answer_name, images in rows
        if true != answer
    ]
    return Confusion(
        sum(totals.values()),
        sorted(classes, key=lambda one: (-one.accuracy, one.number)),
        sorted(confusions, key=lambda one: (-one.images, -one.share, one.true_index))[:CONFUSIONS],
        _matrix([(true, answer, images) for true, answer, *_, images in rows], names, totals),
    )


def _matrix(rows: Sequence[tuple[int, int, int]], names: Mapping[int, str], totals: Mapping[int, int]) -> Matrix:
    numbers = sorted(names)
    places = {number: place for place, number in enumerate(numbers)}
    cells = []
    for true, answer, images in rows:
        share = images / totals[true]
        cells.append(Cell(places[true], places[answer], images, share, min(int(share * LEVELS) + 1, LEVELS)))
    cells.sort(key=lambda cell: -cell.share)
    linked = len(numbers) <= LINKED
    drawn = cells[:MOST_CELLS]
    paths: dict[int, str] = defaultdict(str)
    for cell in [] if linked else drawn:
        paths[cell.level] += f"M{cell.column * SIDE} {cell.row * SIDE}h{SIDE}v{SIDE}h-{SIDE}z"
    return Matrix(
        numbers,
        [names[number] for number in numbers],
        drawn if linked else [],
        dict(paths),
        len(cells) - len(drawn),
        linked=linked,
        named=len(numbers) <= NAMED,
        numbered=len(numbers) <= NUMBERED,
    )
