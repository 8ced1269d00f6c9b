"""The kinds of job, a folder each: specification, tables, and a descriptor, ``KIND``."""

import pkgutil
from functools import cache


@cache
def kind_names() -> tuple[str, ...]:
    """Names of all kinds, which are the folders here. None of them is imported."""
    return tuple(sorted(folder.name for folder in pkgutil.iter_modules(__path__) if folder.ispkg))
