"""Image files that belong to no data set: checked as those of a data set, and copied to the artifact store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shared.database.connection import Database
from shared.kinds.features.specification import ImageFile
from shared.settings import Settings
from shared.store.ownership import open_store
from unitscope.errors import ImageNotReadable, NoSuchFile
from unitscope.images.decoding import BrokenImage, decode, read_file
from unitscope.images.formats import SUFFIXES


def store_image_files(database: Database, settings: Settings, files: Sequence[Path]) -> list[ImageFile]:
    """Decode image files, and copy them to the artifact store, where every worker can read them.

    All files are checked before the first one is copied. A file that is given twice is taken once.

    Raises
    ------
    NoSuchFile
    ImageNotReadable
        a file is damaged, too large, or of another format.
    StoreFull, StoreNotUsable
    """
    contents = {path: _checked(path) for path in dict.fromkeys(files)}
    store = open_store(database, settings.resolved_store) if contents else None
    stored = []
    for path, content in contents.items():
        assert store is not None  # noqa: S101 - there is a file
        suffix = path.suffix.lower()
        file = store.put(content, suffix if suffix in SUFFIXES else ".image")
        stored.append(ImageFile(name=str(path), path=file.path, sha256=file.sha256))
    return stored


def _checked(path: Path) -> bytes:
    if not path.exists():
        raise NoSuchFile(path=path)
    try:
        content = read_file(path)
        decode(content)
    except BrokenImage as error:
        raise ImageNotReadable(path=path, reason=str(error)) from error
    return content
