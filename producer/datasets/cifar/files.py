"""Readers of the files of CIFAR-10 and CIFAR-100: the binary version, and the pickled one of torchvision."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from producer.datasets.cifar.pickles import PickledArray, RefusedPickle, load_pickle
from shared.errors import NotADataset

SIZE = 32  # pixels, width and height
PIXEL_BYTES = 3 * SIZE * SIZE  # all red, then all green, then all blue
LARGEST_FILE = 2**30  # bytes; the largest of CIFAR-100 has 155 MB
CLASS_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # class names become names of folders


@dataclass(frozen=True)
class Format:
    """File format of CIFAR-10 or CIFAR-100."""

    classes: int
    label_bytes: int  # in a record of the binary version; the last one is the class
    files: dict[str, tuple[str, ...]]  # split -> files
    binary_folder: str
    binary_names: str
    pickled_folder: str
    pickled_names: str
    labels_key: str
    names_key: str


FORMATS = {
    "cifar10": Format(
        classes=10,
        label_bytes=1,
        files={"train": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)},
        binary_folder="cifar-10-batches-bin",
        binary_names="batches.meta.txt",
        pickled_folder="cifar-10-batches-py",
        pickled_names="batches.meta",
        labels_key="labels",
        names_key="label_names",
    ),
    "cifar100": Format(
        classes=100,
        label_bytes=2,
        files={"train": ("train",), "test": ("test",)},
        binary_folder="cifar-100-binary",
        binary_names="fine_label_names.txt",
        pickled_folder="cifar-100-python",
        pickled_names="meta",
        labels_key="fine_labels",
        names_key="fine_label_names",
    ),
}


class _Broken(Exception):
    """Reason why a file can't be read."""


@dataclass(frozen=True)
class Batch:
    """Content of a file: ``pixels``, uint8 [count, 3, 32, 32], and a label for each image."""

    pixels: NDArray[np.uint8]
    labels: list[int]


@dataclass
class CifarFiles:
    """Content of a data set: class names in the order of the labels, and the batches of each split."""

    class_names: list[str]
    batches: dict[str, list[Batch]] = field(default_factory=dict)

    def count(self) -> int:
        """Return the number of images."""
        return sum(len(batch.labels) for batch in chain.from_iterable(self.batches.values()))

    def images(self, split: str) -> Iterator[tuple[NDArray[np.uint8], str]]:
        """Iterate over the images of a split in order, uint8 [32, 32, 3], and their class names."""
        for batch in self.batches[split]:
            for pixels, label in zip(batch.pixels, batch.labels, strict=True):
                yield pixels.transpose(1, 2, 0), self.class_names[label]

    def sha256(self) -> str:
        """Return the hash of the content, which is the same for the binary and the pickled version."""
        digest = hashlib.sha256(json.dumps(self.class_names).encode())
        for split, batches in self.batches.items():
            digest.update(f"{split} {sum(len(batch.labels) for batch in batches)}".encode())
            for batch in batches:
                digest.update(np.ascontiguousarray(batch.pixels).data)
                digest.update(bytes(batch.labels))
        return digest.hexdigest()


def read_files(root: Path, kind: str) -> CifarFiles:
    """Read the files of CIFAR-10 or CIFAR-100.

    Parameters
    ----------
    root
        The folder with the files, or its parent.
    kind
        A key of ``FORMATS``.

    Raises
    ------
    NotADataset
        There are no such files, or one is missing, damaged or hostile.
    """
    form = FORMATS[kind]
    folder, binary = _find(root, kind)
    suffix = ".bin" if binary else ""
    name = form.binary_names if binary else form.pickled_names
    try:
        content = _read(folder / name)
        found = CifarFiles(_checked_names(_text_names(content) if binary else _pickled_names(content, form), form))
        for split, files in form.files.items():
            found.batches[split] = []
            for file in files:
                name = f"{file}{suffix}"
                content = _read(folder / name)
                batch = _binary_batch(content, form) if binary else _pickled_batch(content, form)
                found.batches[split].append(batch)
    except (_Broken, RefusedPickle) as error:
        raise NotADataset(root=folder, kind=kind, reason=f"{name}: {error}") from error
    return found


def _find(root: Path, kind: str) -> tuple[Path, bool]:
    """Return the folder with the files, and whether it is the binary version, which is preferred to pickles."""
    form = FORMATS[kind]
    for name, folder, binary in (
        (form.binary_names, form.binary_folder, True),
        (form.pickled_names, form.pickled_folder, False),
    ):
        for candidate in (root / folder, root):
            if (candidate / name).is_file():
                return candidate, binary
    raise NotADataset(
        root=root,
        kind=kind,
        reason=f"there is neither {form.binary_folder} with {form.binary_names}, nor {form.pickled_folder} with "
        f"{form.pickled_names}, nor folders train and test with a folder of images for each class",
    )


def _read(file: Path) -> bytes:
    try:
        if not file.is_file():  # reading a pipe or a device could block for ever
            raise _Broken("the file does not exist")
        if file.stat().st_size > LARGEST_FILE:
            raise _Broken(f"it has {file.stat().st_size} bytes, more than {LARGEST_FILE}")
        return file.read_bytes()
    except OSError as error:
        raise _Broken(error.strerror or str(error)) from error


def _text_names(content: bytes) -> list[Any]:
    return [line.strip() for line in content.decode(errors="replace").splitlines() if line.strip()]


def _pickled_names(content: bytes, form: Format) -> list[Any]:
    names = _pickled_dict(content).get(form.names_key)
    if not isinstance(names, list):
        raise _Broken(f"it has no list {form.names_key}")
    return [name.decode(errors="replace") if isinstance(name, bytes) else name for name in names]


def _checked_names(names: list[Any], form: Format) -> list[str]:
    if len(names) != form.classes:
        raise _Broken(f"it names {len(names)} classes, not {form.classes}")
    for label, name in enumerate(names):
        if not (isinstance(name, str) and CLASS_NAME.fullmatch(name)):
            raise _Broken(f"the name of class {label} is not valid")
    if len({name.lower() for name in names}) < len(names):
        raise _Broken("it names a class twice")
    return names


def _binary_batch(content: bytes, form: Format) -> Batch:
    size = form.label_bytes + PIXEL_BYTES
    if not content or len(content) % size:
        raise _Broken(
            f"its {len(content)} bytes are not a whole number of records of {size} bytes: is it truncated?"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    return _batch(records[:, form.label_bytes :], records[:, form.label_bytes - 1].tolist(), form)


def _pickled_batch(content: bytes, form: Format) -> Batch:
    entry = _pickled_dict(content)
    data, labels = entry.get("data"), entry.get(form.labels_key)
    if not isinstance(data, PickledArray) or data.values is None:
        raise _Broken("it has no array data")
    pixels = data.values
    if pixels.ndim != 2 or pixels.shape[1] != PIXEL_BYTES or not len(pixels):
        raise _Broken(f"its array data has the shape {pixels.shape}, not (images, {PIXEL_BYTES})")
    if not isinstance(labels, list) or len(labels) != len(pixels):
        raise _Broken(f"it has no list {form.labels_key} with the labels of {len(pixels)} images")
    return _batch(pixels, labels, form)


def _pickled_dict(content: bytes) -> dict[str, Any]:
    value = load_pickle(content)
    if not isinstance(value, dict):
        raise _Broken("it is not a dictionary")
    texts = {key.decode(errors="replace") if isinstance(key, bytes) else key: value[key] for key in value}
    return {key: value for key, value in texts.items() if isinstance(key, str)}


def _batch(pixels: NDArray[np.uint8], labels: list[Any], form: Format) -> Batch:
    for number, label in enumerate(labels):
        if type(label) is not int or not 0 <= label < form.classes:
            raise _Broken(f"the label of image {number} is not an integer from 0 to {form.classes - 1}")
    return Batch(pixels.reshape(-1, 3, SIZE, SIZE), labels)
