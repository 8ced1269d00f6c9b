"""Registry of the producer's descriptors of all kinds of job."""

from __future__ import annotations

import importlib
from functools import cache

from producer.kinds.descriptor import ProducerKind
from shared.kinds import kind_names


@cache
def producer_kinds() -> dict[str, ProducerKind]:
    """Return the descriptors of all kinds by name."""
    return {name: importlib.import_module(f"producer.kinds.{name}").KIND for name in kind_names()}
