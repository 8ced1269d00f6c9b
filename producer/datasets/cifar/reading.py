"""CIFAR-10 and CIFAR-100: a folder of images, or the original files, which are converted to images."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock
from PIL import Image

from producer.datasets.cifar.files import FORMATS, CifarFiles, read_files
from producer.datasets.folder import (
    fill,
    holds_classes,
    is_text,
    leave_out,
    list_images,
    note_listing,
    refuse_dangling,
)
from producer.datasets.scan import existing_folder
from shared.database.catalogue import FoundDataset
from shared.errors import FileNotWritable, FolderNotEmpty, NotADataset
from unitscope.spelling import nfc

SPLITS = {"train": ("train",), "test": ("test", "val")}  # folder -> splits: the replications validate on test
MARKER = ".unpacked"


def image_folder(
    root: Path,
    kind: str,
    target: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Return a folder with ``train/CLASS`` and ``test/CLASS``: ``root``, or ``target`` after converting the files.

    The images are written as ``target/SPLIT/CLASS/NNNNN.png``, where NNNNN is the number of the image in its
    split. A second call with the same files writes nothing.

    Parameters
    ----------
    root
        Such a folder, or a folder for ``read_files``.
    kind
        ``cifar10`` or ``cifar100``.
    progress
        Called with (images written, images in total).

    Raises
    ------
    NotADataset
        There is no such data set, or a file is missing, damaged or hostile.
    FolderNotEmpty
        ``target`` holds other files.
    FileNotWritable
    """
    root = existing_folder(root, kind)
    if all(holds_classes(root / split) for split in SPLITS):
        return root
    files = read_files(root, kind)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(
            target.with_name(f".{target.name}.lock")
        ):  # a second command waits for the first one's images
            _unpack(files, target, progress)
    except OSError as error:
        raise FileNotWritable(path=target, reason=error.strerror or error) from error
    return target


def read_cifar(
    root: Path,
    kind: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    upright: bool = False,
) -> FoundDataset:
    """Read a folder with ``train/CLASS`` and ``test/CLASS``. The images of ``test`` are also the split ``val``.

    Raises
    ------
    NotADataset
    """
    root = existing_folder(root, kind)
    listing = list_images(root, [root / split for split in SPLITS])
    refuse_dangling(root, listing, SPLITS)
    files = [path for path in listing.images if path.count("/") > 1]
    classes = sorted({nfc(name) for path in files if is_text(name := path.split("/")[1])})
    if not files:
        raise NotADataset(root=root, kind=kind, reason="no folder in its train and test has images")
    if len(classes) > FORMATS[kind].classes:
        raise NotADataset(root=root, kind=kind, reason=f"it has {len(classes)} classes")
    found = FoundDataset(kind, str(root), {"splits": ["train", "val", "test"]}, classes)
    leave_out(found, (path for path in listing.images if path.count("/") == 1), "not in a class folder")
    note_listing(found, listing)
    fill(
        found,
        {path: (nfc(path.split("/")[1]), SPLITS[path.split("/")[0]]) for path in files},
        progress,
        upright=upright,
    )
    return found


def _unpack(files: CifarFiles, target: Path, progress: Callable[[int, int], None]) -> None:
    sha256 = files.sha256()
    if target.is_symlink() or target.is_file() or (target.is_dir() and any(target.iterdir())):
        marker = target / MARKER
        if not (marker.is_file() and marker.read_text() == sha256):
            raise FolderNotEmpty(path=target)
        return
    unfinished = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)  # left by a command that was killed
    try:
        _write_images(files, unfinished, progress)
        (unfinished / MARKER).write_text(sha256)
        unfinished.replace(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _write_images(files: CifarFiles, folder: Path, progress: Callable[[int, int], None]) -> None:
    done, total = 0, files.count()
    for split in files.batches:
        for name in files.class_names:
            (folder / split / name).mkdir(parents=True)
        for number, (pixels, name) in enumerate(files.images(split)):
            # Uncompressed, an image still fits into one block of the disk, and its bytes don't depend on zlib.
            Image.fromarray(pixels).save(folder / split / name / f"{number:05}.png", compress_level=0)
            done += 1
            progress(done, total)
