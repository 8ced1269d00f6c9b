"""Data sets that this machine can't read, of which its worker processes take no shards until it can."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from shared.database.datasets import Dataset, Image
from shared.errors import Unreachable
from shared.jobs.hosts import (
    CANNOT_READ,
    forget_hosts,
    has_shards_for,
    host_of,
    set_problem,
    shards_of_dataset,
)
from shared.jobs.ledger import Ledger
from shared.jobs.tables import Job, Shard
from unitscope.data.images import ImageSource, UnreadableImage, read_content
from unitscope.errors import ImageChanged, ImageUnavailable
from unitscope.images.decoding import BrokenImage

SAMPLE = 8  # images of a data set, of which one must be readable
PROBE_SECONDS = 30.0
LONGEST_PAUSE = 30.0  # seconds

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Missing:
    """A data set that can't be read: its description, and some of its images."""

    description: str
    sample: Sequence[ImageSource]


class MissingData:
    """The data sets that can't be read on the machine of a worker process.

    The machine may lack a whole data set, as without its mount, or only some files. It lacks the data set if none
    of a sample of its images can be read, or all are other images than those that were registered. Then the
    worker's row says so, and the sample is tried again before each shard of the data set and every
    ``PROBE_SECONDS``.
    """

    def __init__(self, ledger: Ledger, worker: str) -> None:
        self.ledger, self.worker, self.host = ledger, worker, host_of(worker)
        self._missing: dict[int, _Missing] = {}
        self._lock = threading.Lock()
        self._prober: threading.Thread | None = None
        self._pauses = 0  # since the worker last ran a shard

    def handed_back(self, dataset_id: int) -> None:
        """Find out whether the machine lacks the data set of a shard that was handed back."""
        found = self._sample(dataset_id)
        if found and not _any_readable(found.sample):
            with self._lock:
                self._missing[dataset_id] = found
            self._report()
            if self._prober is None or not self._prober.is_alive():
                self._prober = threading.Thread(target=self._probe, name="missing data", daemon=True)
                self._prober.start()

    def has_data_of(self, shard_id: int) -> bool:
        """Return whether the machine can read the data set of a shard, as far as is known."""
        if not self._missing:
            return True
        with self.ledger.database.read() as session:
            query = select(Job.dataset_id).join(Shard, Shard.job_id == Job.id).where(Shard.id == shard_id)
            dataset_id = session.scalar(query)
        return dataset_id not in self._missing or self._is_back(dataset_id)

    @property
    def datasets(self) -> frozenset[int]:
        """The ids of the data sets that the machine can't read, as far as is known."""
        return frozenset(self._missing)

    def pause_before_next(self, shortest: float) -> float:
        """Return the seconds to wait after a shard was left to other machines, so that these receive its message.

        While nothing is queued that this machine can run, they grow with each shard up to ``LONGEST_PAUSE``.
        """
        with self.ledger.database.read() as session:
            if has_shards_for(session, self.host, set(self._missing)):
                return shortest
        self._pauses += 1
        return float(min(shortest * 2 ** (self._pauses - 1), LONGEST_PAUSE))

    def shard_ran(self) -> None:
        """Record that the worker ran a shard: the next pause is short again."""
        self._pauses = 0

    def _sample(self, dataset_id: int) -> _Missing | None:
        """Return a description of a data set and some of its images; None if it was removed."""
        with self.ledger.database.read() as session:
            dataset = session.get(Dataset, dataset_id)
            if dataset is None:
                return None
            of_dataset = Image.dataset_id == dataset_id
            first, last = session.execute(select(func.min(Image.id), func.max(Image.id)).where(of_dataset)).one()
            ids = {first + (last - first) * number // (SAMPLE - 1) for number in range(SAMPLE)}
            query = select(Image.path, Image.sha256).where(of_dataset).order_by(Image.id).limit(1)
            rows = {session.execute(query.where(Image.id >= image_id)).one() for image_id in ids}
        root = Path(dataset.root)
        sample = [ImageSource(0, root / path, sha256=sha256) for path, sha256 in sorted(rows)]
        return _Missing(f"data set '{dataset.name}' at {root} ({_reason(sample[0])})", sample)

    def _is_back(self, dataset_id: int) -> bool:
        found = self._sample(dataset_id)  # again, since its root may be another one by now
        if found and not _any_readable(found.sample):
            return False
        with self._lock:
            self._missing.pop(dataset_id, None)
        with self.ledger.database.write() as session:
            forget_hosts(session, shards_of_dataset(dataset_id), self.host)
        self._report()
        return True

    def _report(self) -> None:
        """Write the problem to the worker's row."""
        with self._lock:
            missing = [self._missing[number].description for number in sorted(self._missing)]
        problem = (
            f"{CANNOT_READ}{'; of '.join(missing)}. It takes no shards of it until it can." if missing else None
        )
        logger.warning("%s", problem or "The images of all data sets can be read again.")
        with self.ledger.database.write() as session:
            set_problem(session, self.worker, problem)

    def _probe(self) -> None:
        while self._missing:
            threading.Event().wait(PROBE_SECONDS)
            try:
                for dataset_id in list(self._missing):
                    self._is_back(dataset_id)
            except Unreachable as error:
                logger.warning("%s", error)


def _any_readable(sample: Sequence[ImageSource]) -> bool:
    return any(_reason(source) is None for source in sample)


def _reason(source: ImageSource) -> str | None:
    """Return why an image can't be read on this machine, or None. A file of broken content can be read."""
    try:
        read_content(source)
    except ImageChanged:
        return "its files have other content than those that were registered"
    except ImageUnavailable as error:
        return str(error.details["reason"])
    except (BrokenImage, UnreadableImage, MemoryError):
        return None
    return None
