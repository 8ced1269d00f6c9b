"""Data sets with a folder of images for each class, like torchvision's ImageFolder.

The class folders may be inside folders for the splits, such as ``train``, ``val`` and ``test``.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from producer.datasets.hashed import HASHED, chosen_splits, note_empty_split
from producer.datasets.labels import Labels, read_labels
from producer.datasets.layout import Layout, class_of, find_layout, join, name_of, parent
from producer.datasets.notes import first_of
from producer.datasets.scan import BrokenFile, complete, existing_folder, scan_files
from shared.database.catalogue import FoundDataset, FoundImage, Problem
from shared.errors import NotADataset
from unitscope.images.files import Listing, list_folder
from unitscope.spelling import nfc

ONLY_CLASS = "only_class"  # the key in `datasets.options` of the class of images without classes

Members = dict[str, tuple[str, tuple[str, ...]]]  # (class name, splits) by path


def read_folder(
    root: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    split_folders: str | None = None,
    only_class: str | None = None,
    known_classes: Sequence[str] = (),
    upright: bool = False,
) -> FoundDataset:
    """Read a data set with a folder for each class.

    Folders that are named for splits (``train``, ``Validation``, ``seg_test``) and hold the classes are the splits
    ``train``, ``val`` and ``test``. Without such folders, every image is in the split ``all``, and a hash of its
    path, which is the same on every machine, puts one image in five into ``val`` and the others into ``train``.

    Parameters
    ----------
    split_folders
        Folders of the splits, as ``train=Training,val=Testing``; ``none`` if all folders are classes; None to find
        splits by their names.
    only_class
        Class of images that are in no class folder; None for the name of the folder.
    known_classes
        Classes whose Unicode spelling is kept: earlier versions registered names as the file system spells them.
    upright
        Turn images as their EXIF orientation says.

    Raises
    ------
    NotADataset
        ``root`` has no images, or a folder can't be read.
    """
    root = existing_folder(root, "folder")
    listing = list_images(root, [root])
    if not listing.images:
        raise NotADataset(root=root, kind="folder", reason=_why_no_images(listing))
    layout = find_layout(str(root), listing, split_folders)
    refuse_dangling(root, listing, ["", layout.base, *(f for folders in layout.splits.values() for f in folders)])
    found = FoundDataset(
        "folder", str(root), {"splits": [*layout.splits] or list(HASHED)}, [], notes=[*layout.notes]
    )
    if layout.flat:
        name = only_class or nfc(root.name) or "images"
        found.options[ONLY_CLASS] = name
        found.notes.append(f"The images are in no class folders: they have one class, {name}.")
    members = _divided(found, root, listing, layout) if layout.splits else _undivided(found, root, listing, layout)
    spelled = {nfc(name): name for name in known_classes}
    members = {path: (spelled.get(name, name), splits) for path, (name, splits) in members.items()}
    found.class_names = sorted({name for name, _ in members.values() if is_text(name)})
    _note_classes(found, members, listing, layout)
    note_listing(found, listing)
    fill(found, members, progress, upright=upright)
    return found


def list_images(root: Path, tops: Iterable[Path]) -> Listing:
    """List the files of folders ``tops`` below ``root``; see ``unitscope.images.files.Listing``.

    Raises
    ------
    NotADataset
        A folder cannot be read.
    """
    together = Listing()
    for top in tops:
        try:
            listing = list_folder(root, top)
        except OSError as error:
            raise NotADataset(root=root, kind="folder", reason=f"{error.filename}: {error.strerror}") from error
        for name, paths in vars(together).items():
            paths += getattr(listing, name)
            paths.sort()
    return together


def refuse_dangling(root: Path, listing: Listing, folders: Iterable[str]) -> None:
    """Raise an error if a link in these folders leads to nothing: its target may not be mounted.

    Raises
    ------
    NotADataset
    """
    for path in listing.dangling:
        if parent(path) in folders:
            raise NotADataset(root=root, kind="folder", reason=f"{root / path}: it is a link to nothing")


def fill(
    found: FoundDataset,
    members: Mapping[str, tuple[str, tuple[str, ...]]],
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    upright: bool = False,
) -> None:
    """Scan image files, and add each to the images or the problems of ``found``.

    Parameters
    ----------
    members
        (class name, splits) by path, in the order of the images.
    upright
        Turn images as their EXIF orientation says.
    """
    root, files = Path(found.root), list(members)
    indices = {name: index for index, name in enumerate(found.class_names)}
    done = iter(range(1, len(files) + 1))
    scanned = scan_files(root, files, lambda _: progress(next(done), len(files)), upright=upright)
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
    note_empty_split(found, "move the images into train/CLASS and val/CLASS")
    _note_copies(found)
    complete(found, scanned, upright=upright)


def leave_out(found: FoundDataset, paths: Iterable[str], reason: str, detail: str = "") -> None:
    """Add images that are not used to the problems."""
    found.problems += (Problem(path, 0, reason, detail) for path in paths)


def note_listing(found: FoundDataset, listing: Listing) -> None:
    """Say what was not looked into, and which files are no images."""
    if listing.ignored:
        found.notes.append(f"Ignored: {first_of(listing.ignored)}, made by an operating system or a program.")
    if listing.loops:
        found.notes.append(f"Not followed: {first_of(listing.loops)}, a link to a folder that contains it.")
    others = [path for path in listing.others if "/" in path]  # notes and licences lie at the top
    if others:
        verb = "is no image" if len(others) == 1 else "are no images"
        found.notes.append(f"{len(others)} of the files {verb}: {first_of(others)}.")


def holds_classes(folder: Path) -> bool:
    """Return whether a folder has subfolders; a folder ``train`` without any is a class, not a split."""
    return folder.is_dir() and any(inner.is_dir() and inner.name[0] != "." for inner in folder.iterdir())


def is_text(name: str) -> bool:
    """Return whether a file name is valid UTF-8. On Linux it can be any bytes; the database stores text."""
    return not any("\udc80" <= letter <= "\udcff" for letter in name)


def _undivided(found: FoundDataset, root: Path, listing: Listing, layout: Layout) -> Members:
    """Return the members of a data set without split folders."""
    if ONLY_CLASS in found.options:
        return {path: (found.options[ONLY_CLASS], chosen_splits(path)) for path in listing.images}
    depth = len(f"{layout.base}/") if layout.base else 0
    folders = {path: path[depth:].partition("/") for path in listing.images}
    pools = _pools(root, listing.images, {path: folder for path, (folder, below, _) in folders.items() if below})
    if pools:
        found.notes.append(f"{first_of(sorted(pools))}: the classes link to the files in it, so it is no class.")
    only = len({folder for folder, below, _ in folders.values() if below}) == 1
    members: Members = {}
    for path, (folder, below, _) in folders.items():
        if not below:
            leave_out(found, [path], "not in a class folder")
        elif folder not in pools:
            members[path] = class_of(layout, folder) if only else nfc(folder), chosen_splits(path)
    return members


def _divided(found: FoundDataset, root: Path, listing: Listing, layout: Layout) -> Members:
    """Return the members of a data set with split folders."""
    splits_of: dict[str, list[str]] = defaultdict(list)
    for split, folders in layout.splits.items():
        for folder in folders:
            splits_of[folder].append(split)
    inside: dict[str, list[str]] = {folder: [] for folder in splits_of}
    outside: list[str] = []
    for path in listing.images:
        containing = next((above for above in _above(path) if above in inside), None)
        (outside if containing is None else inside[containing]).append(path)
    members: Members = {}
    classes = {
        nfc(path[len(f"{folder}/") :].split("/")[0])
        for folder in inside
        for path in inside[folder]
        if "train" in splits_of[folder] and parent(path) != folder
    }
    lists: set[str] = set()  # of classes, by path
    for folder, paths in inside.items():
        splits = tuple(splits_of[folder])
        labels = _labels(found, root, listing, splits[0], folder, paths, sorted(classes))
        lists |= {labels.path} if labels else set()
        for path in paths:
            name, below, _ = path[len(f"{folder}/") :].partition("/")
            label: str | None = found.options.get(ONLY_CLASS)
            label = labels.class_of(path) if labels else nfc(name) if below else label
            if label is not None:
                members[path] = label, splits
            elif labels:
                leave_out(found, [path], f"no class in {labels.path}")
            else:
                leave_out(found, [path], "not in a class folder")
    listing.others = [path for path in listing.others if path not in lists]
    if outside:
        leave_out(found, outside, "outside of the split folders")
        found.notes.append(
            f"{len(outside)} images are outside of the split folders and left out ({first_of(outside, 1)}). "
            "--split-folders names other folders, and --split-folders none makes all folders classes."
        )
    return dict(sorted(members.items()))


def _above(path: str) -> Iterable[str]:
    """Return the folders that contain a path, the innermost first."""
    while path := parent(path):
        yield path


def _labels(
    found: FoundDataset, root: Path, listing: Listing, split: str, folder: str, paths: list[str], known: list[str]
) -> Labels | None:
    """Return the labels of a split whose images are in no folders of the known classes, if there is a list."""
    prefix = len(f"{folder}/")
    named = {nfc(path[prefix:].split("/")[0]) for path in paths if parent(path) != folder}
    if not known or named & {*known} or not paths:
        return None
    labels = read_labels(root, listing, split, folder, known)
    if labels:
        numbers = ", whose numbers count the sorted classes from 0" if labels.are_numbers else ""
        found.notes.append(f"The classes of {folder} are read from {labels.path}{numbers}.")
    elif not named:
        found.notes.append(
            f"{folder} is left out ({len(paths)} images): it has no class folders, and no list of classes such as "
            f"{split}_annotations.txt or LOC_{split}_solution.csv is in it or above it."
        )
    return labels


def _pools(root: Path, images: Iterable[str], folders: Mapping[str, str]) -> set[str]:
    """Return folders of which every image is the target of a link in another folder."""
    real_root = os.path.realpath(root)
    targets = {
        os.path.relpath(os.path.realpath(root / path), real_root) for path in images if (root / path).is_symlink()
    }
    targets &= {*images}
    if not targets:
        return set()
    linked = {folders[path] for path in targets if path in folders}
    return linked - {folder for path, folder in folders.items() if path not in targets}


def _why_no_images(listing: Listing) -> str:
    if archives := [
        path for path in listing.others if path.lower().endswith((".zip", ".tar", ".gz", ".tgz", ".rar"))
    ]:
        return f"no file in it is an image. Unpack {first_of(archives)} first"
    return f"no file in it is an image{': ' + first_of(listing.others) if listing.others else ''}"


def _note_classes(found: FoundDataset, members: Members, listing: Listing, layout: Layout) -> None:
    """Say which classes are in some of the splits only, or have names that are easily confused."""
    by_split: dict[str, set[str]] = {split: set() for split in layout.splits}
    for name, splits in members.values():
        for split in splits:
            by_split.setdefault(split, set()).add(name)
    if layout.splits:
        some = {split: names for split, names in by_split.items() if names}
        for split, names in some.items():
            if missing := sorted({name for other in some.values() for name in other} - names):
                found.notes.append(f"Split {split} has no images of {first_of(missing)}.")
    folded: dict[str, list[str]] = defaultdict(list)
    for name in found.class_names:
        folded[name.casefold()].append(name)
    if same := [", ".join(names) for names in folded.values() if len(names) > 1]:
        found.notes.append(f"Classes whose names differ only in upper and lower case: {'; '.join(same[:3])}.")
    tops = {join(layout.base, "")} if not layout.splits else {f"{f}/" for fs in layout.splits.values() for f in fs}
    tops = {top.rstrip("/") for top in tops}
    class_folders = [path for path in listing.folders if parent(path) in tops]
    spelled: dict[str, set[str]] = defaultdict(set)
    for path in class_folders:
        spelled[nfc(name_of(path))].add(name_of(path))
    if twice := sorted(name for name, spellings in spelled.items() if len(spellings) > 1):
        found.notes.append(f"One class, though spelled in two ways (Unicode NFC and NFD): {first_of(twice)}.")
    used = {above for path in listing.images for above in _above(path)}
    if empty := [path for path in class_folders if path not in used]:
        found.notes.append(f"Folders without an image: {first_of(empty)}.")


def _note_copies(found: FoundDataset) -> None:
    """Warn of files with the same content in several classes, or both in ``train`` and ``val``."""
    copies: dict[str, list[FoundImage]] = defaultdict(list)
    for image in found.images:
        copies[image.sha256].append(image)
    by_place: dict[str, list[list[FoundImage]]] = defaultdict(list)
    for images in copies.values():
        splits = {split for image in images for split in image.splits}
        across_classes = len({image.class_name for image in images}) > 1
        across_splits = len(images) > 1 and splits >= {"train", "val"}
        if across_classes:
            by_place["in more than one class"].append(images)
        if across_splits:
            by_place["in both train and val"].append(images)
        if len(images) > 1 and not (across_classes or across_splits):
            by_place["in one class"].append(images)
    for where, groups in by_place.items():
        first = first_of([image.path for image in groups[0]])
        found.notes.append(f"{sum(map(len, groups))} files with equal content are {where} (first: {first}).")
