"""Small versions of CIFAR-10 and CIFAR-100 in the original formats."""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

NAMES = {
    "cifar10": ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"],
    "cifar100": [f"class_{number:02}" for number in range(100)],
}
FILES = {
    "cifar10": {"train": [f"data_batch_{number}" for number in range(1, 6)], "test": ["test_batch"]},
    "cifar100": {"train": ["train"], "test": ["test"]},
}
FOLDERS = {"cifar10": "cifar-10-batches", "cifar100": "cifar-100"}
TRAIN, TEST = 40, 12  # images


def labels_of(kind: str, split: str) -> list[int]:
    """Return labels with every class at least once."""
    count = len(NAMES[kind]) + (TRAIN if split == "train" else TEST)
    count -= count % len(FILES[kind][split])
    return [7 * number % len(NAMES[kind]) for number in range(count)]


def pixels_of(kind: str, split: str) -> np.ndarray:
    """Generate uint8 [images, 3, 32, 32] in which swapped channels, rows or columns are detected."""
    shape = (len(labels_of(kind, split)), 3, 32, 32)
    return np.random.default_rng(len(split)).integers(0, 256, shape, np.uint8)


def batches(kind: str, split: str) -> list[tuple[str, np.ndarray, list[int]]]:
    """Return (file, uint8 [images, 3072], labels) of each file of a split."""
    files, labels = FILES[kind][split], labels_of(kind, split)
    pixels = pixels_of(kind, split).reshape(len(labels), 3072)
    each = len(labels) // len(files)
    return [
        (file, pixels[start : start + each], labels[start : start + each])
        for file, start in zip(files, range(0, len(labels), each), strict=True)
    ]


def coarse(labels: list[int]) -> list[int]:
    return [19 - label % 20 for label in labels]


def write_binary(parent: Path, kind: str = "cifar10") -> Path:
    """Write the binary version below ``parent``."""
    folder = parent / f"{FOLDERS[kind]}-{'bin' if kind == 'cifar10' else 'binary'}"
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        for file, pixels, labels in batches(kind, split):
            columns = [labels] if kind == "cifar10" else [coarse(labels), labels]
            records = np.concatenate([np.array(columns, np.uint8).T, pixels], axis=1)
            (folder / f"{file}.bin").write_bytes(records.tobytes())
    names = "batches.meta.txt" if kind == "cifar10" else "fine_label_names.txt"
    (folder / names).write_text("\n".join(NAMES[kind]) + "\n\n")  # ends with an empty line, as the original does
    return folder


class _Python2Pickler(pickle._Pickler):  # type: ignore[name-defined,misc]
    """A pickler that writes bytes and text as Python 2 strings."""

    def save_string(self, value: bytes | str) -> None:
        content = value if isinstance(value, bytes) else value.encode()
        short = len(content) < 256
        self.write(pickle.SHORT_BINSTRING + bytes([len(content)]) if short else pickle.BINSTRING)
        self.write(content if short else struct.pack("<i", len(content)) + content)
        self.memoize(value)

    dispatch: ClassVar[dict[Any, Any]] = {**pickle._Pickler.dispatch, bytes: save_string, str: save_string}  # type: ignore[attr-defined]


def dumped(value: Any, protocol: int = 2) -> bytes:
    """Pickle a value; with protocol 2, as Python 2 with NumPy 1 does."""
    if protocol > 2:
        return pickle.dumps(value, protocol)
    written = io.BytesIO()
    _Python2Pickler(written, 2).dump(value)
    return written.getvalue().replace(b"cnumpy._core.", b"cnumpy.core.")


def entry_of(kind: str, pixels: np.ndarray, labels: list[int]) -> dict[str, Any]:
    """Return the dictionary that a file of images contains as a pickle."""
    entry = {
        "batch_label": "a batch",
        "data": pixels,
        "filenames": [f"image_{number}.png" for number in range(len(labels))],
    }
    if kind == "cifar10":
        return {**entry, "labels": labels}
    return {**entry, "fine_labels": labels, "coarse_labels": coarse(labels)}


def write_pickled(parent: Path, kind: str = "cifar10", protocol: int = 2) -> Path:
    """Write the pickled version, which torchvision downloads, below ``parent``."""
    folder = parent / f"{FOLDERS[kind]}-{'py' if kind == 'cifar10' else 'python'}"
    folder.mkdir(parents=True)
    for split in ("train", "test"):
        for file, pixels, labels in batches(kind, split):
            (folder / file).write_bytes(dumped(entry_of(kind, pixels, labels), protocol))
    if kind == "cifar10":
        meta = {"num_cases_per_batch": 8, "label_names": NAMES[kind], "num_vis": 3072}
    else:
        meta = {"fine_label_names": NAMES[kind], "coarse_label_names": [f"group_{n}" for n in range(20)]}
    (folder / ("batches.meta" if kind == "cifar10" else "meta")).write_bytes(dumped(meta, protocol))
    return folder
