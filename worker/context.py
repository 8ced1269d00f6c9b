"""The context of code that computes for a job."""

from __future__ import annotations

from pathlib import Path

import torch

from shared.database.connection import Database
from shared.kinds.specification import Specification
from shared.store.store import Store


class JobContext:
    """A job's specification, the database, the artifact store, and the device.

    Decoded images are cached in ``cache_folder``, up to ``cache_bytes``; 0 disables the cache. Networks of the
    user's own are built only with ``user_networks``.
    """

    def __init__(
        self,
        job_id: int,
        specification: Specification,
        database: Database,
        store: Store,
        device: torch.device | str,
        cache_folder: Path = Path(),
        cache_bytes: int = 0,
        *,
        user_networks: bool = False,
    ) -> None:
        self.job_id, self.specification = job_id, specification
        self.database, self.store = database, store
        self.device = torch.device(device)
        self.cache_folder, self.cache_bytes = cache_folder, cache_bytes
        self.user_networks = user_networks
