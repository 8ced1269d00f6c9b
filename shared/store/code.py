"""Source code of the user's own networks in the artifact store: one file with the text of each source file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePosixPath

from shared.errors import CodeNotReadable
from shared.store.store import Store, StoredFile

SUFFIX = ".code"
MOST_FILES = 2000
LARGEST = 16 * 2**20  # bytes of all files
SOURCE = ".py"


def store_code(store: Store, files: Mapping[str, str]) -> StoredFile:
    """Write source files, by their paths relative to the code folder, to the store.

    The same files make the same artifact.

    Raises
    ------
    StoreFull, StoreNotWritable, StoreUnavailable
    """
    content = json.dumps({"files": dict(sorted(files.items()))}, ensure_ascii=False, indent=0)
    return store.put(content.encode(), SUFFIX)


def read_code(store: Store, path: str) -> dict[str, str]:
    """Return the source files of an artifact, after checking its content against the SHA-256 in its name.

    Raises
    ------
    ArtifactMissing, ArtifactDamaged, StoreUnavailable
    CodeNotReadable
        it is not written by ``store_code``.
    """
    file = store.verified(path)
    try:
        if file.stat().st_size > 2 * LARGEST:
            raise ValueError("it is too large")
        return _checked(json.loads(file.read_bytes()))
    except (ValueError, RecursionError) as error:
        raise CodeNotReadable(path=path, reason=error) from error


def _checked(content: object) -> dict[str, str]:
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, dict) or len(files) > MOST_FILES:
        raise ValueError("it does not contain source files")
    for path, text in files.items():
        if not is_source_path(path) or not isinstance(text, str):
            raise ValueError("it contains something else than source files")
    return files


def is_source_path(path: str) -> bool:
    """Return whether a text is the relative path of a source file: ``my_models/net.py``."""
    pure = PurePosixPath(path)
    return str(pure) == path and pure.suffix == SOURCE and not pure.is_absolute() and ".." not in pure.parts


def source_sha256(text: str) -> str:
    """Return the SHA-256 of a source file, in hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()
