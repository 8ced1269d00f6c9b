"""Import of source files into a space of modules of their own.

Modules of two networks, or of two versions of one, can have the same names, and those of our packages. So they
are not imported under their own names: ``my_models.net`` is ``unitscope_code_1.my_models.net``, and import
statements in these modules are translated. Python takes the function of the import statement from the built-ins of
the module that executes it, which are changed for these modules alone. Relative imports need no translation.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import itertools
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any
from weakref import WeakValueDictionary

from worker.networks.sources import Sources

OURS = {"producer", "worker", "shared", "migrations"}  # not the library, which the user's code may import
_numbers = itertools.count(1)


class ModuleSpace:
    """The modules of source files, under the name ``prefix``."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.prefix = f"unitscope_code_{next(_numbers)}"
        self.builtins: dict[str, Any] = {**vars(builtins), "__import__": self._import}
        self._tops: dict[str, bool] = {}
        self._importlib = _importlib_for(self)
        _finder.spaces[self.prefix] = self

    def import_module(self, name: str) -> ModuleType:
        """Import a module of the source files.

        Raises
        ------
        ImportError, and whatever the module raises
        """
        return importlib.import_module(f"{self.prefix}.{name}")

    def contains(self, name: str) -> bool:
        """Return whether a module name begins with that of a module or package of the source files.

        They come before installed modules, as in a folder from which Python is started. A folder without
        ``__init__.py`` comes after them, but before our packages, which are not the user's.
        """
        top = name.partition(".")[0]
        if top not in self._tops:
            self._tops[top] = top not in sys.builtin_module_names and (
                any(self.sources.read(path) is not None for path in (f"{top}/__init__.py", f"{top}.py"))
                or (self.sources.has_folder(top) and (top in OURS or importlib.util.find_spec(top) is None))
            )
        return self._tops[top]

    def own_names(self, text: str) -> str:
        """Return a message with the names that the modules have in the user's code."""
        return text.replace(f"{self.prefix}.", "")

    def remove(self) -> None:
        """Remove the modules from ``sys.modules``. Objects that were made of them stay usable."""
        remove_modules(self.prefix)

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Import in place of ``__import__``."""
        if level or not self.contains(name):
            found = builtins.__import__(name, globals, locals, fromlist or (), level)
            return self._importlib if found is importlib else found
        if fromlist:
            return builtins.__import__(f"{self.prefix}.{name}", None, None, fromlist)
        self.import_module(name)
        return sys.modules[f"{self.prefix}.{name.partition('.')[0]}"]


def remove_modules(prefix: str) -> None:
    """Remove the modules of a space from ``sys.modules``."""
    for name in [name for name in sys.modules if name == prefix or name.startswith(f"{prefix}.")]:
        sys.modules.pop(name, None)


def _importlib_for(space: ModuleSpace) -> ModuleType:
    """Return a copy of ``importlib`` whose ``import_module`` finds the modules of a space."""

    def import_module(name: str, package: str | None = None) -> ModuleType:
        if not name.startswith(".") and space.contains(name):
            return space.import_module(name)
        return importlib.import_module(name, package)

    copied = ModuleType("importlib", importlib.__doc__)
    vars(copied).update({**vars(importlib), "import_module": import_module})
    return copied


class _Loader(InspectLoader):
    """Loads one module of a space. ``text`` is None for a folder without ``__init__.py``."""

    def __init__(self, space: ModuleSpace, path: str, text: str | None, *, is_package: bool) -> None:
        self.space, self.text, self._is_package = space, text, is_package
        self.file = f"{space.sources.label}/{path}"

    def is_package(self, fullname: str) -> bool:
        return self._is_package

    def get_source(self, fullname: str) -> str:
        return self.text or ""

    def get_code(self, fullname: str) -> CodeType:
        # Given the bytes, Python accepts a byte order mark and a declared encoding.
        return self.source_to_code(self.get_source(fullname).encode(), self.file)

    def exec_module(self, module: ModuleType) -> None:
        if self.text is not None:
            module.__file__ = self.file
        vars(module)["__builtins__"] = self.space.builtins
        exec(self.get_code(module.__name__), vars(module))  # noqa: S102 - networks that the user added


class _Finder(MetaPathFinder):
    """Finds the modules of all spaces."""

    def __init__(self) -> None:
        # A space lives as long as its modules' functions, whose built-ins refer to it.
        self.spaces: WeakValueDictionary[str, ModuleSpace] = WeakValueDictionary()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        prefix, _, name = fullname.partition(".")
        space = self.spaces.get(prefix)
        if space is None:
            return None
        if not name:
            return _spec(fullname, _Loader(space, "", None, is_package=True))
        place = name.replace(".", "/")
        for file, is_package in ((f"{place}/__init__.py", True), (f"{place}.py", False)):
            if (text := space.sources.read(file)) is not None:
                return _spec(fullname, _Loader(space, file, text, is_package=is_package))
        if space.sources.has_folder(place):
            return _spec(fullname, _Loader(space, place, None, is_package=True))
        return None


def _spec(name: str, loader: _Loader) -> ModuleSpec:
    spec = ModuleSpec(name, loader, origin=loader.file, is_package=loader.is_package(name))
    spec.has_location = False
    return spec


_finder = _Finder()
sys.meta_path.append(_finder)
