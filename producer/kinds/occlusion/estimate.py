"""What an occlusion sweep would cost on this machine: asked of the worker's code, in a process of its own."""

from __future__ import annotations

import sys
from typing import Any

from producer.networks.description import ask_worker
from shared.kinds.occlusion.specification import OcclusionSpecification


def estimate(specification: OcclusionSpecification) -> dict[str, Any]:
    """Estimate the cost of a sweep: see ``worker.kinds.occlusion.estimate``.

    Raises
    ------
    UnitscopeError
    """
    command = [sys.executable, "-m", "worker.kinds.occlusion.estimate"]
    # Not among the arguments, whose length is limited: it has the numbers of all images.
    found: dict[str, Any] = ask_worker(command, told=specification.model_dump_json())["estimate"]
    return found
