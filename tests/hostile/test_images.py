"""Image files: broken ones are recorded as problems, and unusual ones are decoded correctly."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from producer.datasets.voc import read_voc
from shared.database.catalogue import FoundDataset, FoundImage
from tests.conftest import Analyze
from tests.integration.datasets.helpers import (
    BROKEN_IMAGES,
    GOOD,
    JPEG,
    Voc,
    an_annotation,
    an_object,
    as_rgb,
    encoded,
    grey_ramp,
    noise,
    only_problem,
    source_of,
    stems,
)
from unitscope.data.images import ImageSource, Skipped, UnreadableImage, batches, read_image
from unitscope.images.decoding import BrokenImage, decode

# --- broken image files ---


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
def test_broken_image_is_unreadable_at_run_time(tmp_path: Path, name: str) -> None:
    file = tmp_path / "bad.jpg"
    file.write_bytes(BROKEN_IMAGES[name][0])
    with pytest.raises(UnreadableImage):
        read_image(ImageSource(1, file), 8)


def test_file_that_is_not_an_image_always_gives_the_same_reason(voc: Voc) -> None:
    voc.image("bad.jpg", b"this is no image")
    voc.annotation("bad", an_annotation("bad.jpg", an_object()))
    details = {only_problem(read_voc(voc.root)).detail for _ in range(3)}
    assert len(details) == 1
    assert " at 0x" not in details.pop()


@pytest.mark.parametrize("form", ["EPS", "ICNS", "TGA"])
def test_formats_not_used_for_photographs_are_not_decoded(voc: Voc, form: str) -> None:
    """Pillow passes EPS files to Ghostscript, whatever their names, and supports many rarely tested formats."""
    voc.image("bad.jpg", encoded(Image.fromarray(noise(64, 64)), form))
    voc.annotation("bad", an_annotation("bad.jpg", an_object()))
    assert only_problem(read_voc(voc.root)).reason == "broken image"
    with pytest.raises(UnreadableImage):
        read_image(ImageSource(1, voc.root / voc.path("bad.jpg")), 8)


def test_decoding_an_image_starts_no_program(tmp_path: Path, analyze: Analyze) -> None:
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


def test_folder_or_pipe_instead_of_an_image_is_a_problem(voc: Voc) -> None:
    (voc.year / "JPEGImages" / "folder.jpg").mkdir()
    os.mkfifo(voc.year / "JPEGImages" / "pipe.jpg")
    for name in ("folder", "pipe"):
        voc.annotation(name, an_annotation(f"{name}.jpg", an_object()))
    voc.split("train", "good", "folder", "pipe")
    dataset = read_voc(voc.root)
    assert stems(dataset) == ["good"]
    assert [problem.reason for problem in dataset.problems] == ["missing file"] * 2


def test_link_out_of_the_data_set_is_followed(voc: Voc, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.png").write_bytes(GOOD)
    (voc.year / "JPEGImages" / "bad.jpg").symlink_to(tmp_path / "elsewhere.png")
    voc.annotation("bad", an_annotation("bad.jpg", an_object()))
    found = read_voc(voc.root)
    assert (stems(found), found.problems) == (["bad", "good"], [])


@pytest.mark.parametrize("target", ["bad.jpg", "nothing.jpg", "/dev/zero", "/proc/self/mem", "/proc/kmsg"])
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
def test_file_name_that_leads_out_of_the_data_set_is_a_problem(voc: Voc, filename: str) -> None:
    voc.annotation("bad", an_annotation(filename, an_object()))
    assert only_problem(read_voc(voc.root)).object_number == 0


# --- unusual but valid image files ---


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


def read_odd(voc: Voc, filename: str, content: bytes) -> FoundDataset:
    """Read a data set whose only image is this file, with an object as large as the ramp."""
    voc.image(filename, content)
    voc.annotation("odd", an_annotation(filename, an_object(box=(1, 1, 16, 16))))
    voc.split("train", "odd")
    return read_voc(voc.root)


def assert_ramp(dataset: FoundDataset, image: FoundImage) -> None:
    """Check that the image shows the ramp, up to the error of a lossy format."""
    pixels = read_image(source_of(dataset, image), 16).astype(int)
    assert np.abs(pixels - as_rgb(grey_ramp(8))).max() <= 3


@pytest.mark.parametrize("name", ODD_IMAGES)
def test_unusual_image_is_decoded_correctly(voc: Voc, name: str) -> None:
    dataset = read_odd(voc, "odd.jpg", ODD_IMAGES[name])
    assert not dataset.problems
    assert_ramp(dataset, dataset.images[0])


RAMP = grey_ramp(16)
UNUSUAL_RANGES = {
    "16 bits, PGM": encoded(RAMP, "PPM"),
    "32 bits, TIFF": encoded(RAMP.astype(np.int32), "TIFF"),
    "32 bits to 255, TIFF": encoded((RAMP // 257).astype(np.int32), "TIFF"),
    "floats to 1, TIFF": encoded((RAMP / 65535).astype(np.float32), "TIFF"),
    "floats to 255, TIFF": encoded((RAMP / 257).astype(np.float32), "TIFF"),
}


@pytest.mark.parametrize("name", UNUSUAL_RANGES)
def test_image_with_an_unusual_range_is_decoded_correctly_or_refused(voc: Voc, name: str) -> None:
    """Pillow's own conversion clips values above 255, so that nearly all pixels would be white or black."""
    dataset = read_odd(voc, "odd.tif", UNUSUAL_RANGES[name])
    for image in dataset.images:
        assert_ramp(dataset, image)
    assert len(dataset.images) + len(dataset.problems) == 1


def test_image_of_one_pixel_is_usable(voc: Voc) -> None:
    voc.add("tiny", an_object(box=(1, 1, 1, 1)), content=encoded(np.full((1, 1, 3), 77, np.uint8)))
    voc.split("train", "tiny")
    dataset = read_voc(voc.root)
    assert [image.box for image in dataset.images] == [(0, 0, 1, 1)]
    assert (read_image(source_of(dataset, dataset.images[0]), 32) == 77).all()


# --- files that would need minutes, hours or gigabytes ---


def seconds_of_scans(scans: int) -> bytes:
    """Build a progressive JPEG that repeats its last scan."""
    content = encoded(Image.new("L", (4000, 4000)), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * scans + content[-2:]


def strips(count: int, big: bool = False) -> bytes:
    """Build a TIFF that declares ``count`` rows with one strip each."""
    number, width = ("<HHQQ", 8) if big else ("<HHII", 4)
    tags = [(256, 1), (257, count), (258, 8), (259, 1), (262, 1), (277, 1), (278, 1)]
    start = 16 if big else 8
    ifd = struct.pack("<Q" if big else "<H", len(tags) + 2)
    lists = start + len(ifd) + (len(tags) + 2) * (20 if big else 12) + width
    for tag, value in tags:
        ifd += struct.pack(number, tag, 4, 1, value)
    ifd += struct.pack(number, 273, 4, count, lists) + struct.pack(number, 279, 4, count, lists + 4 * count)
    head = b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) if big else b"II*\0" + struct.pack("<I", 8)
    content = head + ifd + bytes(width)
    return content + struct.pack("<I", 8) * count + struct.pack("<I", 1) * count


BOMB = Image.new("1", (12_000, 12_000))
SLOW: dict[str, bytes] = {
    "JPEG of 500 scans": seconds_of_scans(500),
    "JPEG of many segments": JPEG[:2] + b"\xff\xfe\x00\x02" * 100_000 + JPEG[2:],
    "PPM as text": b"P3 1000 1000 255\n" + b"1 " * 3_000_000,
    "PBM as text": b"P1 9000 9000\n" + b"1" * 1000,
    "PGM of comments": b"P2 1000 1000 255\n" + b"#\n" * 100_000,
    "PGM of 12 bits": b"P5 9000 9000 4095\n" + bytes(1000),
    "TIFF of 200,000 strips": strips(200_000),
    "BigTIFF of 200,000 strips": strips(200_000, big=True),
    "GIF bomb": encoded(BOMB, "GIF"),
    "TIFF bomb": encoded(BOMB, "TIFF", compression="group4"),
    "JPEG bomb": encoded(BOMB.convert("L"), "JPEG", quality=1),
    "WebP bomb": encoded(Image.new("RGB", (64, 64)), "WEBP", lossless=True).replace(
        b"\x2f\x3f\xc0\x0f", b"\x2f\xff\xff\xff"
    ),
}


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("name", SLOW)
def test_slow_image_is_refused_before_it_is_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(image: Image.Image) -> None:
        raise AssertionError(f"{image.format} of {image.size} is decoded")

    if name != "WebP bomb":  # Pillow decodes it when it is opened
        monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(BrokenImage):
        decode(SLOW[name])


def test_ordinary_files_are_not_refused_as_slow() -> None:
    assert decode(seconds_of_scans(20)).size == (4000, 4000)
    assert decode(strips(1000)).size == (1, 1000)
    assert decode(strips(1000, big=True)).size == (1, 1000)


def test_large_image_of_16_bits_needs_less_than_a_gigabyte(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(encoded(np.full((6000, 6000), 257 * 9, np.uint16)))
    program = (
        "import sys; from pathlib import Path; from unitscope.images.decoding import decode\n"
        "assert decode(Path(sys.argv[1]).read_bytes()).getpixel((7, 7)) == (9, 9, 9)\n"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "x.png"], capture_output=True, check=True)
    assert int(done.stdout) < 700_000  # KB; converting all pixels to float would need 1,300,000


TURNED = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
MORE_ODD: dict[str, bytes] = {
    "animated PNG": encoded(
        Image.fromarray(as_rgb(grey_ramp(8))), "PNG", save_all=True, append_images=[Image.new("RGB", (16, 16))]
    ),
    "animated WebP": encoded(
        Image.fromarray(as_rgb(grey_ramp(8))), "WEBP", save_all=True, lossless=True,
        append_images=[Image.new("RGB", (16, 16))],
    ),
    "junk for a colour profile": encoded(as_rgb(grey_ramp(8)), icc_profile=b"junk" * 1000),
    "palette with transparency": encoded(palette_picture(), transparency=3),
    "turned by EXIF": encoded(as_rgb(grey_ramp(8)), "JPEG", quality=100, subsampling=0, exif=TURNED),
    "PNG called JPEG": encoded(as_rgb(grey_ramp(8))),
}  # fmt: skip


@pytest.mark.parametrize("name", MORE_ODD)
def test_first_picture_is_read_without_applying_the_exif_orientation(voc: Voc, name: str) -> None:
    """Boxes of annotations refer to the pixels as stored."""
    dataset = read_odd(voc, "odd.jpg", MORE_ODD[name])
    assert not dataset.problems
    assert_ramp(dataset, dataset.images[0])


# --- small files that declare a huge picture ---

CANVAS = 16_383  # pixels: the largest side of a WebP that is not animated


def announcing(form: str, place: bytes, width: int = CANVAS, height: int = CANVAS, **options: Any) -> bytes:
    """Build a small WebP and replace the size that follows the bytes ``place`` in its header."""
    content = bytearray(encoded(Image.new("RGB", (64, 64), (9, 9, 9)), "WEBP", **options))
    start = content.index(place) + len(place)
    if form == "lossy":
        size = struct.pack("<HH", width, height)
    elif form == "lossless":
        size = struct.pack("<I", (width - 1) | (height - 1) << 14)
    else:
        size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    content[start : start + len(size)] = size
    return bytes(content)


FRAMES: dict[str, Any] = {"save_all": True, "append_images": [Image.new("RGB", (64, 64), (255, 0, 0))]}
EXTENDED = b"VP8X\x0a\0\0\0\x02\0\0\0"  # with the flag of an animation
ANNOUNCING = {
    "lossy": announcing("lossy", b"\x9d\x01\x2a"),
    "lossless": announcing("lossless", b"\x2f", lossless=True),
    "animated": announcing("animated", EXTENDED, **FRAMES),
    "animated, the most of all": announcing("animated", EXTENDED, 65_535, 65_536, **FRAMES),
    "animated, one long row": announcing("animated", EXTENDED, 2**24, 200, **FRAMES),
}


@pytest.mark.parametrize("name", ANNOUNCING)
def test_small_webp_of_a_huge_picture_is_refused(name: str, voc: Voc) -> None:
    """It is a problem when the data set is registered, and left out of a job if the file changes later."""
    content = ANNOUNCING[name]
    assert len(content) < 1000
    voc.image("bad.webp", content)
    voc.annotation("bad", an_annotation("bad.webp", an_object()))
    assert only_problem(read_voc(voc.root)).reason == "image too large"
    skipped: list[Skipped] = []
    sources = [ImageSource(1, voc.root / voc.path("bad.webp")), ImageSource(2, voc.root / voc.path("good.png"))]
    (batch,) = batches(sources, 2, 8, skipped=skipped)
    assert [source.id for source in batch.sources] == [2]
    assert [item.source.id for item in skipped] == [1]
    assert "image too large" in skipped[0].reason


def test_refusing_small_webps_of_huge_pictures_needs_little_memory_and_time(tmp_path: Path) -> None:
    """The process has a limit on its CPU time."""
    for number, content in enumerate(ANNOUNCING.values()):
        (tmp_path / str(number)).write_bytes(content)
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from unitscope.images.decoding import BrokenImage, decode\n"
        "def highest(): return int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (30, 30)); before = highest()\n"
        "for file in Path(sys.argv[1]).iterdir():\n"
        "    try: decode(file.read_bytes())\n"
        "    except BrokenImage as broken: assert broken.reason == 'image too large'\n"
        "    else: raise SystemExit(1)\n"
        "print(highest() - before)"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, check=True)
    assert int(done.stdout) < 50_000  # KB; one canvas would need a million


@pytest.mark.parametrize("form", ["AVIF", "JPEG2000"])
def test_other_formats_that_pillow_supports_are_not_opened(form: str) -> None:
    """Their decoders are not called, whatever size they declare."""
    with pytest.raises(BrokenImage, match="not an image of a supported format"):
        decode(encoded(Image.new("RGB", (64, 64)), form))
