"""Units of a searched layer in an order, read in pages by key."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Float, Select, Subquery, and_, case, cast, func, or_, select
from sqlalchemy.orm import Session

from producer.gallery.page import LARGEST
from shared.database.datasets import Image
from shared.kinds.top9.tables import (
    SearchedLayer,
    SearchedUnit,
    TopActivation,
    UnitLabel,
    UnitSelectivity,
    UnitStatistics,
)

ORDERS = ("unit", "maximum", "fired", "selectivity", "agreement")
STATES = ("all", "live", "dead", "constant", "not finite")
# What units are sorted by, in ascending order; for the agreement, see ``_agreement``.
VALUES: dict[str, ColumnElement[Any]] = {
    "unit": SearchedUnit.unit * 1.0,
    "maximum": -UnitStatistics.maximum,
    "fired": -UnitStatistics.fired_share,
    "selectivity": -UnitSelectivity.auc,
}
LAST = 1e300  # of units without a value


@dataclass(frozen=True)
class UnitCard:
    """A unit of a searched layer: its state, mosaics, and what is known of it."""

    unit: int
    state: str  # one of STATES but all
    patches_path: str | None
    projections_path: str | None
    maximum: float | None
    fired_share: float | None
    best_class: str | None  # of the largest AUC
    best_class_auc: float | None
    agreement_class: str | None  # most frequent class of its top images
    agreement: float | None  # share of its top images that have it; None for constant units
    label: str | None  # the best one of `analyze label`


@dataclass(frozen=True)
class Selection:
    """Which units of a layer, and in which order. ``after`` is the last key of the page before."""

    order: str = "unit"
    state: str = "all"
    class_name: str = ""  # the best class
    label: str = ""  # part of a label
    text: str = ""  # part of a label or of the best class, or the unit's number
    after: tuple[float, int] | None = None


def read_cards(
    session: Session, layer: SearchedLayer, selection: Selection, limit: int
) -> tuple[list[UnitCard], tuple[float, int] | None, int]:
    """Return a page of units, the key of its last one (None at the end), and the number of all selected units."""
    query = _selected(layer, selection)
    count = session.scalar(select(func.count()).select_from(query.with_only_columns(SearchedUnit.unit).subquery()))
    if selection.order == "agreement":
        most = _agreement(layer)
        query = query.outerjoin(most, most.c.unit == SearchedUnit.unit)
        value = func.coalesce(most.c.value, LAST)
    else:
        value = func.coalesce(VALUES[selection.order], LAST)
    query = query.add_columns(value.label("value")).order_by(value, SearchedUnit.unit)
    if selection.after is not None:
        last, unit = selection.after
        query = query.where(or_(value > last, and_(value == last, SearchedUnit.unit > unit)))
    rows = session.execute(query.limit(limit + 1)).all()
    cards = _cards(session, layer, rows[:limit])
    end = (float(rows[limit - 1].value), rows[limit - 1].unit) if len(rows) > limit else None
    return cards, end, count or 0


def _agreement(layer: SearchedLayer) -> Subquery:
    """Build the query of what units are sorted by, in the order of ``best_units``: the largest share of their top
    images that have the same class; those with fewer top images come last. Constant units have no value."""
    counts = (
        select(TopActivation.unit.label("unit"), func.count().label("images"))
        .join(Image, Image.id == TopActivation.image_id)
        .join(SearchedUnit, and_(SearchedUnit.layer_id == layer.id, SearchedUnit.unit == TopActivation.unit))
        .where(TopActivation.layer_id == layer.id, SearchedUnit.constant.is_not(True))
        .group_by(TopActivation.unit, Image.class_index)
        .subquery()
    )
    most, all_images = func.max(counts.c.images).label("most"), func.sum(counts.c.images).label("all_images")
    units = select(counts.c.unit, most, all_images).group_by(counts.c.unit).cte()
    full = select(func.max(units.c.all_images)).scalar_subquery()
    fewer = case((units.c.all_images < full, 2.0), else_=0.0)
    value = cast(fewer, Float) - cast(units.c.most, Float) / cast(units.c.all_images, Float)
    return select(units.c.unit, value.label("value")).subquery()


def _selected(layer: SearchedLayer, selection: Selection) -> Select[*tuple[Any, ...]]:
    unit, statistics, best = SearchedUnit, UnitStatistics, UnitSelectivity
    query: Select[*tuple[Any, ...]] = (
        select(
            *(unit.unit, unit.dead, unit.constant, unit.not_finite, unit.patches_path, unit.projections_path),
            *(statistics.maximum, statistics.fired_share, best.class_name, best.auc),
        )
        .outerjoin(statistics, and_(statistics.layer_id == unit.layer_id, statistics.unit == unit.unit))
        .outerjoin(best, and_(best.layer_id == unit.layer_id, best.unit == unit.unit, best.class_rank == 1))
        .where(unit.layer_id == layer.id)
    )
    conditions: dict[str, ColumnElement[bool]] = {
        "live": and_(unit.dead.is_(False), unit.not_finite.is_not(True), unit.constant.is_not(True)),
        "dead": unit.dead.is_(True),
        "constant": unit.constant.is_(True),
        "not finite": unit.not_finite.is_(True),
    }
    if selection.state in conditions:
        query = query.where(conditions[selection.state])
    if selection.class_name:
        query = query.where(best.class_name == selection.class_name)
    if selection.label:
        query = query.where(_has_label(layer, selection.label))
    if text := selection.text:
        named = or_(_has_label(layer, text), best.class_name.icontains(text, autoescape=True))
        is_number = text.isascii() and text.isdigit() and int(text) <= LARGEST
        query = query.where(or_(named, unit.unit == int(text)) if is_number else named)
    return query


def _has_label(layer: SearchedLayer, part: str) -> ColumnElement[bool]:
    labels = select(UnitLabel.unit).where(UnitLabel.layer_id == layer.id)
    return SearchedUnit.unit.in_(labels.where(UnitLabel.label.icontains(part, autoescape=True)))


def _cards(session: Session, layer: SearchedLayer, rows: Sequence[Any]) -> list[UnitCard]:
    units = [row.unit for row in rows]
    # The top images of constant units are only the first of the split, and say nothing about a class.
    agreement = _agreements(session, layer, [row.unit for row in rows if not row.constant])
    labels = _labels(session, layer, units)
    return [
        UnitCard(
            unit=row.unit,
            state=state_of(row),
            patches_path=row.patches_path,
            projections_path=row.projections_path,
            maximum=row.maximum,
            fired_share=row.fired_share,
            best_class=row.class_name,
            best_class_auc=row.auc,
            agreement_class=agreement[row.unit][0] if row.unit in agreement else None,
            agreement=agreement[row.unit][1] if row.unit in agreement else None,
            label=labels.get(row.unit),
        )
        for row in rows
    ]


def state_of(unit: Any) -> str:
    """Return the state of a unit: ``not finite``, ``dead``, ``constant``, or ``live``."""
    if unit.not_finite:
        return "not finite"
    return "dead" if unit.dead else "constant" if unit.constant else "live"


def _agreements(session: Session, layer: SearchedLayer, units: Sequence[int]) -> dict[int, tuple[str, float]]:
    """Return the most frequent class of each unit's top images, and the share of them that have it."""
    query = select(TopActivation.unit, Image.class_name).join(Image, Image.id == TopActivation.image_id)
    query = query.where(TopActivation.layer_id == layer.id, TopActivation.unit.in_(units))
    classes: dict[int, list[str]] = defaultdict(list)
    for unit, name in session.execute(query.order_by(TopActivation.rank)):
        classes[unit].append(name)
    return {
        unit: (common[0], common[1] / len(names))
        for unit, names in classes.items()
        for common in Counter(names).most_common(1)
    }


def _labels(session: Session, layer: SearchedLayer, units: Sequence[int]) -> dict[int, str]:
    query = select(UnitLabel.unit, UnitLabel.label)
    query = query.where(UnitLabel.layer_id == layer.id, UnitLabel.unit.in_(units), UnitLabel.rank == 1)
    return dict(session.execute(query).all())
