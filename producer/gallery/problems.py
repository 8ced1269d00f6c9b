"""What is answered to an error: a status, and a sentence that names no folder of the server's machine."""

from __future__ import annotations

from pathlib import Path

from starlette.exceptions import HTTPException

from producer.gallery.page import Gallery
from shared.errors import (
    ArtifactMissing,
    BrokerUnreachable,
    DatabaseUnreachable,
    StoreNotUsable,
    StoreUnavailable,
    exit_code,
    message,
)
from shared.store.ownership import check_store
from unitscope.errors import MaximaNotReadable, UnitscopeError

# Exit code of the command line -> status.
NOT_FOUND = 4
STATUSES = {2: 400, 3: 503, NOT_FOUND: 404, 5: 503}

MISSING = "is not in the store: it was removed, or lost. `analyze verify` lists missing files."
DAMAGED = "The kept maxima of this search can't be used. `analyze verify` says what is wrong with them."
NO_STORE = "The artifact store can't be read at the moment. `analyze doctor` says why, on the gallery's machine."
UNEXPECTED = "The server could not make this page; its log says why."


def explained(gallery: Gallery, error: Exception) -> tuple[int, str]:
    """Return the status and the text that answer an error; 500 is that of an error which should not occur."""
    if isinstance(error, HTTPException):
        return error.status_code, error.detail
    if isinstance(error, ArtifactMissing) or _is_of_store(gallery, error):
        return _of_missing_file(gallery, error)
    if isinstance(error, StoreNotUsable):
        return 503, NO_STORE
    if isinstance(error, MaximaNotReadable):
        return 404, DAMAGED
    if isinstance(error, UnitscopeError):
        return STATUSES.get(exit_code(error), 500), message(_without_address(error))
    return 500, UNEXPECTED


def _without_address(error: UnitscopeError) -> UnitscopeError:
    """Return an error about the database or Redis without its address, which has the name of a file or server."""
    if "url" not in error.details:
        return error
    address = "its address" if isinstance(error, BrokerUnreachable) else "of this gallery"
    return type(error)(**{**error.details, "url": address})


def _is_of_store(gallery: Gallery, error: Exception) -> bool:
    """Return whether an error of the file system is about a file in the store."""
    if not (isinstance(error, OSError) and isinstance(error.filename, str)):
        return False
    return Path(error.filename).is_relative_to(gallery.store.root)


def _of_missing_file(gallery: Gallery, error: Exception) -> tuple[int, str]:
    """Tell a file that is gone from a store that is: one that isn't mounted is an empty folder."""
    if not isinstance(error, (ArtifactMissing, FileNotFoundError)):
        return 503, NO_STORE
    try:
        check_store(gallery.database, gallery.store.root)
    except (StoreUnavailable, DatabaseUnreachable):
        return 503, NO_STORE
    except StoreNotUsable:  # of another database: pages only read
        pass
    path = error.details["path"] if isinstance(error, ArtifactMissing) else Path(error.filename).name
    return 404, f"{path} {MISSING}"
