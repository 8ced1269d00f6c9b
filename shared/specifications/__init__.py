"""Job specifications: what can be asked for.

A new kind is a module here, one in ``worker/kinds``, and a line in ``KINDS`` and in the worker's ``STAGES``.
"""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from shared.errors import SpecificationNotReadable
from shared.specifications.base import ANALYSIS, CPU, QUEUES, TRAINING, PlannedShard, Specification, cut
from shared.specifications.occlusion import OcclusionSpecification
from shared.specifications.top9 import SearchedLayerSpecification, Top9Specification
from shared.specifications.train import TrainSpecification

KINDS: dict[str, type[Specification]] = {
    kind.kind: kind for kind in (Top9Specification, TrainSpecification, OcclusionSpecification)
}


def parse(kind: str, specification: dict[str, Any]) -> Specification:
    """The specification that a job row holds.

    Raises
    ------
    SpecificationNotReadable
        another version of the program made the job.
    """
    if kind not in KINDS:
        raise SpecificationNotReadable(kind=kind, reason="no such kind")
    try:
        return KINDS[kind].model_validate(specification)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "all of it"
        raise SpecificationNotReadable(kind=kind, reason=f"{where}: {first['msg']}") from error


__all__ = [
    "ANALYSIS",
    "CPU",
    "KINDS",
    "QUEUES",
    "TRAINING",
    "OcclusionSpecification",
    "PlannedShard",
    "SearchedLayerSpecification",
    "Specification",
    "Top9Specification",
    "TrainSpecification",
    "cut",
    "parse",
]
