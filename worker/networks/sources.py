"""Source files of a network: those in the user's folder when it is added, later those in the artifact store."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Protocol

from shared.store.code import LARGEST, MOST_FILES

Stored = Mapping[str, str]  # text by path relative to the code folder


class NotTaken(ImportError):
    """A file of the code folder that can't be stored."""


class Sources(Protocol):
    """Source files by their paths relative to the code folder."""

    label: str  # of the folder, in the names of files of tracebacks

    def read(self, path: str) -> str | None:
        """Return the text of a file, or None if there is none."""

    def has_folder(self, path: str) -> bool:
        """Return whether a folder has source files."""


class StoredSources:
    """The files of an artifact."""

    def __init__(self, files: Stored, label: str) -> None:
        self.files, self.label = files, label

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def has_folder(self, path: str) -> bool:
        return any(name.startswith(f"{path}/") for name in self.files)


class FolderSources:
    """The files of a folder. ``taken`` are those that were read: the ones that were imported."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.label = str(self.root)
        self.taken: dict[str, str] = {}
        self._bytes = 0

    def read(self, path: str) -> str | None:
        """Return the text of a file, or None if there is none.

        Raises
        ------
        NotTaken
        """
        file = self.root / path
        if not file.is_file():
            self._refuse_compiled(file)
            return None
        if not file.resolve().is_relative_to(self.root):
            raise NotTaken(f"{path} is a link out of the code folder, to {file.resolve()}: copy the file there")
        content = file.read_bytes()
        try:
            text = content.decode()
        except UnicodeDecodeError:
            raise NotTaken(f"{path} is not UTF-8 text") from None
        if path not in self.taken:
            self._bytes += len(content)
        self.taken[path] = text
        if self._bytes > LARGEST or len(self.taken) > MOST_FILES:
            raise NotTaken(
                f"more than {MOST_FILES} files or {LARGEST // 2**20} MiB were imported from the code folder"
            )
        return text

    def _refuse_compiled(self, file: Path) -> None:
        for suffix in EXTENSION_SUFFIXES:
            if (compiled := file.with_name(file.stem + suffix)).is_file():
                path = compiled.relative_to(self.root)
                raise NotTaken(f"{path} is compiled code, which isn't taken along: install it as a package")

    def has_folder(self, path: str) -> bool:
        folder = self.root / path
        return folder.is_dir() and folder.resolve().is_relative_to(self.root)
