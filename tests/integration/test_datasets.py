"""Reading data sets from disk: what is usable becomes rows, all else a problem with its reason, never a crash."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import struct
import subprocess
import sys
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from producer.datasets.folder import read_folder
from producer.datasets.voc import VOC_CLASSES, read_voc
from shared.catalogue import FoundDataset, FoundImage, Problem, register
from shared.database import Database
from shared.errors import NoDatasetThere
from tests.conftest import Analyze
from worker.vision.images import ImageSource, Skipped, UnreadableImage, batches, read_image

Box = tuple[object, object, object, object]
WIDTH, HEIGHT = 24, 18


def noise(width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> np.ndarray:
    """Pixels of which no two are likely to be alike, uint8 [height, width, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(picture: np.ndarray | Image.Image, form: str = "PNG", **options: object) -> bytes:
    """An image file's content."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


GOOD = encoded(noise())


def box_of(xmin: object, ymin: object, xmax: object, ymax: object) -> str:
    sides = {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}
    return f"<bndbox>{''.join(f'<{name}>{value}</{name}>' for name, value in sides.items())}</bndbox>"


def an_object(name: str = "dog", box: Box = (2, 3, 9, 8), more: str = "") -> str:
    return f"<object><name>{escape(name)}</name>{more}{box_of(*box)}</object>"


def an_annotation(filename: str, *objects: str) -> str:
    return f"<annotation><filename>{escape(filename)}</filename>{''.join(objects)}</annotation>"


class Voc:
    """A VOC data set that a test writes piece by piece."""

    def __init__(self, root: Path, year: str = "2007") -> None:
        self.root, self.year = root, root / f"VOC{year}"
        for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (self.year / folder).mkdir(parents=True)

    def image(self, name: str, content: bytes = GOOD) -> None:
        (self.year / "JPEGImages" / name).write_bytes(content)

    def annotation(self, image_id: str, content: str | bytes) -> None:
        file = self.year / "Annotations" / f"{image_id}.xml"
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    def split(self, name: str, *lines: str) -> None:
        (self.year / "ImageSets" / "Main" / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))

    def add(self, image_id: str, *objects: str, content: bytes = GOOD) -> None:
        self.image(f"{image_id}.png", content)
        self.annotation(image_id, an_annotation(f"{image_id}.png", *objects))

    def path(self, name: str) -> str:
        return f"{self.year.name}/JPEGImages/{name}"


@pytest.fixture
def voc(tmp_path: Path) -> Voc:
    """One good image, ``good``, with one good object, and a split ``train`` of ``good`` and ``bad``."""
    folder = Voc(tmp_path / "VOCdevkit")
    folder.add("good", an_object())
    folder.split("train", "good", "bad")
    return folder


def problems_of(found: FoundDataset) -> list[tuple[str, int, str]]:
    return [(problem.path, problem.object_number, problem.reason) for problem in found.problems]


def only_problem(found: FoundDataset) -> Problem:
    """The one thing that was left out, when the good image was read all the same."""
    assert [Path(image.path).stem for image in found.images] == ["good"]
    assert len(found.problems) == 1, found.problems
    return found.problems[0]


def source_of(found: FoundDataset, image: FoundImage, number: int = 1) -> ImageSource:
    return ImageSource(number, Path(found.root) / image.path, image.class_index, image.box, image.sha256)


# --- objects and boxes ---


@pytest.mark.parametrize("count", [1, 2, 5])
def test_one_object_or_several_are_read_in_their_order(voc: Voc, count: int) -> None:
    names = VOC_CLASSES[:count]
    voc.add("good", *(an_object(name, (1 + i, 1, 5 + i, 5)) for i, name in enumerate(names)))
    voc.split("train", "good")
    found = read_voc(voc.root)
    assert [(i.object_number, i.class_name, i.class_index, i.box) for i in found.images] == [
        (number, name, number - 1, (number - 1, 0, number + 4, 5)) for number, name in enumerate(names, start=1)
    ]
    assert not found.problems


def test_difficult_objects_are_left_out_unless_asked_for(voc: Voc) -> None:
    marks = ["<difficult>1</difficult>", "<difficult>0</difficult>", "<difficult> 1 </difficult>", ""]
    voc.add("good", *(an_object(more=mark) for mark in marks))
    voc.split("train", "good")
    assert [image.object_number for image in read_voc(voc.root).images] == [2, 4]
    assert [image.object_number for image in read_voc(voc.root, difficult=True).images] == [1, 2, 3, 4]


@pytest.mark.parametrize("box", [(3, 5, 10, 12), (1, 1, 1, 1), (1, 1, 18, 18), (24, 18, 24, 18), (7, 1, 24, 18)])
def test_box_counts_from_one_and_includes_its_last_row_and_column(voc: Voc, box: tuple[int, ...]) -> None:
    xmin, ymin, xmax, ymax = box
    voc.add("good", an_object(box=(xmin, ymin, xmax, ymax)))
    voc.split("train", "good")
    found = read_voc(voc.root)
    cut = read_image(source_of(found, found.images[0]), ymax - ymin + 1)
    assert np.array_equal(cut, noise()[ymin - 1 : ymax, xmin - 1 : xmax])


@pytest.mark.parametrize("size", [1, 5, 7, 16, 64])
def test_no_pixel_around_the_box_shines_in(voc: Voc, size: int) -> None:
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[4:11, 6:19] = (250, 10, 60)
    voc.add("good", an_object(box=(7, 5, 19, 11)), content=encoded(pixels))
    voc.split("train", "good")
    found = read_voc(voc.root)
    cut = read_image(source_of(found, found.images[0]), size)
    assert cut.shape == (size, size, 3)
    assert (cut == (250, 10, 60)).all()


def test_fractions_in_boxes_are_rounded(voc: Voc) -> None:
    voc.add("good", an_object(box=("1.2", "2.9", "10.4", "11.6")))
    voc.split("train", "good")
    assert [image.box for image in read_voc(voc.root).images] == [(0, 2, 10, 12)]


def test_boxes_are_in_stored_pixels_whatever_the_orientation_mark_says(voc: Voc) -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    voc.add("good", an_object(box=(1, 1, 10, 10)), content=encoded(noise(), exif=turned))
    voc.split("train", "good")
    found = read_voc(voc.root)
    assert (found.images[0].width, found.images[0].height) == (WIDTH, HEIGHT)
    assert np.array_equal(read_image(source_of(found, found.images[0]), 10), noise()[:10, :10])


def test_whole_images_have_no_box_and_the_class_of_their_largest_object(voc: Voc) -> None:
    voc.add("good", an_object("cat", (1, 1, 3, 3)), an_object("dog", (1, 1, 9, 9)), an_object("cow", (1, 1, 4, 4)))
    voc.split("train", "good")
    found = read_voc(voc.root, whole=True)
    assert [(i.object_number, i.class_name, i.box) for i in found.images] == [(0, "dog", None)]


def test_largest_object_is_chosen_among_usable_ones(voc: Voc) -> None:
    voc.add("good", an_object("cat", (1, 1, 3, 3)), an_object("dog", (1, 1, 999, 999)))
    voc.split("train", "good")
    found = read_voc(voc.root, whole=True)
    assert [image.class_name for image in found.images] == ["cat"]
    assert problems_of(found) == [(voc.path("good.png"), 2, "box outside the image")]


def test_rows_have_the_file_its_size_and_its_hash(voc: Voc) -> None:
    voc.split("train", "good")
    image = read_voc(voc.root).images[0]
    assert (image.path, image.width, image.height) == (voc.path("good.png"), WIDTH, HEIGHT)
    assert image.sha256 == hashlib.sha256(GOOD).hexdigest()


def test_progress_ends_at_all_files(voc: Voc) -> None:
    for number in range(5):
        voc.add(f"n{number}", an_object())
    voc.split("train", *(f"n{number}" for number in range(5)))
    seen: list[tuple[int, int]] = []
    read_voc(voc.root, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 5) for done in range(1, 6)]


# --- years, roots and splits ---


def two_years(root: Path) -> None:
    for year in ("2007", "2012"):
        folder = Voc(root, year)
        folder.add(f"of{year}", an_object())
        folder.split("train", f"of{year}")


def stems(found: FoundDataset) -> list[str]:
    return [Path(image.path).stem for image in found.images]


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


# --- bad image files ---


def one_bit_png(width: int, height: int) -> bytes:
    """A black PNG of any size in a few kilobytes."""
    packer = zlib.compressobj(1)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join([*(packer.compress(row) for _ in range(height)), packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", data), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )


JPEG = encoded(noise(200, 150), "JPEG")
BROKEN_IMAGES: dict[str, tuple[bytes, str]] = {
    "truncated JPEG": (JPEG[: len(JPEG) // 2], "broken image"),
    "JPEG without its head": (JPEG[100:], "broken image"),
    "truncated PNG": (GOOD[: len(GOOD) // 2], "broken image"),
    "PNG with a flipped bit": (GOOD[:60] + bytes([GOOD[60] ^ 1]) + GOOD[61:], "broken image"),
    "zero bytes": (b"", "broken image"),
    "one byte": (b"\xff", "broken image"),
    "text": (b"this is no image\n", "broken image"),
    "markup": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "broken image"),
    "much too large": (one_bit_png(30_000, 30_000), "image too large"),
    "too large": (one_bit_png(10_000, 9_000), "image too large"),
    "no width": (one_bit_png(0, 5), "broken image"),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", BROKEN_IMAGES)
def test_broken_image_is_a_problem(voc: Voc, name: str) -> None:
    content, reason = BROKEN_IMAGES[name]
    voc.image("bad.jpg", content)
    voc.annotation("bad", an_annotation("bad.jpg", an_object()))
    problem = only_problem(read_voc(voc.root))
    assert (problem.path, problem.object_number, problem.reason) == (voc.path("bad.jpg"), 0, reason)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", BROKEN_IMAGES)
def test_broken_image_is_unreadable_at_run_time_too(tmp_path: Path, name: str) -> None:
    file = tmp_path / "bad.jpg"
    file.write_bytes(BROKEN_IMAGES[name][0])
    with pytest.raises(UnreadableImage):
        read_image(ImageSource(1, file), 8)


def test_file_that_is_no_image_is_said_to_be_none_in_the_same_words_every_time(voc: Voc) -> None:
    voc.image("bad.jpg", b"this is no image")
    voc.annotation("bad", an_annotation("bad.jpg", an_object()))
    details = {only_problem(read_voc(voc.root)).detail for _ in range(3)}
    assert len(details) == 1
    assert " at 0x" not in details.pop()


@pytest.mark.parametrize("form", ["EPS", "ICNS", "TGA"])
def test_formats_that_are_no_photographs_are_not_decoded(voc: Voc, form: str) -> None:
    """Pillow hands an EPS file to Ghostscript, whatever its name, and knows a few dozen formats of old games."""
    voc.image("bad.jpg", encoded(Image.fromarray(noise(64, 64)), form))
    voc.annotation("bad", an_annotation("bad.jpg", an_object()))
    assert only_problem(read_voc(voc.root)).reason == "broken image"
    with pytest.raises(UnreadableImage):
        read_image(ImageSource(1, voc.root / voc.path("bad.jpg")), 8)


def test_no_program_is_started_to_decode_an_image(tmp_path: Path, analyze: Analyze) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    (programs / "gs").chmod(0o755)
    analyze.environment["PATH"] = f"{programs}:{analyze.environment['PATH']}"
    dog = tmp_path / "data" / "dog"
    dog.mkdir(parents=True)
    (dog / "good.png").write_bytes(GOOD)
    (dog / "bad.jpg").write_bytes(encoded(noise(), "EPS"))
    analyze("dataset", "add", "folder", "--root", tmp_path / "data")
    assert not (tmp_path / "started").exists()


def test_missing_image_is_a_problem(voc: Voc) -> None:
    voc.annotation("bad", an_annotation("bad.jpg", an_object()))
    assert only_problem(read_voc(voc.root)).reason == "missing file"


def test_folder_or_pipe_in_an_images_place_is_a_problem(voc: Voc) -> None:
    (voc.year / "JPEGImages" / "folder.jpg").mkdir()
    os.mkfifo(voc.year / "JPEGImages" / "pipe.jpg")
    for name in ("folder", "pipe"):
        voc.annotation(name, an_annotation(f"{name}.jpg", an_object()))
    voc.split("train", "good", "folder", "pipe")
    found = read_voc(voc.root)
    assert stems(found) == ["good"]
    assert [problem.reason for problem in found.problems] == ["missing file"] * 2


def test_link_out_of_the_data_set_is_a_problem(voc: Voc, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(GOOD)
    (voc.year / "JPEGImages" / "bad.jpg").symlink_to(tmp_path / "secret.png")
    voc.annotation("bad", an_annotation("bad.jpg", an_object()))
    assert only_problem(read_voc(voc.root)).reason == "path outside the data set"


@pytest.mark.parametrize("target", ["bad.jpg", "nothing.jpg", "/dev/zero", "/proc/self/mem"])
def test_link_to_nowhere_or_to_a_device_is_a_problem(voc: Voc, target: str) -> None:
    (voc.year / "JPEGImages" / "bad.jpg").symlink_to(target)
    voc.annotation("bad", an_annotation("bad.jpg", an_object()))
    assert only_problem(read_voc(voc.root)).path == voc.path("bad.jpg")


def test_link_inside_the_data_set_is_followed(voc: Voc) -> None:
    (voc.year / "JPEGImages" / "bad.jpg").symlink_to("good.png")
    voc.annotation("bad", an_annotation("bad.jpg", an_object()))
    assert stems(read_voc(voc.root)) == ["bad", "good"]


FILENAMES = [
    *("../good.png", "../../../etc/passwd", "/etc/passwd", "sub/good.png", "..", ".", "./good.png", "good.png/"),
    *("..\\good.png", "C:\\good.png", "x" * 5000, "x" * 255, "\u202egood", "%2e%2e/good.png"),
]


@pytest.mark.parametrize("filename", FILENAMES)
def test_file_name_that_leads_elsewhere_is_a_problem(voc: Voc, filename: str) -> None:
    voc.annotation("bad", an_annotation(filename, an_object()))
    assert only_problem(read_voc(voc.root)).object_number == 0


# --- odd but usable image files ---


def grey_ramp(bits: int) -> np.ndarray:
    ramp = np.repeat(np.arange(16, dtype=np.uint16)[None] * 17, 16, axis=0)
    return ramp.astype(np.uint8) if bits == 8 else ramp * 257


def as_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def palette_picture() -> Image.Image:
    return Image.fromarray(as_rgb(grey_ramp(8))).convert("P", palette=Image.Palette.ADAPTIVE)


ODD_IMAGES: dict[str, bytes] = {
    "greyscale": encoded(grey_ramp(8)),
    "greyscale JPEG": encoded(grey_ramp(8), "JPEG", quality=100),
    "16 bits": encoded(grey_ramp(16)),
    "16 bits, TIFF": encoded(grey_ramp(16), "TIFF"),
    "palette": encoded(palette_picture()),
    "grey with transparency": encoded(Image.fromarray(grey_ramp(8)).convert("LA")),
    "transparency": encoded(Image.fromarray(as_rgb(grey_ramp(8))).convert("RGBA")),
    "CMYK": encoded(Image.fromarray(as_rgb(grey_ramp(8))).convert("CMYK"), "JPEG", quality=100, subsampling=0),
    "CMYK, TIFF": encoded(Image.fromarray(as_rgb(grey_ramp(8))).convert("CMYK"), "TIFF"),
    "animated GIF": encoded(
        Image.fromarray(grey_ramp(8)), "GIF", save_all=True, append_images=[Image.new("L", (16, 16), 9)] * 3
    ),
    "BMP": encoded(as_rgb(grey_ramp(8)), "BMP"),
    "WebP": encoded(as_rgb(grey_ramp(8)), "WEBP", lossless=True),
    "MPO": encoded(
        as_rgb(grey_ramp(8)), "MPO", save_all=True, append_images=[Image.new("RGB", (16, 16))], quality=100
    ),
}


@pytest.mark.parametrize("name", ODD_IMAGES)
def test_odd_image_is_read_as_what_it_shows(voc: Voc, name: str) -> None:
    voc.image("odd.jpg", ODD_IMAGES[name])
    voc.annotation("odd", an_annotation("odd.jpg", an_object(box=(1, 1, 16, 16))))
    voc.split("train", "odd")
    found = read_voc(voc.root)
    assert not found.problems
    pixels = read_image(source_of(found, found.images[0]), 16).astype(int)
    assert np.abs(pixels - as_rgb(grey_ramp(8))).max() <= 3


RAMP = grey_ramp(16)
UNUSUAL_RANGES = {
    "16 bits, PGM": encoded(RAMP, "PPM"),
    "32 bits, TIFF": encoded(RAMP.astype(np.int32), "TIFF"),
    "32 bits to 255, TIFF": encoded((RAMP // 257).astype(np.int32), "TIFF"),
    "floats to 1, TIFF": encoded((RAMP / 65535).astype(np.float32), "TIFF"),
    "floats to 255, TIFF": encoded((RAMP / 257).astype(np.float32), "TIFF"),
}


@pytest.mark.parametrize("name", UNUSUAL_RANGES)
def test_image_of_an_unusual_range_is_read_as_what_it_shows_or_not_at_all(voc: Voc, name: str) -> None:
    """Pillow's own conversion cuts off what is above 255: nearly all of it would be white, or black."""
    voc.image("odd.tif", UNUSUAL_RANGES[name])
    voc.annotation("odd", an_annotation("odd.tif", an_object(box=(1, 1, 16, 16))))
    voc.split("train", "odd")
    found = read_voc(voc.root)
    for image in found.images:
        pixels = read_image(source_of(found, image), 16).astype(int)
        assert np.abs(pixels - as_rgb(grey_ramp(8))).max() <= 3
    assert len(found.images) + len(found.problems) == 1


def test_image_of_one_pixel_is_usable(voc: Voc) -> None:
    voc.add("tiny", an_object(box=(1, 1, 1, 1)), content=encoded(np.full((1, 1, 3), 77, np.uint8)))
    voc.split("train", "tiny")
    found = read_voc(voc.root)
    assert [image.box for image in found.images] == [(0, 0, 1, 1)]
    assert (read_image(source_of(found, found.images[0]), 32) == 77).all()


# --- bad annotations ---


def nested(depth: int) -> str:
    return "<a>" * depth + "</a>" * depth


LAUGHS = (
    '<!DOCTYPE a [<!ENTITY a "ha">'
    + "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    + "]>"
)
BROKEN_ANNOTATIONS: dict[str, str | bytes] = {
    "nothing": b"",
    "no XML": b"not xml at all",
    "binary": bytes(range(256)),
    "cut off": an_annotation("good.png", an_object())[:-20],
    "two roots": "<annotation/><annotation/>",
    "another root": "<html><annotation/></html>",
    "text for a root": "<annotation>text</annotation>",
    "empty root": "<annotation/>",
    "unescaped": "<annotation><filename>a & b</filename></annotation>",
    "billion laughs": LAUGHS + "<annotation><filename>&i;</filename></annotation>",
    "file as entity": '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    "<annotation><filename>&x;</filename></annotation>",
    "parameter entity": '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/"> %x;]><annotation/>',
    "another encoding than it says": b'<?xml version="1.0" encoding="utf-16"?><annotation/>',
    "unknown encoding": b'<?xml version="1.0" encoding="nonsense"?><annotation/>',
    "encoding that is no text": b'<?xml version="1.0" encoding="hex"?><annotation/>',
    "bytes that are not UTF-8": b"<annotation><filename>\xff\xfe</filename></annotation>",
    "huge": "<annotation>" + " " * 2**21 + "</annotation>",
    "file name of markup": f"<annotation><filename>{nested(3)}</filename></annotation>",
    "deep file name": f"<annotation><filename>{nested(50_000)}</filename></annotation>",
    "two file names": "<annotation><filename>good.png</filename><filename>good.png</filename></annotation>",
    "another namespace": '<x:annotation xmlns:x="urn:x"/>',
}


@pytest.mark.parametrize("name", BROKEN_ANNOTATIONS)
def test_broken_annotation_is_a_problem(voc: Voc, name: str) -> None:
    voc.annotation("bad", BROKEN_ANNOTATIONS[name])
    voc.image("bad.jpg", GOOD)
    problem = only_problem(read_voc(voc.root))
    assert (problem.path, problem.object_number) == ("VOC2007/Annotations/bad.xml", 0)
    assert problem.reason in ("broken annotation", "path outside the data set")
    assert problem.detail


@pytest.mark.parametrize("where", ["", "difficult", "name", "bndbox", "part"])
def test_deep_nesting_is_no_crash(voc: Voc, where: str) -> None:
    inner = f"<{where}>{nested(50_000)}</{where}>" if where else nested(50_000)
    voc.annotation("bad", f"<annotation><object>{inner}</object></annotation>")
    voc.image("bad.jpg", GOOD)
    found = read_voc(voc.root)
    assert stems(found) == ["good"]
    assert {problem.object_number for problem in found.problems} <= {0, 1}


def test_missing_annotation_is_a_problem(voc: Voc) -> None:
    problem = only_problem(read_voc(voc.root))
    assert (problem.path, problem.reason) == ("VOC2007/Annotations/bad.xml", "missing annotation")


def test_annotation_that_is_no_file_is_a_problem(voc: Voc) -> None:
    (voc.year / "Annotations" / "bad.xml").mkdir()
    (voc.year / "Annotations" / "loop.xml").symlink_to("loop.xml")
    (voc.year / "Annotations" / "device.xml").symlink_to("/dev/zero")
    os.mkfifo(voc.year / "Annotations" / "pipe.xml")
    voc.split("train", "good", "bad", "loop", "device", "pipe")
    found = read_voc(voc.root)
    assert stems(found) == ["good"]
    assert [problem.reason for problem in found.problems] == ["missing annotation"] * 4


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1", "utf-8-sig"])
def test_annotation_in_a_declared_encoding_is_read(voc: Voc, encoding: str) -> None:
    declared = encoding.removesuffix("-sig")
    text = f'<?xml version="1.0" encoding="{declared}"?>' + an_annotation("grün.png", an_object())
    voc.image("grün.png")
    voc.annotation("bad", text.encode(encoding))
    assert stems(read_voc(voc.root)) == ["grün", "good"]


def test_annotation_without_file_name_means_its_own(voc: Voc) -> None:
    voc.image("bad.jpg", GOOD)
    voc.annotation("bad", f"<annotation>{an_object()}</annotation>")
    assert stems(read_voc(voc.root)) == ["bad", "good"]


def test_two_annotations_of_one_image_give_no_row_twice(voc: Voc, database: Database) -> None:
    voc.annotation("bad", an_annotation("good.png", an_object(), an_object("cat")))
    found = read_voc(voc.root)
    rows = Counter((image.path, image.object_number) for image in found.images)
    assert max(rows.values()) == 1
    assert len(found.problems) == 1
    register(database, "twice", found)


# --- bad objects ---

OUTSIDE, NO_AREA, NO_BOX = "box outside the image", "box without area", "box is no box"
BAD_BOXES: dict[str, tuple[str, str]] = {
    "right of the image": (box_of(1, 1, WIDTH + 1, 5), OUTSIDE),
    "below the image": (box_of(1, 1, 5, HEIGHT + 1), OUTSIDE),
    "left of the image": (box_of(0, 1, 5, 5), OUTSIDE),
    "above the image": (box_of(1, 0, 5, 5), OUTSIDE),
    "negative": (box_of(-5, -5, 5, 5), OUTSIDE),
    "all negative": (box_of(-9, -9, -1, -1), OUTSIDE),
    "far outside": (box_of(1, 1, 999_999_999, 5), OUTSIDE),
    "inverted": (box_of(9, 1, 5, 5), NO_AREA),
    "upside down": (box_of(1, 9, 5, 5), NO_AREA),
    "empty": (box_of(5, 5, 4, 4), NO_AREA),
    "not a number": (box_of("nan", 1, 5, 5), NO_BOX),
    "infinite": (box_of(1, 1, "inf", 5), NO_BOX),
    "minus infinite": (box_of("-Infinity", 1, 5, 5), NO_BOX),
    "too large for a float": (box_of(1, 1, "1e400", 5), NO_BOX),
    "huge": (box_of(1, 1, "1e300", 5), NO_BOX),
    "of many digits": (box_of(1, 1, "9" * 10_000, 5), NO_BOX),
    "words": (box_of("one", "two", "three", "four"), NO_BOX),
    "hexadecimal": (box_of("0x1", 1, 5, 5), NO_BOX),
    "without values": (box_of("", "", "", ""), NO_BOX),
    "of markup": (box_of("<a>1</a>", 1, 5, 5), NO_BOX),
    "a side twice": (
        "<bndbox><xmin>1</xmin><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax><ymax>5</ymax></bndbox>",
        NO_BOX,
    ),
    "a side missing": ("<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>5</xmax></bndbox>", NO_BOX),
    "missing": ("", NO_BOX),
    "text": ("<bndbox>1 1 5 5</bndbox>", NO_BOX),
    "two boxes": (box_of(1, 1, 5, 5) * 2, NO_BOX),
}


@pytest.mark.parametrize("name", BAD_BOXES)
def test_bad_box_is_a_problem_of_its_object_alone(voc: Voc, name: str) -> None:
    box, reason = BAD_BOXES[name]
    voc.add("good", f"<object><name>cat</name>{box}</object>", an_object("dog"))
    voc.split("train", "good")
    found = read_voc(voc.root)
    assert [(image.object_number, image.class_name) for image in found.images] == [(2, "dog")]
    assert problems_of(found) == [(voc.path("good.png"), 1, reason)]


NAMELESS = {
    "unknown": "<object><name>unicorn</name>{}</object>",
    "in capitals": "<object><name>DOG</name>{}</object>",
    "no name": "<object>{}</object>",
    "an empty name": "<object><name/>{}</object>",
    "two names": "<object><name>dog</name><name>cat</name>{}</object>",
    "a name of markup": "<object><name><b>dog</b></name>{}</object>",
    "a long name": "<object><name>" + "dog" * 50_000 + "</name>{}</object>",
    "text": "<object>dog</object>",
    "nothing": "<object/>",
}


@pytest.mark.parametrize("name", NAMELESS)
def test_object_of_no_known_class_is_a_problem_of_it_alone(voc: Voc, name: str) -> None:
    voc.add("good", NAMELESS[name].format(box_of(1, 1, 5, 5)), an_object("dog"))
    voc.split("train", "good")
    found = read_voc(voc.root)
    assert [(image.object_number, image.class_name) for image in found.images] == [(2, "dog")]
    assert problems_of(found) == [(voc.path("good.png"), 1, "unknown class")]
    assert len(found.problems[0].detail) <= 200


def test_classes_may_be_given(voc: Voc) -> None:
    voc.add("good", an_object("unicorn"), an_object("dog"))
    voc.split("train", "good")
    found = read_voc(voc.root, classes=("yeti", "unicorn"))
    assert [(image.class_name, image.class_index) for image in found.images] == [("unicorn", 1)]
    assert found.class_names == ["yeti", "unicorn"]


def test_image_without_objects_gives_no_row_and_no_problem(voc: Voc) -> None:
    voc.add("good")
    voc.split("train", "good")
    for whole in (False, True):
        found = read_voc(voc.root, whole=whole)
        assert not found.images
        assert not found.problems


# --- any bytes at all ---

TAGS = st.sampled_from(
    [
        "annotation",
        "object",
        "name",
        "bndbox",
        "xmin",
        "ymin",
        "xmax",
        "ymax",
        "filename",
        "difficult",
        "size",
        "x",
    ]
)
TEXTS = st.one_of(
    st.sampled_from(
        ["dog", "good.png", "1", "5", "-1", "nan", "1e999", "", "../x", "[/x]", "<![CDATA[x]]>", "&lt;"]
    ),
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="<&"), max_size=8),
)


def element(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(
        lambda tag, mark, inner: f"<{tag}{mark}>{''.join(inner)}</{tag}>",
        TAGS,
        st.sampled_from(["", "", "", ' a="1"', ' xmlns="urn:x"']),
        st.lists(children, max_size=5),
    )


TREES = st.recursive(TEXTS, element, max_leaves=25)
ANNOTATIONS = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda trees: f"<annotation>{''.join(trees)}</annotation>".encode(), st.lists(TREES, max_size=6)),
    st.builds(
        lambda name, body: (
            f'<?xml version="1.0" encoding="{name}"?><annotation>'.encode() + body + b"</annotation>"
        ),
        st.sampled_from(
            ["utf-8", "utf-16", "latin-1", "utf-7", "idna", "punycode", "hex", "undefined", "cp037", "x"]
        ),
        st.binary(max_size=60),
    ),
    st.builds(
        lambda start, cut, end: start[:cut].encode() + end,
        st.just(an_annotation("good.png", an_object(), an_object("cat"))),
        st.integers(0, 300),
        st.binary(max_size=20),
    ),
)


@given(content=ANNOTATIONS)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(content=f"<annotation><object><difficult>{nested(5000)}</difficult></object></annotation>".encode())
@example(content=b"<annotation><object><name>dog</name></object>\x00</annotation>")
def test_no_annotation_is_a_crash(voc: Voc, content: bytes) -> None:
    voc.annotation("good", content)
    voc.split("train", "good")
    found = read_voc(voc.root)
    for image in found.images:
        left, top, right, bottom = image.box or (0, 0, 0, 0)
        assert 0 <= left < right <= WIDTH
        assert 0 <= top < bottom <= HEIGHT
        assert image.class_name in VOC_CLASSES
        assert image.path == voc.path("good.png")
    assert all(problem.reason for problem in found.problems)


@given(content=st.binary(max_size=200))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_split_list_is_a_crash(voc: Voc, content: bytes) -> None:
    (voc.year / "ImageSets" / "Main" / "train.txt").write_bytes(content)
    found = read_voc(voc.root)
    assert all(image.splits == ("train",) for image in found.images)
    assert all(problem.reason for problem in found.problems)


@given(place=st.integers(0, len(GOOD) - 1), value=st.integers(0, 255), cut=st.integers(0, 40))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_image_file_is_a_crash(voc: Voc, place: int, value: int, cut: int) -> None:
    content = bytearray(GOOD)
    content[place] = value
    voc.image("good.png", bytes(content[: len(content) - cut]))
    voc.split("train", "good")
    found = read_voc(voc.root)
    assert len(found.images) + len(found.problems) == 1


# --- fingerprints ---


@pytest.fixture
def original(voc: Voc) -> Voc:
    """Two images, two objects, two splits."""
    voc.add("other", an_object("cat"), content=encoded(noise(seed=1)))
    voc.split("train", "good", "other")
    voc.split("val", "other")
    return voc


def changed_pixel(voc: Voc) -> None:
    pixels = noise()
    pixels[0, 0, 0] ^= 1
    voc.image("good.png", encoded(pixels))


CHANGES: dict[str, Callable[[Voc], None]] = {
    "a pixel": changed_pixel,
    "a box": lambda voc: voc.add("good", an_object(box=(2, 3, 9, 9))),
    "a class": lambda voc: voc.add("good", an_object("cow")),
    "an object more": lambda voc: voc.add("good", an_object(), an_object()),
    "an image fewer": lambda voc: voc.split("train", "other"),
    "a split's members": lambda voc: voc.split("val", "good", "other"),
    "a split's name": lambda voc: voc.split("test", "good"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_fingerprint_changes_with(original: Voc, change: str) -> None:
    before = read_voc(original.root).fingerprint
    CHANGES[change](original)
    assert read_voc(original.root).fingerprint != before


def test_fingerprint_is_that_of_the_content_alone(original: Voc, tmp_path: Path) -> None:
    before = read_voc(original.root)
    original.split("train", "other", "good", "other")
    for file in original.root.rglob("*"):
        os.utime(file, (1, 1))
    original.annotation("good", an_annotation("good.png", an_object(more="<pose>Left</pose>\n")))
    assert read_voc(original.root) == before
    shutil.copytree(original.root, tmp_path / "copy")
    assert read_voc(tmp_path / "copy").fingerprint == before.fingerprint


def test_fingerprint_differs_for_whole_images(original: Voc) -> None:
    assert read_voc(original.root).fingerprint != read_voc(original.root, whole=True).fingerprint


# --- folders of images per class ---


def write_folder(root: Path, paths: Iterable[str], content: bytes = GOOD) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def test_folder_per_class_is_read_and_divided(tmp_path: Path) -> None:
    names = [f"{name}/{number:03}.png" for name in ("cat", "ant", "bee") for number in range(60)]
    found = read_folder(write_folder(tmp_path / "data", names))
    assert found.class_names == ["ant", "bee", "cat"]
    assert [image.path for image in found.images] == sorted(names)
    assert {(i.class_name, i.class_index) for i in found.images} == {("ant", 0), ("bee", 1), ("cat", 2)}
    sizes = Counter(split for image in found.images for split in image.splits)
    assert sizes["all"] == 180
    assert sizes["train"] + sizes["val"] == 180
    assert 18 <= sizes["val"] <= 54  # one in five, by a hash
    assert all(image.box is None and image.object_number == 0 for image in found.images)


def test_chosen_split_depends_on_the_path_alone(tmp_path: Path) -> None:
    names = [f"cat/{number:03}.png" for number in range(40)]
    few = read_folder(write_folder(tmp_path / "few", names[::2]))
    many = read_folder(write_folder(tmp_path / "many", names, encoded(noise(seed=5))))
    splits = {image.path: image.splits for image in many.images}
    assert {image.path: image.splits for image in few.images} == {path: splits[path] for path in names[::2]}


def test_folder_that_is_divided_already_keeps_its_splits(tmp_path: Path) -> None:
    paths = ["train/ant/a.png", "train/bee/a.png", "val/ant/a.png", "test/cat/a.png"]
    found = read_folder(write_folder(tmp_path / "data", paths))
    assert found.class_names == ["ant", "bee", "cat"]
    assert {image.path: image.splits for image in found.images} == {path: (path.split("/")[0],) for path in paths}
    assert found.options["splits"] == ["train", "val", "test"]


def test_class_may_be_called_train(tmp_path: Path) -> None:
    found = read_folder(write_folder(tmp_path / "data", ["car/a.png", "train/a.png", "train/b.png"]))
    assert found.class_names == ["car", "train"]
    assert len(found.images) == 3


def test_folders_below_a_class_belong_to_it(tmp_path: Path) -> None:
    found = read_folder(
        write_folder(tmp_path / "data", ["ant/a.png", "ant/x/a.png", "ant/x/y/a.JPG", "bee/a.png"])
    )
    assert [(i.path, i.class_name) for i in found.images] == [
        ("ant/a.png", "ant"), ("ant/x/a.png", "ant"), ("ant/x/y/a.JPG", "ant"), ("bee/a.png", "bee")
    ]  # fmt: skip


def test_other_files_are_passed_over(tmp_path: Path) -> None:
    found = read_folder(write_folder(tmp_path / "data", ["ant/a.png", "ant/notes.txt", "ant/noending", "top.png"]))
    assert [image.path for image in found.images] == ["ant/a.png"]
    assert not found.problems


@pytest.mark.parametrize("paths", [[], ["top.png"], ["ant/notes.txt"]])
def test_folder_without_images_is_refused(tmp_path: Path, paths: list[str]) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(NoDatasetThere):
        read_folder(write_folder(tmp_path / "data", paths))


def test_folder_that_is_a_file_or_missing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("file", "file/below", "missing"):
        with pytest.raises(NoDatasetThere):
            read_folder(tmp_path / name)


def test_greyscale_images_are_read_as_rgb(tmp_path: Path) -> None:
    found = read_folder(write_folder(tmp_path / "data", ["ant/a.png"], encoded(grey_ramp(8))))
    assert np.array_equal(read_image(source_of(found, found.images[0]), 16), as_rgb(grey_ramp(8)))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bad_files_of_a_folder_are_problems(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", ["ant/good.png"])
    for number, (content, _) in enumerate(BROKEN_IMAGES.values()):
        (root / "ant" / f"bad{number:02}.jpg").write_bytes(content)
    (root / "ant" / "link.png").symlink_to(write_folder(tmp_path, ["secret.png"]) / "secret.png")
    (root / "ant" / "loop.png").symlink_to("loop.png")
    os.mkfifo(root / "ant" / "pipe.png")
    found = read_folder(root)
    assert [image.path for image in found.images] == ["ant/good.png"]
    reasons = {Path(problem.path).stem: problem.reason for problem in found.problems}
    assert [reasons[f"bad{number:02}"] for number in range(len(BROKEN_IMAGES))] == [
        reason for _, reason in BROKEN_IMAGES.values()
    ]
    assert reasons["link"] == "path outside the data set"
    assert {"loop", "pipe"} <= set(reasons)


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", ["ant/a.png"])
    (root / "ant" / "up").symlink_to(root)
    (root / "same").symlink_to(root / "ant")
    assert {image.path for image in read_folder(root).images} >= {"ant/a.png"}


@pytest.mark.parametrize("path", [b"ant/\xff.png", b"\xffbee/a.png"])
def test_name_that_is_no_text_is_a_problem(tmp_path: Path, path: bytes, database: Database) -> None:
    root = write_folder(tmp_path / "data", ["ant/good.png"])
    odd = Path(os.fsdecode(os.fsencode(root) + b"/" + path))
    odd.parent.mkdir(exist_ok=True)
    odd.write_bytes(GOOD)
    found = read_folder(root)
    assert [image.path for image in found.images] == ["ant/good.png"]
    assert found.class_names == ["ant"]
    assert len(found.problems) == 1
    register(database, "odd", found)


@pytest.mark.parametrize(
    "name", ["with space", "quo'te\"", "new\nline", "[red]", "🐈", "%41", "-x", "\x1b[2J", "x" * 255]
)
def test_odd_class_names_are_kept_as_they_are(tmp_path: Path, name: str, database: Database) -> None:
    found = read_folder(write_folder(tmp_path / "data", [f"{name}/a.png"]))
    assert found.class_names == [name]
    register(database, "odd", found)


def test_folder_fingerprint_changes_with_pixels_and_names_only(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", ["ant/a.png", "bee/b.png"])
    before = read_folder(root).fingerprint
    os.utime(root / "ant/a.png", (1, 1))
    assert read_folder(shutil.copytree(root, tmp_path / "copy")).fingerprint == before
    (root / "ant/a.png").rename(root / "bee/a.png")
    moved = read_folder(root).fingerprint
    write_folder(root, ["bee/a.png"], encoded(noise(seed=3)))
    assert len({before, moved, read_folder(root).fingerprint}) == 3


# --- at run time ---


@pytest.fixture
def ten(tmp_path: Path) -> list[ImageSource]:
    """Ten images of a registered folder; the first pixel of each tells its number."""
    for number in range(10):
        write_folder(tmp_path / "data", [f"ant/{number}.png"], encoded(np.full((8, 8, 3), number + 1, np.uint8)))
    found = read_folder(tmp_path / "data")
    return [source_of(found, image, number) for number, image in enumerate(found.images)]


def spoil(source: ImageSource, how: str) -> None:
    if how == "removed":
        source.path.unlink()
    elif how == "changed":
        source.path.write_bytes(encoded(np.full((8, 8, 3), 99, np.uint8)))
    elif how == "emptied":
        source.path.write_bytes(b"")
    elif how == "a folder":
        source.path.unlink()
        source.path.mkdir()


SPOILED = ["removed", "changed", "emptied", "a folder"]


@pytest.mark.parametrize("how", SPOILED)
@pytest.mark.parametrize("pad", [True, False])
def test_image_spoiled_after_registration_is_skipped_with_a_reason(
    ten: list[ImageSource], pad: bool, how: str
) -> None:
    for number in (0, 5, 9):
        spoil(ten[number], how)
    skipped: list[Skipped] = []
    found = list(batches(ten, 4, 8, pad=pad, skipped=skipped))
    assert [item.source.id for item in skipped] == [0, 5, 9]
    assert all(item.reason for item in skipped)
    assert [[source.id for source in batch.sources] for batch in found] == [[1, 2, 3], [4, 6, 7], [8]]
    for batch in found:
        assert batch.pixels.shape == (4 if pad else len(batch.sources), 3, 8, 8)
        shown = [int(value) for value in batch.pixels[:, 0, 0, 0]]
        padding = [0] * (len(shown) - len(batch.sources))
        assert shown == [source.id + 1 for source in batch.sources] + padding
        assert not batch.pixels[len(batch.sources) :].any()


def test_changed_image_says_that_it_changed(ten: list[ImageSource]) -> None:
    spoil(ten[0], "changed")
    with pytest.raises(UnreadableImage, match="changed since it was registered"):
        read_image(ten[0], 8)


@pytest.mark.parametrize("pad", [True, False])
def test_all_images_unreadable_leaves_no_image_but_every_reason(ten: list[ImageSource], pad: bool) -> None:
    for source in ten:
        spoil(source, "removed")
    skipped: list[Skipped] = []
    found = list(batches(ten, 4, 8, pad=pad, skipped=skipped))
    assert len(skipped) == 10
    assert [batch.sources for batch in found] == ([[], [], []] if pad else [])
    assert all(batch.pixels.shape == (4, 3, 8, 8) and not batch.pixels.any() for batch in found)


@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize("size", [1, 3, 10, 11])
def test_order_is_kept_and_padded_batches_have_one_shape(ten: list[ImageSource], size: int, threads: int) -> None:
    found = list(batches(ten, size, 8, pad=True, threads=threads))
    assert [source.id for batch in found for source in batch.sources] == list(range(10))
    assert {tuple(batch.pixels.shape) for batch in found} == {(size, 3, 8, 8)}
    assert all(len(batch.sources) == size for batch in found[:-1])


def test_batches_left_half_way_leave_no_thread_behind(ten: list[ImageSource]) -> None:
    reading = batches(ten, 1, 8)
    assert next(reading).sources[0].id == 0
    reading.close()
    decoders = [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
    for thread in decoders:
        thread.join(60)
    assert not any(thread.is_alive() for thread in decoders)


def test_no_sources_give_no_batches() -> None:
    assert list(batches([], 4, 8, pad=True)) == []


def test_pipe_in_an_images_place_does_not_hold_a_worker_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    outcome: list[str] = []

    def read() -> None:
        try:
            read_image(ImageSource(1, tmp_path / "pipe.png", sha256="0" * 64), 8)
        except UnreadableImage as error:
            outcome.append(str(error))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(20)
    held_up = reader.is_alive()
    if held_up:  # let it go
        os.close(os.open(tmp_path / "pipe.png", os.O_WRONLY))
        reader.join()
    assert not held_up
    assert outcome


def test_decoding_leaves_torch_out_of_the_producer() -> None:
    code = "import sys, producer.datasets.voc, producer.datasets.folder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
