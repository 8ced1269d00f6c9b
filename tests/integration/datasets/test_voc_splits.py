"""Years, roots and split lists of VOC data sets: what is taken, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from producer.datasets.folder import read_folder
from producer.datasets.voc import read_voc
from shared.database.catalogue import register
from shared.database.connection import Database
from shared.errors import NoDatasetThere
from tests.integration.datasets.helpers import Voc, an_object, only_problem, stems


def two_years(root: Path) -> None:
    for year in ("2007", "2012"):
        folder = Voc(root, year)
        folder.add(f"of{year}", an_object())
        folder.split("train", f"of{year}")


def test_all_years_are_taken_unless_some_are_named(tmp_path: Path) -> None:
    two_years(tmp_path)
    assert stems(read_voc(tmp_path)) == ["of2007", "of2012"]
    for year in ("2007", "2012"):
        assert stems(read_voc(tmp_path, years=(year,))) == [f"of{year}"]


@pytest.mark.parametrize("given", [".", "VOCdevkit"])
def test_root_may_be_vocdevkit_or_the_folder_that_holds_it(tmp_path: Path, given: str) -> None:
    two_years(tmp_path / "VOCdevkit")
    found = read_voc(tmp_path / given)
    assert stems(found) == ["of2007", "of2012"]
    assert found.root == str(tmp_path / "VOCdevkit")


@pytest.mark.parametrize("year", ["2007", "2012"])
def test_root_may_be_the_folder_of_a_year(tmp_path: Path, year: str) -> None:
    two_years(tmp_path / "VOCdevkit")
    found = read_voc(tmp_path / "VOCdevkit" / f"VOC{year}")
    assert stems(found) == [f"of{year}"]
    assert (Path(found.root) / found.images[0].path).is_file()


@pytest.mark.parametrize(
    "given", ["nothing", "VOCdevkit/VOC2007/JPEGImages", "VOCdevkit/VOC2007/Annotations/a.xml"]
)
def test_root_without_voc_is_refused(tmp_path: Path, given: str) -> None:
    two_years(tmp_path / "VOCdevkit")
    with pytest.raises(NoDatasetThere):
        read_voc(tmp_path / given)


def test_year_that_is_not_there_is_refused(tmp_path: Path) -> None:
    Voc(tmp_path, "2007").split("train")
    with pytest.raises(NoDatasetThere, match="VOC2012"):
        read_voc(tmp_path, years=("2007", "2012"))


def test_root_that_is_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for read in (read_voc, read_folder):
        with pytest.raises(NoDatasetThere):
            read(tmp_path / "loop")


def test_image_in_several_splits_is_one_row(voc: Voc) -> None:
    for split in ("train", "trainval", "val"):
        voc.split(split, "good", "good")
    found = read_voc(voc.root)
    assert [image.splits for image in found.images] == [("train", "trainval", "val")]


def test_split_lists_per_class_are_taken_only_if_named(voc: Voc) -> None:
    for name in ("with", "without", "hard"):
        voc.add(name, an_object("aeroplane"))
    voc.split("train", "with", "without", "hard")
    voc.split("aeroplane_train", "with  1", "without -1", "hard  0")
    found = read_voc(voc.root)
    assert {split for image in found.images for split in image.splits} == {"train"}
    found = read_voc(voc.root, splits=("aeroplane_train",))
    assert [(Path(image.path).stem, image.splits) for image in found.images] == [("with", ("aeroplane_train",))]
    assert found.options["splits"] == ["aeroplane_train"]


def test_only_named_splits_are_taken(voc: Voc) -> None:
    voc.split("val", "good")
    assert [image.splits for image in read_voc(voc.root, splits=("val",)).images] == [("val",)]


@pytest.mark.parametrize("split", ["nosuch", "", "../Main/train", "train\n", "/etc/passwd", "a" * 300])
def test_split_that_is_not_there_is_refused(voc: Voc, split: str) -> None:
    with pytest.raises(NoDatasetThere):
        read_voc(voc.root, splits=(split,))


def test_data_set_without_split_lists_is_refused(voc: Voc) -> None:
    shutil.rmtree(voc.year / "ImageSets")
    with pytest.raises(NoDatasetThere, match="split list"):
        read_voc(voc.root)


@pytest.mark.parametrize("stray", ["train - copy.txt", ".txt", "für mich.txt", "notes (1).txt"])
def test_stray_files_beside_the_split_lists_do_no_harm(voc: Voc, stray: str) -> None:
    voc.split("train", "good")
    (voc.year / "ImageSets" / "Main" / stray).write_text("what is this\n")
    assert [image.splits for image in read_voc(voc.root).images] == [("train",)]


def test_folder_named_like_a_split_list_does_no_harm(voc: Voc) -> None:
    voc.split("train", "good")
    (voc.year / "ImageSets" / "Main" / "old.txt").mkdir()
    assert [image.splits for image in read_voc(voc.root).images] == [("train",)]


def test_split_with_no_usable_image_is_known_all_the_same(voc: Voc) -> None:
    voc.split("val")
    voc.split("test", "missing")
    found = read_voc(voc.root, splits=("train", "val", "test"))
    assert found.options["splits"] == ["test", "train", "val"]


BAD_IDS = [
    "../good",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "..",
    "-x",
    "good;rm",
    "x" * 101,
    "ümlaut",
    "good\x00",
    "\x1b[2J",
]


@pytest.mark.parametrize("bad", BAD_IDS)
def test_bad_id_in_a_split_list_is_a_problem(voc: Voc, bad: str) -> None:
    voc.split("train", "good", bad)
    problem = only_problem(read_voc(voc.root))
    assert problem.reason == "bad image id"


def test_binary_split_list_is_only_problems(voc: Voc) -> None:
    (voc.year / "ImageSets" / "Main" / "train.txt").write_bytes(bytes(range(256)) * 4)
    found = read_voc(voc.root)
    assert not found.images
    assert found.problems


def test_problems_can_be_stored_whatever_was_in_the_files(voc: Voc, database: Database) -> None:
    (voc.year / "ImageSets" / "Main" / "train.txt").write_bytes(b"good\n\x00bad\n\xff\xfe\n\x1b[31m\n")
    voc.add("good", an_object("</name>'\"; DROP TABLE datasets; --\u202e\U0001f408"), an_object())
    found = read_voc(voc.root)
    assert len(found.images) == 1
    assert len(found.problems) == 4
    register(database, "odd", found)
