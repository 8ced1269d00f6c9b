"""A record of weights files that were taken: one of the same content, for the same network, isn't read again.

Reading needs a child process with torch, which takes several seconds. The record is in the folder of the pixel
cache and can be removed at any time.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from producer.files import write_file
from shared.errors import ArtifactDamaged, ArtifactMissing, FileNotWritable
from shared.settings import Settings
from shared.store.store import Store, sha256_of_file
from shared.version import program_version
from unitscope.description import NetworkSpecification

RULES = 1  # increase it when other tensors of a file are taken, or other notes are made


@dataclass(frozen=True)
class TakenWeights:
    """Weights in the artifact store, and the sentences on what was assumed and left out when they were taken."""

    path: str
    notes: list[str]


def record_file(
    settings: Settings, specification: NetworkSpecification, weights: Path, *, pretrained: bool
) -> Path | None:
    """Return the file of the record for a weights file's content and a network; None if it can't be read."""
    try:
        if not weights.is_file():  # a pipe or a device may have no end
            return None
        content = sha256_of_file(weights)
    except OSError:
        return None
    identity = json.dumps([RULES, program_version(), specification.key(), pretrained, content])
    return settings.cache_folder / "weights" / f"{hashlib.sha256(identity.encode()).hexdigest()}.json"


def recall(file: Path, store: Store) -> TakenWeights | None:
    """Return recorded weights if the store has them, intact; None otherwise."""
    try:
        taken = TakenWeights(**json.loads(file.read_bytes()))
        store.verified(taken.path)
        store.make_durable([taken.path])  # so that `analyze gc` does not remove them before a job refers to them
    except (OSError, ValueError, TypeError, ArtifactMissing, ArtifactDamaged):
        return None
    return taken


def remember(file: Path, taken: TakenWeights) -> None:
    """Record weights that were taken. If the file can't be written, they are read again next time."""
    with suppress(FileNotWritable, OSError):
        write_file(file, json.dumps(asdict(taken)).encode())
