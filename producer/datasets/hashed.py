"""Splits of a data set that neither folders nor lists divide: a hash of the path, the same on every machine."""

from __future__ import annotations

from shared.database.catalogue import FoundDataset
from unitscope.images.files import is_validation_image

HASHED = ("all", "train", "val")


def chosen_splits(path: str) -> tuple[str, ...]:
    """Return ``all``, and ``train`` or ``val`` by the hash of the path: one image in five is in ``val``."""
    return "all", "val" if is_validation_image(path) else "train"


def note_empty_split(found: FoundDataset, remedy: str) -> None:
    """Say how to choose the splits if the hash put all images into one."""
    used = {split for image in found.images for split in image.splits}
    empty = next((split for split in HASHED if split not in used), None)
    if found.images and empty and found.options.get("splits") == list(HASHED):
        found.notes.append(
            f"Split {empty} is empty: a hash of the path puts one image in five into val, which left none for "
            f"{empty} here. Use --split all, or choose: {remedy}."
        )
