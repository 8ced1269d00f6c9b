"""What programs of the worker's say to the producer: see ``producer.networks.description``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from unitscope.errors import UnitscopeError


def print_answer(work: Callable[[], dict[str, Any]]) -> None:
    """One line of JSON on stdout: what ``work`` gives, or its error by name, with its details."""
    try:
        answer = work()
    except UnitscopeError as error:
        details = {name: str(value) for name, value in error.details.items()}
        answer = {"error": type(error).__name__, "details": details}
    json.dump(answer, sys.stdout)
