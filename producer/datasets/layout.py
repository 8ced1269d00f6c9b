"""Layout of a folder of images: which of its folders are splits, which are classes, and which only wrap others.

All functions work on the listed paths; nothing is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from producer.datasets.notes import first_of
from shared.errors import NotADataset
from unitscope.images.files import Listing
from unitscope.images.splits import GENERIC, SPLITS, rest_of, split_in, split_of
from unitscope.spelling import nfc

NO_SPLITS = "none"  # value of --split-folders: all folders are classes


@dataclass
class Layout:
    """Where the images are.

    ``base`` is the folder that holds the classes or the splits, relative to the root, "" for the root itself.
    ``splits`` has the folders of each split that hold its classes, relative to the root; it is empty where images
    are not divided. ``flat`` says that the images have no classes: they lie in ``base`` or in the split folders
    themselves.
    """

    base: str = ""
    splits: dict[str, list[str]] = field(default_factory=dict)
    flat: bool = False
    notes: list[str] = field(default_factory=list)


class Tree:
    """Folders with images: ``inner`` are the names of those in a folder, ``direct`` the folders with images of
    their own, ``folders`` all folders, also those without images."""

    def __init__(self, listing: Listing) -> None:
        self.inner: dict[str, set[str]] = defaultdict(set)
        self.direct: set[str] = set()
        self.folders: dict[str, list[str]] = defaultdict(list)
        for path in listing.folders:
            self.folders[parent(path)].append(name_of(path))
        for folder in {parent(path) for path in listing.images}:
            self.direct.add(folder)
            while folder:
                self.inner[parent(folder)].add(name_of(folder))
                folder = parent(folder)


def find_layout(root: str, listing: Listing, split_folders: str | None) -> Layout:
    """Find the splits and classes of a folder of images.

    Parameters
    ----------
    root
        The folder, for messages.
    split_folders
        What was chosen: ``train=Training,val=Testing``; ``none`` for no splits; None to find them by their names.

    Raises
    ------
    NotADataset
        A chosen folder does not exist or has no images.
    """
    tree = Tree(listing)
    if split_folders and split_folders != NO_SPLITS:
        chosen = _chosen(root, tree, split_folders)
        return Layout(splits=chosen, flat=_without_classes(tree, chosen))
    layout = Layout()
    find_splits = split_folders != NO_SPLITS
    while True:
        if find_splits and (splits := _splits(tree, layout.base)):
            layout.splits = {
                split: [_unwrapped(tree, folder, split) for folder in splits[split]] for split in splits
            }
            layout.flat = _without_classes(tree, layout.splits)
            _note_names(layout, splits)
            break
        only = next(iter(tree.inner[layout.base])) if len(tree.inner[layout.base]) == 1 else None
        if only is None or layout.base in tree.direct:
            break
        below = join(layout.base, only)
        if below in tree.direct or not tree.inner[below]:
            break
        layout.base = below
    if not layout.splits:
        layout.flat = layout.base in tree.direct and not tree.inner[layout.base]
        if find_splits:
            _note_possible_splits(layout, tree)
    if layout.base:
        layout.notes.insert(0, f"The classes are in {layout.base}: the folders around them are no classes.")
    return layout


def class_of(layout: Layout, folder: str) -> str:
    """Return the class of the only folder in ``base``: of ``cat/images`` it is ``cat``."""
    if folder.lower() in GENERIC and layout.base and not layout.splits:
        return nfc(name_of(layout.base))
    return nfc(folder)


def parse_split_folders(text: str) -> dict[str, str]:
    """Parse ``train=Training,val=Testing`` to the folder of each split.

    Raises
    ------
    ValueError
        The message says what is wrong.
    """
    folders = {}
    for item in text.split(","):
        split, equals, folder = (part.strip() for part in item.partition("="))
        if not (equals and split.isidentifier() and split.isascii() and folder):
            raise ValueError(f"{item!r} is not SPLIT=FOLDER")
        folder = folder.strip("/")
        if folder in ("", ".") or ".." in folder.split("/"):
            raise ValueError(f"{item!r}: the folder must be inside the data set")
        if split in folders:
            raise ValueError(f"split {split} has two folders")
        folders[split] = folder
    return folders


def parent(path: str) -> str:
    """Return the folder of a relative path, "" for the root."""
    return path.rpartition("/")[0]


def name_of(path: str) -> str:
    """Return the last part of a path."""
    return path.rpartition("/")[2]


def join(folder: str, name: str) -> str:
    """Return the path of ``name`` in a folder, which is "" for the root."""
    return f"{folder}/{name}" if folder else name


def _chosen(root: str, tree: Tree, split_folders: str) -> dict[str, list[str]]:
    with_images = sorted({join(above, name) for above, names in tree.inner.items() for name in names})
    exact, folded = ({key(nfc(path)): path for path in with_images} for key in (str, str.casefold))
    splits = {}
    for split, given in parse_split_folders(split_folders).items():
        folder = exact.get(nfc(given)) or folded.get(nfc(given).casefold())
        if folder is None:
            known = first_of(sorted(tree.inner[""]), 10) or "none"
            reason = f"--split-folders: there is no folder {given} with images in it. Folders with images: {known}"
            raise NotADataset(root=root, kind="folder", reason=reason)
        splits[split] = [_unwrapped(tree, folder, split)]
    return splits


def _splits(tree: Tree, base: str) -> dict[str, list[str]]:
    """Return the folders in ``base`` that are splits, by split; nothing if they are classes."""
    names = [name for name in tree.folders[base] if tree.inner[join(base, name)] or tree.folders[join(base, name)]]
    flat = [name for name in tree.folders[base] if join(base, name) in tree.direct and name not in names]
    splits = _by_split(split_of, [*names, *flat])
    others = [name for name in tree.inner[base] if not any(name in folders for folders in splits.values())]
    if not any(tree.inner[join(base, name)] for name in names):  # only classes, or splits without classes
        distinct = len(splits) > 1 and not others and base not in tree.direct
        return _located(splits, base) if distinct else {}
    divided = {split for split, folders in splits.items() for name in folders if tree.inner[join(base, name)]}
    if divided and (
        "train" in divided or len(splits) > 1 or not others or _share_classes(tree, base, splits, others)
    ):
        return _located(splits, base)
    # Names with more words, such as asl_alphabet_train and asl_alphabet_test.
    longer = _located(_by_split(split_in, names), base)
    folders = [_unwrapped(tree, folder, split) for split in longer for folder in longer[split]]
    alike = len({rest_of(name_of(folder)) for paths in longer.values() for folder in paths}) == 1
    if len(longer) > 1 and (alike or set.intersection(*(tree.inner[folder] for folder in folders))):
        return longer
    return {}


def _by_split(split_named: Callable[[str], str | None], names: list[str]) -> dict[str, list[str]]:
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name in sorted(names):
        if split := split_named(name):
            splits[split].append(name)
    return {split: folders for split, folders in splits.items() if folders}


def _located(splits: dict[str, list[str]], base: str) -> dict[str, list[str]]:
    return {split: [join(base, name) for name in names] for split, names in splits.items()}


def _share_classes(tree: Tree, base: str, splits: dict[str, list[str]], others: list[str]) -> bool:
    """Return whether another folder has the same classes: it is a split, too, under an unknown name."""
    classes = {name for names in splits.values() for folder in names for name in tree.inner[join(base, folder)]}
    return any(classes & tree.inner[join(base, other)] for other in others)


def _unwrapped(tree: Tree, folder: str, split: str) -> str:
    """Return the folder that holds the classes of a split: ``seg_train/seg_train``, ``train/images``."""
    while folder not in tree.direct and len(tree.inner[folder]) == 1:
        (only,) = tree.inner[folder]
        repeated = only.lower() in GENERIC or only.casefold() == name_of(folder).casefold()
        if not (repeated or (split_of(only) == split and tree.inner[join(folder, only)])):
            break
        folder = join(folder, only)
    return folder


def _without_classes(tree: Tree, splits: dict[str, list[str]]) -> bool:
    return not any(tree.inner[folder] for folders in splits.values() for folder in folders)


def _note_names(layout: Layout, splits: dict[str, list[str]]) -> None:
    """Say which folders are taken for splits, unless they have the usual names."""
    if any(folders != [join(layout.base, split)] for split, folders in splits.items()):
        taken = "; ".join(f"{split}: {', '.join(folders)}" for split, folders in splits.items())
        layout.notes.append(f"Folders are taken for splits ({taken}). --split-folders changes it.")


def _note_possible_splits(layout: Layout, tree: Tree) -> None:
    """Warn of classes that look like splits, and of classes whose folders do."""
    classes = sorted(tree.inner[layout.base])
    like = [name for name in classes if split_in(name) and tree.inner[join(layout.base, name)]]
    if like and len(classes) <= 4:
        example = ",".join(f"{split_in(name)}={join(layout.base, name)}" for name in like)
        layout.notes.append(
            f"Folders {first_of(like)} are read as classes. If they are splits, add --split-folders {example}."
        )
    if generic := [name for name in classes if name.lower() in GENERIC and len(classes) > 1]:
        layout.notes.append(
            f"{first_of(generic)} is read as a class. If it holds all images, give it alone as --root."
        )
    inside = {name for folder in classes for name in tree.inner[join(layout.base, folder)] if split_of(name)}
    if len({split_of(name) for name in inside}) > 1:
        layout.notes.append(
            f"Folders {first_of(sorted(inside))} inside of the classes are not read as splits: splits are read "
            "from SPLIT/CLASS, not from CLASS/SPLIT."
        )
