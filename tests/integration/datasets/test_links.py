"""Data sets that their owner linked together: links are followed, paths in annotations and lists lead nowhere."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from producer.datasets.caltech import read_caltech
from producer.datasets.choice import _images_of_file
from producer.datasets.cifar import read_cifar
from producer.datasets.folder import read_folder
from producer.datasets.scan import BrokenFile, scan_file
from producer.datasets.voc import read_voc
from shared.database.catalogue import FoundDataset, find_dataset, register
from shared.database.connection import Database
from shared.errors import NotADataset
from tests.integration.datasets.helpers import (
    GOOD,
    Voc,
    an_annotation,
    an_object,
    encoded,
    noise,
    source_of,
    write_folder,
)
from unitscope.data.images import read_image


def linked(path: Path, disk: Path, name: str | None = None) -> Path:
    """Move a file or folder to another disk and put a link in its place; returns where it is now."""
    disk.mkdir(parents=True, exist_ok=True)
    target = disk / (name or path.name)
    path.rename(target)
    path.symlink_to(target)
    return target


def assert_same(found: FoundDataset, before: FoundDataset) -> None:
    """Nothing is left out, and jobs see the same data set: the worker can read every image, too."""
    assert found.problems == []
    assert found.fingerprint == before.fingerprint
    for image in found.images:
        read_image(source_of(found, image), 16)


@pytest.fixture
def voc(tmp_path: Path) -> Voc:
    voc = Voc(tmp_path / "data" / "VOCdevkit")
    voc.add("one", an_object())
    voc.add("two", an_object("cat"))
    voc.split("train", "one")
    voc.split("val", "two")
    return voc


@pytest.mark.parametrize(
    "part",
    [
        "JPEGImages",
        "JPEGImages/one.png",
        "Annotations",
        "Annotations/one.xml",
        "ImageSets",
        "ImageSets/Main/train.txt",
        ".",
        "..",
    ],
)
def test_any_part_of_a_voc_set_may_be_a_link(voc: Voc, tmp_path: Path, part: str) -> None:
    before = read_voc(voc.root)
    linked(Path(os.path.normpath(voc.year / part)), tmp_path / "disk", "another-name")
    assert_same(read_voc(voc.root), before)
    assert_same(read_voc(voc.root.parent), before)


@pytest.mark.parametrize("name", ["another-name", "VOC2007"])
def test_the_folder_of_a_year_may_be_a_link_and_given_as_root(voc: Voc, tmp_path: Path, name: str) -> None:
    before = read_voc(voc.root)
    linked(voc.year, tmp_path / "disk", name)
    assert_same(read_voc(voc.year), before)


def test_an_annotation_leads_nowhere_through_a_linked_folder(voc: Voc, tmp_path: Path) -> None:
    disk = linked(voc.year / "JPEGImages", tmp_path / "disk")
    for name in ("secret.png", "also.png"):
        (tmp_path / name).write_bytes(encoded(noise(seed=5)))
    (disk / "sub").mkdir()
    (disk / "sub" / "also.png").write_bytes(GOOD)
    names = ("../secret.png", str(tmp_path / "secret.png"), "sub/../../secret.png", "..", "sub/../one.png")
    for number, name in enumerate(names):
        voc.annotation(f"bad{number}", an_annotation(name, an_object()))
    voc.split("train", *(f"bad{number}" for number in range(len(names))), "one")
    found = read_voc(voc.root)
    assert [Path(image.path).stem for image in found.images] == ["one", "two"]
    assert [problem.reason for problem in found.problems] == ["path outside the data set"] * 4 + [
        "image annotated twice"  # only the last part of a path is used, and `one.png` exists
    ]
    voc.annotation("bad1", an_annotation(str(tmp_path / "also.png"), an_object()))
    found = read_voc(voc.root)
    assert [image.path for image in found.images] == [
        "VOC2007/JPEGImages/sub/also.png", "VOC2007/JPEGImages/one.png", "VOC2007/JPEGImages/two.png",
    ]  # fmt: skip
    assert {image.sha256 for image in found.images} == {hashlib.sha256(GOOD).hexdigest()}


@pytest.mark.parametrize("path", ["../secret.png", "ant/../../secret.png", "/etc/passwd", ".."])
def test_no_reader_can_have_a_path_read_that_leads_out(tmp_path: Path, path: str) -> None:
    root = write_folder(tmp_path / "data", ["ant/a.png"])
    (tmp_path / "secret.png").write_bytes(GOOD)
    result = scan_file(root, path)
    assert isinstance(result, BrokenFile)
    assert result.reason == "path outside the data set"


def folders(root: Path) -> FoundDataset:
    return read_folder(root)


def cifar(root: Path) -> FoundDataset:
    return read_cifar(root, "cifar10")


def caltech(root: Path) -> FoundDataset:
    return read_caltech(root, "caltech101")


DIVIDED = [f"{split}/{name}/{number}.png" for split in ("train", "test") for name in "ab" for number in (0, 1)]
PLAIN = ["ant/1.png", "ant/deep/er/2.png", "bee/3.png"]
READERS: dict[str, tuple[Callable[[Path], FoundDataset], str, list[str], list[str]]] = {
    "folder": (folders, "data", PLAIN, ["ant", "ant/deep", "ant/deep/er/2.png", "bee/3.png", "."]),
    "divided folder": (folders, "data", [*DIVIDED, "val/a/9.png"], ["train", "train/a", "val", "."]),
    "cifar": (cifar, "data", DIVIDED, ["train", "test/b", "train/a/0.png", "."]),
    "caltech": (caltech, "101_ObjectCategories", PLAIN, ["ant", "ant/deep", "bee/3.png", "."]),
}


@pytest.mark.parametrize(("name", "part"), [(name, part) for name in READERS for part in READERS[name][3]])
def test_any_part_of_a_folder_of_images_may_be_a_link(name: str, part: str, tmp_path: Path) -> None:
    read, folder, paths, _ = READERS[name]
    root = write_folder(tmp_path / folder, paths)
    before = read(root)
    assert len(before.images) == len(paths)
    target = linked(root / part, tmp_path / "disk", f"another-name{Path(part).suffix}")
    assert target.exists()
    assert_same(read(root), before)


def test_links_that_lead_back_are_noticed(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", PLAIN)
    far = write_folder(tmp_path / "far", ["4.png"])
    (root / "ant" / "up").symlink_to(root)
    (root / "ant" / "self").symlink_to(root / "ant" / "self")
    (far / "back").symlink_to(root / "cat")
    (root / "cat").symlink_to(far)
    (root / "same").symlink_to(root / "bee")
    found = read_folder(root)
    assert [image.path for image in found.images] == sorted([*PLAIN, "cat/4.png", "same/3.png"])
    assert found.problems == []


def test_a_broken_link_as_a_class_folder_is_an_error(tmp_path: Path) -> None:
    """The disk may not be mounted."""
    root = write_folder(tmp_path / "data", PLAIN)
    linked(root / "bee", tmp_path / "disk").rename(tmp_path / "away")
    with pytest.raises(NotADataset, match="bee: it is a link to nothing"):
        read_folder(root)


def test_an_image_is_found_by_any_path_that_leads_to_it(voc: Voc, tmp_path: Path, database: Database) -> None:
    disk = linked(voc.year / "JPEGImages", tmp_path / "disk")
    (tmp_path / "entry").symlink_to(voc.root)
    register(database, "voc", read_voc(voc.root))
    with database.read() as session:
        dataset = find_dataset(session, "voc")
        (expected,) = _images_of_file(session, dataset, Path("VOC2007/JPEGImages/one.png"))
        for path in (
            voc.year / "JPEGImages" / "one.png",
            tmp_path / "entry" / "VOC2007" / "JPEGImages" / "one.png",
            disk / "one.png",
        ):
            assert _images_of_file(session, dataset, path) == [expected], path
