"""What a kind of job tells about its cost before it is submitted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from shared.database.connection import Database
from shared.settings import Settings


@dataclass(frozen=True)
class Storage:
    """Files that a job writes to the artifact store, at most: equal files are stored once.

    ``temporary_bytes`` are needed in addition while the job runs.
    """

    files: int
    bytes: int
    temporary_bytes: int = 0


@dataclass(frozen=True)
class Estimate:
    """Functions of a specification, from which the cost of a job of a kind is estimated.

    Parameters
    ----------
    images
        Number of images of the data set that the job reads.
    storage
        Function ``(database, settings, specification)``. It must be fast: it is called before each submission.
    same_speed
        Returns a value that is equal for jobs whose stages need the same time for each unit of their work.
    same_files
        Returns a value that is equal for jobs that write the same share of what ``storage`` says.
    wrote_all
        Function ``(session, job_id)``: whether a done job wrote all kinds of file that ``storage`` counts. Earlier
        versions may have written fewer.
    """

    images: Callable[[Any], int]
    storage: Callable[[Database, Settings, Any], Storage]
    same_speed: Callable[[Any], Any]
    same_files: Callable[[Any], Any]
    wrote_all: Callable[[Session, int], bool] = lambda session, job_id: True
