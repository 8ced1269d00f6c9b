"""The stages of each kind of job.

The module ``worker.kinds.KIND.STAGE`` has a function named STAGE, which takes a ``ShardContext`` and runs a shard;
``worker.kinds.KIND.check`` has the function ``check``, which recomputes a sample of a done job's rows;
``worker.kinds.KIND.estimate``, which a kind can lack, has ``measure``, which measures some batches.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any


def stage_function(kind: str, stage: str) -> Callable[[Any], None]:
    """Return the function that runs a shard of a stage, importing its module, and torch, on demand."""
    function: Callable[[Any], None] = getattr(importlib.import_module(f"worker.kinds.{kind}.{stage}"), stage)
    return function


def check_function(kind: str) -> Callable[..., Any]:
    """Return the function that recomputes a sample of a done job's rows, for ``analyze verify``."""
    function: Callable[..., Any] = importlib.import_module(f"worker.kinds.{kind}.check").check
    return function


def measure_function(kind: str) -> Callable[..., Any] | None:
    """Return the function that measures some batches of a job, for ``--dry-run``, or None if the kind has none."""
    name = f"worker.kinds.{kind}.estimate"
    if importlib.util.find_spec(name) is None:
        return None
    function: Callable[..., Any] = importlib.import_module(name).measure
    return function
