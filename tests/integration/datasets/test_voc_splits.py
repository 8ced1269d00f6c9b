"""Years, roots and split lists of VOC data sets: accepted and refused input."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from producer.datasets.folder import read_folder
from producer.datasets.hashed import chosen_splits
from producer.datasets.voc import read_voc
from shared.database.catalogue import register
from shared.database.connection import Database
from shared.errors import NotADataset
from tests.integration.datasets.helpers import Voc, an_object, only_problem, stems


def two_years(root: Path) -> None:
    for year in ("2007", "2012"):
        folder = Voc(root, year)
        folder.add(f"of{year}", an_object())
        folder.split("train", f"of{year}")


def test_all_years_are_read_by_default(tmp_path: Path) -> None:
    two_years(tmp_path)
    assert stems(read_voc(tmp_path)) == ["of2007", "of2012"]
    for year in ("2007", "2012"):
        assert stems(read_voc(tmp_path, years=(year,))) == [f"of{year}"]


@pytest.mark.parametrize("given", [".", "VOCdevkit"])
def test_root_may_be_vocdevkit_or_its_parent(tmp_path: Path, given: str) -> None:
    two_years(tmp_path / "VOCdevkit")
    dataset = read_voc(tmp_path / given)
    assert stems(dataset) == ["of2007", "of2012"]
    assert dataset.root == str(tmp_path / "VOCdevkit")


@pytest.mark.parametrize("year", ["2007", "2012"])
def test_root_may_be_the_folder_of_a_year(tmp_path: Path, year: str) -> None:
    two_years(tmp_path / "VOCdevkit")
    dataset = read_voc(tmp_path / "VOCdevkit" / f"VOC{year}")
    assert stems(dataset) == [f"of{year}"]
    assert (Path(dataset.root) / dataset.images[0].path).is_file()


@pytest.mark.parametrize(
    "given", ["nothing", "VOCdevkit/VOC2007/JPEGImages", "VOCdevkit/VOC2007/Annotations/a.xml"]
)
def test_root_without_voc_is_refused(tmp_path: Path, given: str) -> None:
    two_years(tmp_path / "VOCdevkit")
    with pytest.raises(NotADataset):
        read_voc(tmp_path / given)


def test_missing_year_is_refused(tmp_path: Path) -> None:
    Voc(tmp_path, "2007").split("train")
    with pytest.raises(NotADataset, match="VOC2012"):
        read_voc(tmp_path, years=("2007", "2012"))


def test_root_that_links_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for read in (read_voc, read_folder):
        with pytest.raises(NotADataset):
            read(tmp_path / "loop")


def test_image_in_several_splits_is_one_row(voc: Voc) -> None:
    for split in ("train", "trainval", "val"):
        voc.split(split, "good", "good")
    dataset = read_voc(voc.root)
    assert [image.splits for image in dataset.images] == [("train", "trainval", "val")]


def test_split_lists_per_class_are_read_only_if_named(voc: Voc) -> None:
    for name in ("with", "without", "hard"):
        voc.add(name, an_object("aeroplane"))
    voc.split("train", "with", "without", "hard")
    voc.split("aeroplane_train", "with  1", "without -1", "hard  0")
    dataset = read_voc(voc.root)
    assert {split for image in dataset.images for split in image.splits} == {"train"}
    dataset = read_voc(voc.root, splits=("aeroplane_train",))
    assert [(Path(image.path).stem, image.splits) for image in dataset.images] == [("with", ("aeroplane_train",))]
    assert dataset.options["splits"] == ["aeroplane_train"]


def test_only_named_splits_are_read(voc: Voc) -> None:
    voc.split("val", "good")
    assert [image.splits for image in read_voc(voc.root, splits=("val",)).images] == [("val",)]


@pytest.mark.parametrize("split", ["nosuch", "", "../Main/train", "train\n", "/etc/passwd", "a" * 300])
def test_missing_split_is_refused(voc: Voc, split: str) -> None:
    with pytest.raises(NotADataset):
        read_voc(voc.root, splits=(split,))


def test_data_set_without_split_lists_is_divided_by_a_hash(voc: Voc) -> None:
    shutil.rmtree(voc.year / "ImageSets")
    dataset = read_voc(voc.root)
    assert [image.splits for image in dataset.images] == [chosen_splits(voc.path("good.png"))]
    assert dataset.options["splits"] == ["all", "train", "val"]
    with pytest.raises(NotADataset, match=r"no split nosuch\. It has: all, train, val"):
        read_voc(voc.root, splits=("nosuch",))


@pytest.mark.parametrize("stray", ["train - copy.txt", ".txt", "für mich.txt", "notes (1).txt"])
def test_other_files_next_to_the_split_lists_are_ignored(voc: Voc, stray: str) -> None:
    voc.split("train", "good")
    (voc.year / "ImageSets" / "Main" / stray).write_text("what is this\n")
    assert [image.splits for image in read_voc(voc.root).images] == [("train",)]


def test_folder_named_like_a_split_list_is_ignored(voc: Voc) -> None:
    voc.split("train", "good")
    (voc.year / "ImageSets" / "Main" / "old.txt").mkdir()
    assert [image.splits for image in read_voc(voc.root).images] == [("train",)]


def test_split_without_valid_images_is_registered(voc: Voc) -> None:
    voc.split("val")
    voc.split("test", "missing")
    dataset = read_voc(voc.root, splits=("train", "val", "test"))
    assert dataset.options["splits"] == ["test", "train", "val"]


BAD_IDS = [
    "../good",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "..",
    ".",
    "x" * 300,
    "good\x00",
    "\x1b[2J",
]
ODD_IDS = ["-x", "good;rm", "x" * 101, "ümlaut", "图片_1", "a b", "a, b", "(1)"]


@pytest.mark.parametrize("bad", BAD_IDS)
def test_invalid_id_in_a_split_list_is_a_problem(voc: Voc, bad: str) -> None:
    voc.split("train", "good", bad)
    problem = only_problem(read_voc(voc.root))
    assert problem.reason == "bad image id"


@pytest.mark.parametrize("odd", ODD_IDS)
def test_any_name_of_a_file_is_an_id(voc: Voc, odd: str) -> None:
    voc.split("train", "good", odd)
    problem = only_problem(read_voc(voc.root))
    assert (problem.path, problem.reason) == (f"VOC2007/Annotations/{odd}.xml", "missing annotation")
    voc.add(odd, an_object())
    assert stems(read_voc(voc.root)) == sorted([odd, "good"])


def test_binary_split_list_gives_only_problems(voc: Voc) -> None:
    (voc.year / "ImageSets" / "Main" / "train.txt").write_bytes(bytes(range(256)) * 4)
    dataset = read_voc(voc.root)
    assert not dataset.images
    assert dataset.problems


def test_problems_with_any_characters_can_be_stored(voc: Voc, database: Database) -> None:
    (voc.year / "ImageSets" / "Main" / "train.txt").write_bytes(b"good\n\x00bad\n\xff\xfe\n\x1b[31m\n")
    voc.add("good", an_object("</name>'\"; DROP TABLE datasets; --\u202e\U0001f408"), an_object())
    dataset = read_voc(voc.root)
    assert len(dataset.images) == 1
    assert len(dataset.problems) == 4
    register(database, "odd", dataset)
