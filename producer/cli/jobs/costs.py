"""The estimated cost of a job, for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from producer.cost.cost import Cost, StageCost
from producer.cost.storage import NeededSpace
from shared.text import duration, size_text


def cost_lines(cost: Cost, store: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each line."""
    yield "job", cost.what
    if cost.images is not None:
        yield "images", f"{cost.images:,}"
    yield "shards", f"{cost.shards:,}"
    if cost.space:
        yield from _space_lines(cost.space, store)
    if cost.seconds is None:
        yield "time", "not known: no such job ran yet, and it can't be measured here"
    else:
        yield "time", _total(cost)
    for stage in cost.stages:
        if stage.unit or stage.seconds is not None:
            yield f"  {stage.name}", _stage(stage)
    yield from cost.details.items()


def _space_lines(space: NeededSpace, store: Path) -> Iterator[tuple[str, str]]:
    source = f"as job {space.like_job} wrote" if space.like_job else "at most"
    yield "files", f"{space.files:,}, {source}"
    more = f", and {size_text(space.temporary_bytes)} while it runs" if space.temporary_bytes else ""
    yield "size", f"{size_text(space.bytes)}, {source}{more}"
    fits = "" if space.fits else ": too little, so submit needs --ignore-space"
    yield "free space", f"{size_text(space.available)} can be used in {store}{fits}"


def _total(cost: Cost) -> str:
    workers = max(stage.workers for stage in cost.stages)
    without = [stage.name for stage in cost.stages if stage.seconds is None]
    omitted = f", without {' and '.join(without)}" if without else ""
    return f"{duration(cost.seconds or 0.0)} with {workers} worker{'s' if workers > 1 else ''}{omitted}"


def _stage(stage: StageCost) -> str:
    if stage.per_second is None or stage.seconds is None:
        return "not known"
    work = f"{stage.work:,} {stage.unit} at {stage.per_second:.3g}/s, " if stage.unit else ""
    return f"{duration(stage.seconds)}: {work}measured on {stage.measured}"


def cost_as_json(cost: Cost, store: Path) -> dict[str, Any]:
    """Return the object that ``--dry-run --json`` prints."""
    space = cost.space
    return {
        "kind": cost.kind,
        "what": cost.what,
        "images": cost.images,
        "shards": cost.shards,
        "files": space.files if space else None,
        "bytes": space.bytes if space else None,
        "temporary_bytes": space.temporary_bytes if space else None,
        "like_job": space.like_job if space else None,
        "store": store,
        "available_bytes": space.available if space else None,
        "fits": space.fits if space else None,
        "seconds": cost.seconds,
        "stages": [vars(stage) for stage in cost.stages],
        "details": cost.details,
    }
