"""The kinds of job. Each is a folder with a specification, tables, and a descriptor named ``KIND``."""

import pkgutil
from functools import cache


@cache
def kind_names() -> tuple[str, ...]:
    """Return the names of all kinds, which are the folders in this package, without importing them."""
    return tuple(sorted(folder.name for folder in pkgutil.iter_modules(__path__) if folder.ispkg))
