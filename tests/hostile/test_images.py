"""Image files: broken ones are problems, odd ones are read as what they show."""

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

# --- bad image files ---


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
def test_file_name_that_leads_elsewhere_is_a_problem(voc: Voc, filename: str) -> None:
    voc.annotation("bad", an_annotation(filename, an_object()))
    assert only_problem(read_voc(voc.root)).object_number == 0


# --- odd but usable image files ---


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
    """Read a data set whose only image is this file, its object as large as the ramp."""
    voc.image(filename, content)
    voc.annotation("odd", an_annotation(filename, an_object(box=(1, 1, 16, 16))))
    voc.split("train", "odd")
    return read_voc(voc.root)


def assert_ramp(found: FoundDataset, image: FoundImage) -> None:
    """The image shows the ramp, but for what a lossy format changes."""
    pixels = read_image(source_of(found, image), 16).astype(int)
    assert np.abs(pixels - as_rgb(grey_ramp(8))).max() <= 3


@pytest.mark.parametrize("name", ODD_IMAGES)
def test_odd_image_is_read_as_what_it_shows(voc: Voc, name: str) -> None:
    found = read_odd(voc, "odd.jpg", ODD_IMAGES[name])
    assert not found.problems
    assert_ramp(found, found.images[0])


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
    found = read_odd(voc, "odd.tif", UNUSUAL_RANGES[name])
    for image in found.images:
        assert_ramp(found, image)
    assert len(found.images) + len(found.problems) == 1


def test_image_of_one_pixel_is_usable(voc: Voc) -> None:
    voc.add("tiny", an_object(box=(1, 1, 1, 1)), content=encoded(np.full((1, 1, 3), 77, np.uint8)))
    voc.split("train", "tiny")
    found = read_voc(voc.root)
    assert [image.box for image in found.images] == [(0, 0, 1, 1)]
    assert (read_image(source_of(found, found.images[0]), 32) == 77).all()


# --- files that would take minutes, hours or gigabytes ---


def seconds_of_scans(scans: int) -> bytes:
    """A progressive JPEG with its last scan over and over."""
    content = encoded(Image.new("L", (4000, 4000)), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + last * scans + content[-2:]


def strips(count: int, big: bool = False) -> bytes:
    """A TIFF that says it is ``count`` rows high, each in a strip of its own."""
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

    if name != "WebP bomb":  # decoded while it is opened
        monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(BrokenImage):
        decode(SLOW[name])


def test_usual_files_are_not_taken_for_slow_ones() -> None:
    assert decode(seconds_of_scans(20)).size == (4000, 4000)
    assert decode(strips(1000)).size == (1, 1000)
    assert decode(strips(1000, big=True)).size == (1, 1000)


def test_large_image_of_16_bits_takes_no_gigabytes(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(encoded(np.full((6000, 6000), 257 * 9, np.uint16)))
    program = (
        "import sys; from pathlib import Path; from unitscope.images.decoding import decode\n"
        "assert decode(Path(sys.argv[1]).read_bytes()).getpixel((7, 7)) == (9, 9, 9)\n"
        "print(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "x.png"], capture_output=True, check=True)
    assert int(done.stdout) < 700_000  # KB; with floats of all pixels 1,300,000


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
def test_first_picture_is_read_as_its_pixels_lie_in_the_file(voc: Voc, name: str) -> None:
    """Boxes of annotations count the pixels as they are stored, so that EXIF turns nothing."""
    found = read_odd(voc, "odd.jpg", MORE_ODD[name])
    assert not found.problems
    assert_ramp(found, found.images[0])


# --- small files that announce a huge picture ---

CANVAS = 16_383  # pixels a side: the most that a WebP can say, but for an animation's


def announcing(form: str, place: bytes, width: int = CANVAS, height: int = CANVAS, **options: Any) -> bytes:
    """A small WebP whose header says another size, behind the bytes of ``place``."""
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
EXTENDED = b"VP8X\x0a\0\0\0\x02\0\0\0"  # its flag: an animation
ANNOUNCING = {
    "lossy": announcing("lossy", b"\x9d\x01\x2a"),
    "lossless": announcing("lossless", b"\x2f", lossless=True),
    "animated": announcing("animated", EXTENDED, **FRAMES),
    "animated, the most of all": announcing("animated", EXTENDED, 65_535, 65_536, **FRAMES),
    "animated, one long row": announcing("animated", EXTENDED, 2**24, 200, **FRAMES),
}


@pytest.mark.parametrize("name", ANNOUNCING)
def test_small_webp_of_a_huge_picture_is_left_out(name: str, voc: Voc) -> None:
    """Recorded when it is registered; and left out of a job, should it come to be there later."""
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


def test_small_webps_of_huge_pictures_take_no_memory(tmp_path: Path) -> None:
    """Nor time: the process would be ended by its limit, which is that of its own seconds."""
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
    assert int(done.stdout) < 50_000  # KB; one canvas would have a million


@pytest.mark.parametrize("form", ["AVIF", "JPEG2000"])
def test_other_formats_that_pillow_reads_are_not_opened(form: str) -> None:
    """Whatever size they announce: no decoder of theirs is asked."""
    with pytest.raises(BrokenImage, match="not an image of a known format"):
        decode(encoded(Image.new("RGB", (64, 64)), form))
