"""Imports what ``analyze`` commands import, in the server from which their processes are forked.

Nothing here may import torch: a process with threads must not be forked.
"""

from __future__ import annotations

import gc
import importlib
import pkgutil
import sys

from sqlalchemy.orm import configure_mappers

import producer
import shared
import tests.commands

# Other packages are imported by our modules only when they are needed.
OTHERS = (
    *("alembic.command", "alembic.config", "celery", "kombu.transport.redis", "psycopg", "redis", "yaml"),
    *("rich.console", "rich.live", "rich.markup", "rich.progress", "rich.table"),
)

for package in (producer, shared):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
for name in OTHERS:
    importlib.import_module(name)

configure_mappers()  # otherwise, each process does so at its first query

__all__ = ["tests"]
assert "torch" not in sys.modules
gc.freeze()  # so that collections in the processes neither visit nor copy all these objects
