"""Data sets with a folder per class: classes, splits, ignored and refused files."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from producer.datasets.folder import read_folder
from shared.database.catalogue import register
from shared.database.connection import Database
from shared.errors import NotADataset
from tests.integration.datasets.helpers import (
    BROKEN_IMAGES,
    GOOD,
    as_rgb,
    encoded,
    grey_ramp,
    noise,
    source_of,
    write_folder,
)
from unitscope.data.images import read_image


def test_folder_per_class_is_read_and_split(tmp_path: Path) -> None:
    names = [f"{name}/{number:03}.png" for name in ("cat", "ant", "bee") for number in range(60)]
    dataset = read_folder(write_folder(tmp_path / "data", names))
    assert dataset.class_names == ["ant", "bee", "cat"]
    assert [image.path for image in dataset.images] == sorted(names)
    assert {(i.class_name, i.class_index) for i in dataset.images} == {("ant", 0), ("bee", 1), ("cat", 2)}
    sizes = Counter(split for image in dataset.images for split in image.splits)
    assert sizes["all"] == 180
    assert sizes["train"] + sizes["val"] == 180
    assert 18 <= sizes["val"] <= 54  # one in five, chosen by a hash
    assert all(image.box is None and image.object_number == 0 for image in dataset.images)


def test_split_of_an_image_depends_only_on_its_path(tmp_path: Path) -> None:
    names = [f"cat/{number:03}.png" for number in range(40)]
    few = read_folder(write_folder(tmp_path / "few", names[::2]))
    many = read_folder(write_folder(tmp_path / "many", names, encoded(noise(seed=5))))
    splits = {image.path: image.splits for image in many.images}
    assert {image.path: image.splits for image in few.images} == {path: splits[path] for path in names[::2]}


def test_hidden_folders_and_files_are_ignored(tmp_path: Path) -> None:
    names = ["ant/1.png", "ant/._1.png", ".thumbnails/1.png", "ant/.cache/1.png"]
    dataset = read_folder(write_folder(tmp_path / "data", names))
    assert (dataset.class_names, [image.path for image in dataset.images]) == (["ant"], ["ant/1.png"])
    assert dataset.problems == []


def test_existing_split_folders_are_kept(tmp_path: Path) -> None:
    paths = ["train/ant/a.png", "train/bee/a.png", "val/ant/a.png", "test/cat/a.png"]
    dataset = read_folder(write_folder(tmp_path / "data", paths))
    assert dataset.class_names == ["ant", "bee", "cat"]
    assert {image.path: image.splits for image in dataset.images} == {
        path: (path.split("/")[0],) for path in paths
    }
    assert dataset.options["splits"] == ["train", "val", "test"]


def test_class_may_be_called_train(tmp_path: Path) -> None:
    dataset = read_folder(write_folder(tmp_path / "data", ["car/a.png", "train/a.png", "train/b.png"]))
    assert dataset.class_names == ["car", "train"]
    assert len(dataset.images) == 3


def test_folders_below_a_class_belong_to_it(tmp_path: Path) -> None:
    dataset = read_folder(
        write_folder(tmp_path / "data", ["ant/a.png", "ant/x/a.png", "ant/x/y/a.JPG", "bee/a.png"])
    )
    assert [(i.path, i.class_name) for i in dataset.images] == [
        ("ant/a.png", "ant"), ("ant/x/a.png", "ant"), ("ant/x/y/a.JPG", "ant"), ("bee/a.png", "bee")
    ]  # fmt: skip


def test_files_that_are_no_images_are_ignored_and_named(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", ["ant/a.png", "ant/notes.txt", "ant/Thumbs.db"])
    (root / "ant" / "noending").write_text("no image")
    dataset = read_folder(root)
    assert [image.path for image in dataset.images] == ["ant/a.png"]
    assert not dataset.problems
    assert "2 of the files are no images: ant/noending, ant/notes.txt." in dataset.notes


def test_images_beside_class_folders_are_left_out(tmp_path: Path) -> None:
    dataset = read_folder(write_folder(tmp_path / "data", ["ant/a.png", "ant/noending", "top.png"]))
    assert [image.path for image in dataset.images] == ["ant/a.png", "ant/noending"]
    assert [(p.path, p.reason) for p in dataset.problems] == [("top.png", "not in a class folder")]


@pytest.mark.parametrize("paths", [[], ["ant/notes.txt"]])
def test_folder_without_images_is_refused(tmp_path: Path, paths: list[str]) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(NotADataset):
        read_folder(write_folder(tmp_path / "data", paths))


def test_folder_that_is_a_file_or_missing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("file", "file/below", "missing"):
        with pytest.raises(NotADataset):
            read_folder(tmp_path / name)


def test_greyscale_images_are_read_as_rgb(tmp_path: Path) -> None:
    dataset = read_folder(write_folder(tmp_path / "data", ["ant/a.png"], encoded(grey_ramp(8))))
    assert np.array_equal(read_image(source_of(dataset, dataset.images[0]), 16), as_rgb(grey_ramp(8)))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bad_files_of_a_folder_are_problems(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", ["ant/good.png"])
    for number, (content, _) in enumerate(BROKEN_IMAGES.values()):
        (root / "ant" / f"bad{number:02}.jpg").write_bytes(content)
    (root / "ant" / "loop.png").symlink_to("loop.png")
    os.mkfifo(root / "ant" / "pipe.png")
    dataset = read_folder(root)
    assert [image.path for image in dataset.images] == ["ant/good.png"]
    reasons = {Path(problem.path).stem: problem.reason for problem in dataset.problems}
    assert [reasons[f"bad{number:02}"] for number in range(len(BROKEN_IMAGES))] == [
        reason for _, reason in BROKEN_IMAGES.values()
    ]
    assert {"loop", "pipe"} <= set(reasons)


def test_circular_links_are_not_followed_forever(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", ["ant/a.png"])
    (root / "ant" / "up").symlink_to(root)
    (root / "same").symlink_to(root / "ant")
    assert {image.path for image in read_folder(root).images} >= {"ant/a.png"}


@pytest.mark.parametrize("path", [b"ant/\xff.png", b"\xffbee/a.png"])
def test_name_that_is_not_valid_text_is_a_problem(tmp_path: Path, path: bytes, database: Database) -> None:
    root = write_folder(tmp_path / "data", ["ant/good.png"])
    odd = Path(os.fsdecode(os.fsencode(root) + b"/" + path))
    odd.parent.mkdir(exist_ok=True)
    odd.write_bytes(GOOD)
    dataset = read_folder(root)
    assert [image.path for image in dataset.images] == ["ant/good.png"]
    assert dataset.class_names == ["ant"]
    assert len(dataset.problems) == 1
    register(database, "odd", dataset)


@pytest.mark.parametrize(
    "name", ["with space", "quo'te\"", "new\nline", "[red]", "🐈", "%41", "-x", "\x1b[2J", "x" * 255]
)
def test_unusual_class_names_are_kept_unchanged(tmp_path: Path, name: str, database: Database) -> None:
    dataset = read_folder(write_folder(tmp_path / "data", [f"{name}/a.png"]))
    assert dataset.class_names == [name]
    register(database, "odd", dataset)
