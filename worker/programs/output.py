"""Output of the worker's programs to the producer, which reads it in ``producer.networks.description``."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

from unitscope.errors import UnitscopeError


def print_answer(work: Callable[[], dict[str, Any]]) -> None:
    """Print the result of ``work``, or the name and details of its error, as one line of JSON.

    What ``work`` prints, such as the code of a network of the user's own, goes to stderr.
    """
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w")  # programs that ``work`` starts don't inherit it
    os.dup2(2, 1)
    try:
        result = work()
    except UnitscopeError as error:
        details = {name: str(value) for name, value in error.details.items()}
        result = {"error": type(error).__name__, "details": details}
    with answers:
        json.dump(result, answers)
