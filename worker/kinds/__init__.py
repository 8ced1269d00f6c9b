"""The stages of each kind of job.

``worker.kinds.KIND.STAGE`` is a module with a function of the stage's name, which takes a ``ShardContext``;
``worker.kinds.KIND.check`` has ``check``, which computes a sample of a done job's rows again.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any


def stage_function(kind: str, stage: str) -> Callable[[Any], None]:
    """The function that does a shard of a stage; its module, and torch with it, is imported only here."""
    function: Callable[[Any], None] = getattr(importlib.import_module(f"worker.kinds.{kind}.{stage}"), stage)
    return function


def check_function(kind: str) -> Callable[..., Any]:
    """The function that computes a sample of a done job's rows again, for ``analyze verify``."""
    function: Callable[..., Any] = importlib.import_module(f"worker.kinds.{kind}.check").check
    return function
