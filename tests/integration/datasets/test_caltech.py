"""Caltech-101 and Caltech-256: accepted folders, classes, splits, and downloads."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from producer.datasets.caltech import LAYOUTS, read_caltech
from producer.datasets.download import SOURCES, download
from producer.datasets.folder import read_folder
from shared.database.catalogue import register
from shared.database.connection import Database
from shared.errors import NotADataset
from tests.conftest import Analyze
from tests.integration.datasets.helpers import (
    as_rgb,
    encoded,
    grey_ramp,
    noise,
    source_of,
    write_folder,
)
from tests.integration.serving import Server, pack, tree
from unitscope.data.images import read_image

PATHS = {
    "caltech101": ["BACKGROUND_Google/image_0001.jpg", "accordion/image_0001.jpg", "yin_yang/image_0001.jpg"],
    "caltech256": ["001.ak47/001_0001.jpg", "002.american-flag/002_0001.jpg", "257.clutter/257_0001.jpg"],
}
CLASSES = {"caltech101": ["accordion", "yin_yang"], "caltech256": ["ak47", "american-flag"]}
ALL_CLASSES = {
    "caltech101": ["BACKGROUND_Google", "accordion", "yin_yang"],
    "caltech256": ["ak47", "american-flag", "clutter"],
}


def written(parent: Path, kind: str) -> Path:
    return write_folder(parent / LAYOUTS[kind].folder, PATHS[kind])


# --- Classes and splits --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PATHS)
def test_classes_are_the_folders_without_background(kind: str, tmp_path: Path) -> None:
    root = written(tmp_path, kind)
    dataset = read_caltech(root, kind)
    assert (dataset.kind, dataset.root, dataset.class_names) == (kind, str(root), CLASSES[kind])
    assert [(image.class_name, image.class_index) for image in dataset.images] == [
        (CLASSES[kind][0], 0),
        (CLASSES[kind][1], 1),
    ]
    assert dataset.options == {"splits": ["all", "train", "val"], "background": False}


@pytest.mark.parametrize("kind", PATHS)
def test_background_is_a_class_if_requested(kind: str, tmp_path: Path) -> None:
    dataset = read_caltech(written(tmp_path, kind), kind, background=True)
    assert dataset.class_names == ALL_CLASSES[kind]
    assert [image.class_index for image in dataset.images] == [0, 1, 2]
    assert dataset.options["background"] is True


@pytest.mark.parametrize("kind", PATHS)
@pytest.mark.parametrize("place", [".", "data", "data/around", "data/link"])
def test_parent_folder_is_accepted(place: str, kind: str, tmp_path: Path) -> None:
    folder = {"data/around": tmp_path / "data" / LAYOUTS[kind].around[0]}.get(place, tmp_path / "data")
    root = written(folder, kind)
    if place == "data/link":
        (tmp_path / "data" / "link").symlink_to(root)
    given = {".": root, "data/link": tmp_path / "data" / "link"}.get(place, tmp_path / "data")
    assert read_caltech(given, kind).root == str(root)


def test_splits_equal_those_of_a_folder_data_set(tmp_path: Path) -> None:
    paths = [f"{name}/image_{number:04}.jpg" for name in ("ant", "bee") for number in range(60)]
    root = write_folder(tmp_path / "101_ObjectCategories", paths)
    dataset = read_caltech(root, "caltech101")
    assert {i.path: i.splits for i in dataset.images} == {i.path: i.splits for i in read_folder(root).images}
    assert 12 <= sum("val" in image.splits for image in dataset.images) <= 36


def test_classes_of_the_same_name_keep_their_numbers(tmp_path: Path) -> None:
    paths = ["001.cat/1.jpg", "002.cat/1.jpg", "cat/1.jpg", "003.001.cat/1.jpg"]
    dataset = read_caltech(write_folder(tmp_path / "256_ObjectCategories", paths), "caltech256")
    assert dataset.class_names == ["001.cat", "002.cat", "003.001.cat", "cat"]


def test_other_files_of_the_archives_are_ignored(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "256_ObjectCategories", PATHS["caltech256"])
    (root / "198.spider").mkdir(exist_ok=True)
    (root / "198.spider" / "RENAME2").write_text("#!/usr/bin/perl -w")
    (root / "056.dog" / "greg" / "vision309").mkdir(parents=True)
    dataset = read_caltech(root, "caltech256")
    assert (dataset.class_names, dataset.problems) == (CLASSES["caltech256"], [])


def test_greyscale_images_are_read_as_rgb(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "101_ObjectCategories", ["ant/1.png"], encoded(grey_ramp(8)))
    dataset = read_caltech(root, "caltech101")
    assert np.array_equal(read_image(source_of(dataset, dataset.images[0]), 16), as_rgb(grey_ramp(8)))


def test_bad_files_are_problems(tmp_path: Path, database: Database) -> None:
    root = written(tmp_path, "caltech101")
    (root / "accordion" / "broken.jpg").write_bytes(b"no image")
    odd = Path(os.fsdecode(os.fsencode(root) + b"/\xff"))
    odd.mkdir()
    (odd / "1.png").write_bytes(encoded(noise()))
    dataset = read_caltech(root, "caltech101")
    assert dataset.class_names == CLASSES["caltech101"]
    assert sorted(problem.reason for problem in dataset.problems) == ["broken image", "name not UTF-8"]
    register(database, "caltech101", dataset)


@pytest.mark.parametrize("kind", PATHS)
def test_folder_without_the_data_set_is_refused(kind: str, tmp_path: Path) -> None:
    write_folder(tmp_path / "photos", ["cat/1.jpg"])
    (tmp_path / "empty" / LAYOUTS[kind].folder).mkdir(parents=True)
    only = write_folder(tmp_path / "only" / LAYOUTS[kind].folder, [f"{LAYOUTS[kind].background}/1.jpg"])
    for root, reason in (
        (tmp_path / "photos", "neither the folder nor a folder inside it is named"),
        (tmp_path / "missing", "not an existing folder"),
        (tmp_path / "empty", "has images"),
        (only, "has images"),
    ):
        with pytest.raises(NotADataset, match=reason):
            read_caltech(root, kind)


# --- Downloads -----------------------------------------------------------------------------------


def test_sources_equal_those_of_torchvision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from torchvision.datasets import caltech

    asked: list[tuple[str, str, str]] = []

    def note(url: str, *arguments: object, filename: str, md5: str, **options: object) -> None:
        asked.append((url, filename, md5))
        raise FileNotFoundError

    monkeypatch.setattr(caltech, "download_and_extract_archive", note)
    for original in (caltech.Caltech101, caltech.Caltech256):
        with pytest.raises(FileNotFoundError):
            original(tmp_path, download=True)
    assert [
        (source.url, source.filename, source.md5) for source in (SOURCES["caltech101"], SOURCES["caltech256"])
    ] == asked


@pytest.mark.parametrize("kind", PATHS)
def test_download_can_be_read(kind: str, server: Server, tmp_path: Path) -> None:
    original = SOURCES[kind]
    files = {f"{original.folder}/{path}": encoded(noise(seed=len(path)), "JPEG") for path in PATHS[kind]}
    content = pack(files)
    if original.inner:
        zipped = io.BytesIO()
        with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("caltech-101/", b"")
            archive.writestr(original.inner, gzip.compress(content))
            archive.writestr("caltech-101/Annotations.tar", pack({"Annotations/a.mat": b"x"}))
            archive.writestr(f"__MACOSX/{original.inner}", b"x")
        content = zipped.getvalue()
    source = server.source(content, original.filename, original.folder, original.inner)
    for _ in range(2):
        download(tmp_path / "root", [source], progress=False)
    assert server.asked == [f"/{original.filename}"]
    assert tree(tmp_path / "root") == files
    assert read_caltech(tmp_path / "root", kind).class_names == CLASSES[kind]


# --- The command ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PATHS)
def test_command_registers_and_shows_the_data_set(kind: str, tmp_path: Path, analyze: Analyze) -> None:
    root = written(tmp_path, kind)
    analyze("dataset", "add", kind, "--root", tmp_path)
    analyze("dataset", "add", kind, "--root", root, "--background", "--name", "more")
    refused = analyze("dataset", "add", kind, "--root", root, "--background", code=2)
    assert f"A data set named '{kind}' with other content is already registered" in " ".join(
        refused.stderr.split()
    )
    for name, classes in ((kind, CLASSES[kind]), ("more", ALL_CLASSES[kind])):
        shown = analyze.json("dataset", "show", name)
        assert (shown["kind"], shown["root"], list(shown["classes"])) == (kind, str(root), classes)
        assert shown["splits"]["all"] == shown["images"] == len(classes)
        assert shown["splits"]["train"] + shown["splits"]["val"] == len(classes)
    analyze("dataset", "show", kind)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("caltech101",), ("--root", "--download")),
        (("caltech256", "--root", "@"), ("256_ObjectCategories",)),
        (("caltech101", "--root", "@", "--whole"), ("--whole",)),
        (("folder", "--root", "@", "--background"), ("--background",)),
        (("folder", "--root", "@", "--download"), ("--download",)),
    ],
)
def test_command_refuses_invalid_arguments(
    arguments: tuple[str, ...], words: tuple[str, ...], tmp_path: Path, analyze: Analyze
) -> None:
    given = [argument.replace("@", str(tmp_path)) for argument in arguments]
    refused = analyze("dataset", "add", *given, code=2)
    assert all(word in refused.stderr for word in words), refused.stderr
