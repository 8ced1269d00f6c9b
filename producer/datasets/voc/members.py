"""The annotations of a data set, and the splits that they are in."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath

from producer.datasets.folder import is_text
from producer.datasets.hashed import HASHED, chosen_splits
from producer.datasets.notes import first_of, number_of
from producer.datasets.voc.index import stem_of
from producer.datasets.voc.layout import Layout, Part
from producer.datasets.voc.lists import has_lists, listed_annotations
from shared.database.catalogue import FoundDataset, Problem
from shared.errors import NotADataset
from unitscope.images.splits import split_of


@dataclass(frozen=True)
class Member:
    """An annotation that belongs to a data set. Without splits, the path of its image decides."""

    part: Part
    splits: frozenset[str]
    chosen: frozenset[str] | None  # splits to include, if they depend on the image's path

    def splits_of(self, image: str) -> tuple[str, ...]:
        """Return the splits of the image (path relative to the base), none if it is not to be read."""
        if self.splits:
            return tuple(sorted(self.splits))
        return tuple(split for split in chosen_splits(image) if self.chosen is None or split in self.chosen)


def members_of(
    layout: Layout, splits: tuple[str, ...] | None, classes: Collection[str], found: FoundDataset
) -> dict[str, Member]:
    """Return the annotations to read, by path relative to the base, sorted.

    Parameters
    ----------
    splits
        Names of splits to include; None for all.
    classes
        Names of classes, to recognise lists per class.
    found
        Gets the names of the splits, what was left out as problems, and notes.

    Raises
    ------
    NotADataset
        There is no split of a name in ``splits``.
    """
    members: dict[str, Member] = {}
    undivided: set[str] = set()
    found.options["splits"] = []
    for part in layout.parts:
        listed = listed_annotations(layout.base, part, splits, classes, found)
        if listed is None:
            members |= _divided(part, splits, found, undivided)
            continue
        members |= {path: Member(part, frozenset(names), None) for path, names in listed.items()}
        others = [path for path in _annotations(part) if path not in listed]
        if others and splits is None:
            found.notes.append(
                f"{number_of(len(others), 'annotation is', 'annotations are')} in no list: {first_of(others)}."
            )
    if loops := sorted({path for part in layout.parts for path in part.loops}):
        found.notes.append(f"Not followed, because they lead back to a folder above: {first_of(loops)}.")
    if undivided:
        found.notes.append(
            "Neither lists in ImageSets nor folders divide the images: all are in the split all, and a hash of "
            "the path puts one in five into val and the others into train."
        )
    for split in splits or ():
        if split not in found.options["splits"]:
            has = ", ".join(sorted({*found.options["splits"], *undivided}))
            raise NotADataset(root=found.root, kind="voc", reason=f"there is no split {split}. It has: {has}")
    return dict(sorted(members.items()))


def _divided(
    part: Part, splits: tuple[str, ...] | None, found: FoundDataset, undivided: set[str]
) -> dict[str, Member]:
    """Return all annotations of a part, divided by its folders or a hash of their images' paths."""
    names = part.annotation_index.paths
    folders = [split_of(PurePosixPath(name).parts[0]) if "/" in name else None for name in names]
    by_folder = part.split is None and bool(names) and None not in folders
    wanted = frozenset(splits) if splits is not None else None
    members: dict[str, Member] = {}
    existing: set[str] = set()
    for path, folder in zip(_annotations(part), folders, strict=True):
        if not is_text(path):
            found.problems.append(Problem(ascii(path), 0, "name not UTF-8", ascii(path)))
            continue
        split = folder if by_folder else part.split
        existing |= {split} if split else set(HASHED)
        if split is None:
            undivided.update(HASHED)
        if wanted is None or split is None or split in wanted:
            members[path] = Member(part, frozenset({split} if split else ()), wanted)
    existing |= {part.split} if part.split else set()
    chosen = existing if wanted is None else existing & wanted
    found.options["splits"] = sorted({*found.options["splits"], *chosen})
    return members


def _annotations(part: Part) -> list[str]:
    folder = f"{part.annotations}/" if part.annotations else ""
    return [folder + path for path in part.annotation_index.paths]


def leave_out_images_without_annotation(layout: Layout, annotated: Collection[str], found: FoundDataset) -> None:
    """Add the images that no annotation refers to, in parts without lists (lists leave out images on purpose)."""
    for part in layout.parts:
        folder = f"{part.images}/" if part.images else ""
        for name in () if has_lists(part) else part.pictures:
            stem = PurePosixPath(stem_of(name)).name
            if folder + name not in annotated and not part.annotation_index.with_stem(stem):
                path = folder + name if is_text(name) else ascii(folder + name)
                found.problems.append(Problem(path, 0, "missing annotation", path))
