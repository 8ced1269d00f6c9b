"""Decoding of images in many threads shows no Pillow warnings and leaves the warning filters unchanged."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.hostile.fuzzing import examples
from tests.hostile.test_images import ANNOUNCING, MORE_ODD, ODD_IMAGES, SLOW
from tests.integration.cli.helpers import Home
from tests.integration.datasets.helpers import BROKEN_IMAGES
from unitscope.images import decoder_messages
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


def fax_with_many_errors() -> bytes:
    """Return a fax of 4,000 rows, of which hundreds are damaged: libtiff prints an error for each."""
    random = np.random.default_rng(0)
    buffer = io.BytesIO()
    Image.fromarray(random.random((4000, 64)) > 0.5).save(buffer, "TIFF", compression="group3")
    content = bytearray(buffer.getvalue())
    for position in random.integers(200, len(content) - 400, len(content) // 10):
        content[position] = random.integers(256)
    return bytes(content)


def tiff_with_many_warnings(tags: int) -> bytes:
    """Return a TIFF in which each of ``tags`` tags has more data than the file."""
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "TIFF")
    content = buffer.getvalue()
    start = int.from_bytes(content[4:8], "little")
    count = int.from_bytes(content[start : start + 2], "little")
    entries = [content[start + 2 + 12 * number :][:12] for number in range(count)]
    entries += [struct.pack("<HHII", 40_000 + number, 4, 60_000, 8) for number in range(tags)]
    content += b"\0" * (len(content) % 2)
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return content[:4] + struct.pack("<I", len(content)) + content[8:] + directory


def test_messages_about_an_image_are_few_and_others_are_kept(tmp_path: Path) -> None:
    """Threads decode, and others warn meanwhile: of each image there are three messages, and their number."""
    (tmp_path / "fax").write_bytes(fax_with_many_errors())
    (tmp_path / "tags").write_bytes(tiff_with_many_warnings(5000))
    program = (
        "import sys, warnings; from concurrent.futures import ThreadPoolExecutor; from pathlib import Path\n"
        "from unitscope.images.decoding import decode\n"
        "def warn(number): [warnings.warn(f'other {number} {k}') for k in range(100)]\n"
        "def decoded(name): return decode((Path(sys.argv[1]) / name).read_bytes()).size\n"
        "with ThreadPoolExecutor(10) as threads:\n"
        "    others = [threads.submit(warn, number) for number in range(2)]\n"
        "    print(set(threads.map(decoded, ['fax', 'tags'] * 8)))\n"
        "    [other.result() for other in others]\n"
        "warnings.warn('the end')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program, tmp_path], capture_output=True, text=True, check=True
    )
    lines = done.stderr.splitlines()
    assert sum("Bad code word" in line for line in lines) == 8 * 3
    assert sum("UserWarning: Tag data larger than file" in line for line in lines) == 8 * 3
    left_out = [int(line.split()[-10]) for line in lines if line.endswith("same image were not shown.")]
    assert len(left_out) == 16
    assert sum(number > 4900 for number in left_out) == 8  # Pillow reads the tags several times
    assert len(lines) < 700  # with a line of code for each warning
    assert sum("UserWarning: other" in line for line in lines) == 200
    assert sum("UserWarning: the end" in line for line in lines) == 1


def test_warnings_are_recorded_and_functions_that_show_them_are_kept() -> None:
    content = tiff_with_many_warnings(10)
    shown = warnings.showwarning
    with warnings.catch_warnings(record=True) as recorded:
        warnings.simplefilter("always")
        decode(content)
        warnings.warn("mine", stacklevel=1)
    texts = [str(warning.message) for warning in recorded]
    assert [text[:8] for text in texts[:3]] == ["Tag data"] * 3
    assert texts[3].endswith("more messages about the same image were not shown.")
    assert texts[4:] == ["mine"]
    assert warnings.showwarning is shown
    calls: list[str] = []

    def show(message: Warning | str, *place: Any, **options: Any) -> None:
        calls.append(str(message))
        before(message, *place, **options)  # which is the function of this module after the first image

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        decode(content)
        before, warnings.showwarning = warnings.showwarning, show
        decode(content)
        warnings.warn("mine", stacklevel=1)
    assert calls == texts


def test_a_fax_of_too_many_rows_is_refused() -> None:
    buffer = io.BytesIO()
    Image.new("1", (8, 65_537)).save(buffer, "TIFF", compression="group4")
    with pytest.raises(BrokenImage, match="a fax of more than 65536 rows"):
        decode(buffer.getvalue())


def test_a_data_set_of_damaged_images_is_added_with_few_lines(fresh: Home, tmp_path: Path) -> None:
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "fax.tif").write_bytes(fax_with_many_errors())
    (tmp_path / "data" / "a" / "tags.tif").write_bytes(tiff_with_many_warnings(5000))
    done = fresh("dataset", "add", "folder", "--root", tmp_path / "data", "--name", "x")
    assert "more messages about the same image were not shown" in done.stderr
    assert len(done.stderr.splitlines()) < 25


@pytest.mark.parametrize("name", [*ODD_IMAGES, *MORE_ODD])
def test_formats_are_recognized_as_in_pillow(name: str) -> None:
    content = {**ODD_IMAGES, **MORE_ODD}[name]
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        if not image.mode.startswith("I"):  # 16 bits are converted to 8 differently
            assert decode(content).tobytes() == image.convert("RGB").tobytes()


def test_the_error_handler_is_set_once_whatever_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise libtiff would call a handler that a thread set and nothing keeps, and the process would crash."""
    calls: list[float] = []

    def slowly() -> object:
        time.sleep(0.05)
        calls.append(time.monotonic())
        return object()

    monkeypatch.setattr(decoder_messages, "_handlers", [])
    monkeypatch.setattr(decoder_messages, "_set_libtiff_handler", slowly)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: decoder_messages._hook_libtiff(), range(8)))
    assert len(calls) == 1
