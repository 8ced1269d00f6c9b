"""A folder of images for each class, as torchvision's ImageFolder; with folders ``train``, ``val``, ``test``
above them if the data set is divided already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from producer.datasets.scan import BrokenFile, existing_folder, fingerprint, scan_files
from shared.database.catalogue import FoundDataset, FoundImage, Problem
from shared.errors import NoDatasetThere
from unitscope.images.files import SUFFIXES, validates
from unitscope.images.files import image_files as files_below

SPLITS = ("train", "val", "test")


def read_folder(root: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> FoundDataset:
    """Read a data set of a folder per class.

    Without folders ``train`` and ``val``, every image is in the split ``all``, and one in five, chosen by a hash
    of its path and so the same on every machine, in ``val``, the others in ``train``.

    Raises
    ------
    NoDatasetThere
        ``root`` has no folder with images.
    """
    root = existing_folder(root, "folder")
    divided = [split for split in SPLITS if holds_classes(root / split)] if holds_classes(root / "train") else []
    files = image_files(root, [root / split for split in divided] or [root])
    if not files:
        raise NoDatasetThere(root=root, kind="folder", reason="no folder in it has images")
    depth = 1 if divided else 0
    classes = {path: path.split("/")[depth] for path in files}
    names = sorted({name for name in classes.values() if is_text(name)})
    found = FoundDataset("folder", str(root), {"splits": divided or ["all", "train", "val"]}, names)
    splits_of = (lambda path: (path.split("/")[0],)) if divided else chosen_splits
    fill(found, {path: (name, splits_of(path)) for path, name in classes.items()}, progress)
    return found


def image_files(root: Path, tops: Iterable[Path]) -> list[str]:
    """The image files in folders of these folders, at any depth, as paths relative to ``root``, sorted.

    Links to folders are followed, unless they lead back.

    Raises
    ------
    NoDatasetThere
        a folder can't be read, or is a link to nothing: what it is a link to may not be mounted.
    """
    found: list[str] = []
    for top in tops:
        depth = len(top.relative_to(root).parts)
        try:
            for folder in top.iterdir():
                if folder.is_symlink() and not folder.exists() and folder.suffix.lower() not in SUFFIXES:
                    raise FileNotFoundError(0, "it is a link to nothing", str(folder))
            found += (path for path in files_below(root, top) if path.count("/") > depth)
        except OSError as error:
            raise NoDatasetThere(root=root, kind="folder", reason=f"{error.filename}: {error.strerror}") from error
    return sorted(found)


def fill(
    found: FoundDataset,
    members: Mapping[str, tuple[str, tuple[str, ...]]],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Scan image files and put them into ``found``, each as an image or as a problem.

    Parameters
    ----------
    members
        path -> (class name, splits), in the order wanted.
    """
    root, files = Path(found.root), list(members)
    indices = {name: index for index, name in enumerate(found.class_names)}
    done = iter(range(1, len(files) + 1))
    scanned = scan_files(root, files, lambda _: progress(next(done), len(files)))
    for path, image in scanned.items():
        if isinstance(image, BrokenFile):
            found.problems.append(Problem(path, 0, image.reason, image.detail))
            continue
        name, splits = members[path]
        found.images.append(
            FoundImage(
                path=path,
                object_number=0,
                class_index=indices[name],
                class_name=name,
                width=image.width,
                height=image.height,
                box=None,
                sha256=image.sha256,
                splits=splits,
            )
        )
    found.fingerprint = fingerprint(found)


def holds_classes(folder: Path) -> bool:
    """Whether a folder has folders: ``train`` may be a class as well as a split."""
    return folder.is_dir() and any(inner.is_dir() and inner.name[0] != "." for inner in folder.iterdir())


def is_text(name: str) -> bool:
    """A file's name on Linux is any bytes; those that are no UTF-8 can't be kept as text."""
    return not any("\udc80" <= letter <= "\udcff" for letter in name)


def chosen_splits(path: str) -> tuple[str, ...]:
    """``all``, and ``train`` or ``val`` by a hash of the path: the same on every machine."""
    return "all", "val" if validates(path) else "train"
