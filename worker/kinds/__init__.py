"""The stages of each kind of job.

The module ``worker.kinds.KIND.STAGE`` has a function named STAGE, which takes a ``ShardContext`` and runs a shard;
``worker.kinds.KIND.check`` has the function ``check``, which recomputes a sample of a done job's rows.
"""

from __future__ import annotations

import importlib
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
