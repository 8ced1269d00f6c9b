"""Decoding of images in many threads shows no Pillow warnings and leaves the warning filters unchanged."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.hostile.fuzzing import examples
from tests.hostile.test_images import ANNOUNCING, MORE_ODD, ODD_IMAGES, SLOW
from tests.integration.datasets.helpers import BROKEN_IMAGES
from unitscope.images.decoding import FORMATS, BrokenImage, decode
from unitscope.images.odd_images import size_of_gif

# Packages that change the warning filters on import; imported first, so that the comparison ignores their changes.
OTHERS = "import matplotlib.figure, numpy, PIL.Image, pydantic, safetensors.torch, torch, torchvision, tqdm"
IMPORT_ALL = """
import importlib, pkgutil, warnings
before = list(warnings.filters)
import unitscope
for module in pkgutil.walk_packages(unitscope.__path__, "unitscope."):
    importlib.import_module(module.name)
assert warnings.filters == before, [f for f in warnings.filters if f not in before]
"""


def test_importing_the_library_leaves_the_warning_filters_unchanged() -> None:
    subprocess.run([sys.executable, "-c", OTHERS + IMPORT_ALL], check=True)


def gif(width: int, height: int, *parts: bytes) -> bytes:
    """Build a GIF with this canvas size."""
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b"".join(parts)


def frame(left: int, top: int, columns: int, rows: int) -> bytes:
    """Build a frame with a few bytes of data."""
    return b"," + struct.pack("<HHHHB", left, top, columns, rows, 0) + b"\x02\x02\x4c\x01\x00;"


NETSCAPE = b"!\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00"
CONTROL = b"!\xf9\x04\x00\x00\x00\x00\x00"
LARGE = frame(5, 0, 10_000, 9_000)
GIFS_THAT_GROW = {
    "at once": gif(16, 16, LARGE),
    "behind extensions": gif(16, 16, NETSCAPE, CONTROL, b"!\xfe\x03abc\x02de\x00", LARGE),
    "after an empty comment": gif(16, 16, b"!\xfe\x00", LARGE),
    "after an extension that starts with a terminator": gif(16, 16, b"!\xf9\x00\x02;;\x00", LARGE),
    "after a NETSCAPE extension without data": gif(16, 16, b"!\xff\x0bNETSCAPE2.0\x00\x02;;\x00", LARGE),
    "after meaningless bytes": gif(16, 16, b"\x00\x07\xff", LARGE),
    "with a disposal method": gif(16, 16, b"!\xf9\x04\x08\x00\x00\x00\x00", LARGE),
    "as wide as can be": gif(65_535, 1, frame(0, 1_400, 1, 1)),
}


@pytest.mark.parametrize("name", GIFS_THAT_GROW)
def test_gif_whose_first_frame_is_huge_is_too_large(name: str) -> None:
    with pytest.raises(BrokenImage) as raised:
        decode(GIFS_THAT_GROW[name])
    assert raised.value.reason == "image too large"


def test_gif_with_too_many_blocks_is_refused_before_pillow_reads_them() -> None:
    for filling in (b"\x00" * 2_000_000, b"!\xfe" + b"\x01x" * 1_000_000, b"!\xfe\x00" * 1_000_000):
        with pytest.raises(BrokenImage, match="blocks before it"):
            decode(gif(16, 16, filling, frame(0, 0, 16, 16)))


BLOCKS = st.one_of(
    st.just(b""),
    st.builds(lambda data: bytes([len(data)]) + data, st.binary(min_size=1, max_size=9)),
    st.sampled_from([b"\x00", b"\x0bNETSCAPE2.0", b"\x0bNETSCAPE2.0\x03\x01\x00\x00"]),
)
PARTS = st.one_of(
    st.builds(
        lambda label, blocks: b"!" + bytes([label]) + b"".join(blocks),
        st.sampled_from([0xF9, 0xFE, 0xFF, 0x01]),
        st.lists(BLOCKS, max_size=4),
    ),
    st.builds(frame, *[st.integers(0, 300)] * 4),
    st.binary(max_size=3),
)


@examples(300)
@given(st.integers(0, 300), st.integers(0, 300), st.lists(PARTS, max_size=6))
def test_size_of_a_gif_equals_the_size_that_pillow_reads(width: int, height: int, parts: list[bytes]) -> None:
    content = gif(width, height, *parts, frame(0, 0, 250, 250))
    try:
        with Image.open(io.BytesIO(content), formats=["GIF"]) as image:
            expected = image.size
    except Exception:  # any error of Pillow
        return
    assert size_of_gif(content) == expected


def test_warnings_of_large_images_are_not_printed(tmp_path: Path) -> None:
    images = {**SLOW, **ANNOUNCING, **GIFS_THAT_GROW, **{n: content for n, (content, _) in BROKEN_IMAGES.items()}}
    for number, content in enumerate(images.values()):
        (tmp_path / str(number)).write_bytes(content)
    program = (
        "import sys; from pathlib import Path; from unitscope.images.decoding import BrokenImage, decode\n"
        "refused = 0\n"
        "for path in Path(sys.argv[1]).iterdir():\n"
        "    try: decode(path.read_bytes())\n"
        "    except BrokenImage: refused += 1\n"
        "print(refused)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program, tmp_path], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) == len(images)
    assert "DecompressionBomb" not in done.stderr


def test_decoding_in_threads_changes_no_warning_filter() -> None:
    """A filter that is set while other threads decode is kept, and none is added by them."""
    images = [*BROKEN_IMAGES.values(), *((content, "") for content in ODD_IMAGES.values())] * 20
    filters = warnings.filters
    before = list(filters)

    def tried(content: bytes) -> bool:
        try:
            decode(content)
        except BrokenImage:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(tried, [content for content, _ in images]))
    assert done == [not reason for _, reason in images]
    assert warnings.filters is filters
    assert list(warnings.filters) == before


@pytest.mark.parametrize("name", [*ODD_IMAGES, *MORE_ODD])
def test_formats_are_recognized_as_in_pillow(name: str) -> None:
    content = {**ODD_IMAGES, **MORE_ODD}[name]
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        if not image.mode.startswith("I"):  # 16 bits are converted to 8 differently
            assert decode(content).tobytes() == image.convert("RGB").tobytes()
