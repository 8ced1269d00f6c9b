"""Cost estimate of an occlusion sweep on this machine, computed by a subprocess that runs the worker's code."""

from __future__ import annotations

import sys
from typing import Any

from producer.networks.description import ask_worker
from shared.kinds.occlusion.specification import OcclusionSpecification


def estimate(specification: OcclusionSpecification) -> dict[str, Any]:
    """Estimate the cost of a sweep; the keys are those of ``worker.kinds.occlusion.estimate``.

    Raises
    ------
    UnitscopeError
    """
    command = [sys.executable, "-m", "worker.kinds.occlusion.estimate"]
    # By stdin, because it holds the numbers of all images and the length of arguments is limited.
    estimated: dict[str, Any] = ask_worker(command, stdin=specification.model_dump_json())["estimate"]
    return estimated
