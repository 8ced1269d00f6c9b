"""Names of folders that are splits: ``train``, ``Validation``, ``seg_test``, ``asl_alphabet_train``."""

from __future__ import annotations

import re

SPLITS = ("train", "val", "test")
WORDS = {
    **dict.fromkeys(("train", "training", "trainset", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "valset", "validset", "dev", "devel"), "val"),
    **dict.fromkeys(("test", "testing", "testset", "tst"), "test"),
}
# Words beside them that say nothing more.
FILLERS = {
    *(
        "seg",
        "set",
        "images",
        "image",
        "img",
        "imgs",
        "pics",
        "pictures",
        "photos",
        "jpg",
        "png",
        "data",
        "dataset",
    ),
    *("split", "folder", "raw", "cropped", "resized", "final", "full", "small", "sample", "samples"),
}
GENERIC = {"images", "image", "img", "imgs", "data", "dataset", "jpegimages", "photos", "pictures"}
WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def split_of(folder: str) -> str | None:
    """Return the split that a folder is named for, ``train``, ``val`` or ``test``; None if it has another name."""
    words = _words(folder)
    splits = [WORDS[word] for word in words if word in WORDS]
    rest = [word for word in words if word not in WORDS]
    return splits[0] if len(splits) == 1 and FILLERS.issuperset(rest) else None


def split_in(folder: str) -> str | None:
    """Return the only split that a folder's name contains beside other words (``asl_alphabet_train``)."""
    splits = {WORDS[word] for word in _words(folder) if word in WORDS}
    return splits.pop() if len(splits) == 1 else None


def rest_of(folder: str) -> tuple[str, ...]:
    """Return the words of a folder's name that don't name a split."""
    return tuple(word for word in _words(folder) if word not in WORDS)


def _words(folder: str) -> list[str]:
    return [word.lower() for word in WORD.findall(folder)]
