"""Files of similarities are read as untrusted: nothing is unpickled, and no more is unpacked than is needed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from producer.kinds.top9.labels.similarities import read_similarities
from shared.errors import UsageError
from unitscope.errors import NoSuchFile

NAMES, PATHS = ["wheel", "fur"], ["a.jpg", "b.jpg", "c.jpg"]
GOOD = {"names": NAMES, "paths": PATHS, "similarities": np.zeros((3, 2), np.float32)}


class Bomb:
    """Creates a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("/tmp/unpickled-similarities"),))


def saved(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{**GOOD, **arrays})
    return file.getvalue()


def without(name: str) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{key: value for key, value in GOOD.items() if key != name})
    return file.getvalue()


def with_header(name: str, header: bytes, body: bytes = b"") -> bytes:
    """Return a good archive in which one array has this header."""
    content, result = zipfile.ZipFile(io.BytesIO(saved())), io.BytesIO()
    with zipfile.ZipFile(result, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in content.namelist():
            length = len(header).to_bytes(2, "little")
            changed = b"\x93NUMPY\x01\x00" + length + header + body
            archive.writestr(member, changed if member == f"{name}.npy" else content.read(member))
    return result.getvalue()


NOT_FINITE = np.array([[0, 1], [np.nan, 1], [0, 1]], np.float32)
HUGE = b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }"
BAD = {
    "empty": b"",
    "text": b"hello",
    "an array": (lambda file: (np.save(file, NOT_FINITE), file.getvalue()))(io.BytesIO())[1],
    "no names": without("names"),
    "no paths": without("paths"),
    "no similarities": without("similarities"),
    "objects": saved(names=np.array([Bomb(), Bomb()], object)),
    "similarities of objects": saved(similarities=np.array([[Bomb()] * 2] * 3, object)),
    "another shape": saved(similarities=np.zeros((2, 3), np.float32)),
    "by columns": saved(similarities=np.zeros((3, 2), np.float32, order="F")),
    "integers": saved(similarities=np.zeros((3, 2), int)),
    "complex numbers": saved(similarities=np.zeros((3, 2), complex)),
    "names of bytes": saved(names=np.array([b"wheel", b"fur"])),
    "names in a table": saved(names=np.array([["wheel", "fur"]])),
    "no name": saved(names=np.array([], "U3"), similarities=np.zeros((3, 0), np.float32)),
    "a name twice": saved(names=["fur", "fur"]),
    "an empty name": saved(names=["fur", ""]),
    "a control character": saved(names=["fur", "\x1b[2J"]),
    "a long name": saved(names=["fur", "x" * 1000]),
    "a path twice": saved(paths=["a.jpg", "a.jpg", "b.jpg"]),
    "a huge list": with_header(
        "names", b"{'descr': '<U4', 'fortran_order': False, 'shape': (1000000000000000,), }"
    ),
    "a large list": with_header(
        "names", b"{'descr': '<U4000000', 'fortran_order': False, 'shape': (100000000,), }"
    ),
    "code in a header": with_header("names", b"__import__('os').system('touch /tmp/unpickled-similarities')"),
    "no code points": with_header(
        "names", b"{'descr': '<U2', 'fortran_order': False, 'shape': (2,), }", b"\xff" * 16
    ),
    "a deep header": with_header("names", b"(" * 5000),
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD.keys())
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "similarities.npz"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="can't be used"):
        read_similarities(file)
    assert not Path("/tmp/unpickled-similarities").exists()


def header(kind: str, *shape: int) -> bytes:
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()


@pytest.mark.parametrize(
    ("name", "of_array", "message"),
    [
        ("names", header("<U4", -1), r"the shape \[-1\]"),
        ("paths", header("<U4", -2), r"the shape \[-2\]"),
        ("similarities", header("<f4", -3, -2), r"the shape \[-3, -2\]"),
        ("names", header("<U0", 10**10), "values of 0 bytes"),
        ("paths", header("<U0", 3), "values of 0 bytes"),
        ("similarities", header("<V0", 3, 2), "values of 0 bytes"),
        ("names", header("<U1", 200_001), "more than 200,000"),
        ("paths", header("<U1", 2**25 + 1), "more than 33,554,432"),
    ],
)
def test_headers_are_checked_before_anything_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, of_array: bytes, message: str
) -> None:
    file = tmp_path / "similarities.npz"
    file.write_bytes(with_header(name, of_array, b"\0" * 2**20))
    read: list[int] = []
    plain = zipfile.ZipExtFile.read

    def counted(self: zipfile.ZipExtFile, size: int | None = -1) -> bytes:
        content = plain(self, size)
        read.append(len(content))
        return content

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
    with pytest.raises(UsageError, match=message):
        read_similarities(file)
    assert max(read) < 1000


def test_damaged_compression_is_refused(tmp_path: Path) -> None:
    content = bytearray(with_header("names", header("<U4", 1000), np.arange(4000, dtype="<u4").tobytes()))
    content[60:90] = b"\x55" * 30
    file = tmp_path / "similarities.npz"
    file.write_bytes(content)
    with pytest.raises(UsageError, match="decompressing"):
        read_similarities(file)


def test_similarities_of_a_replaced_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "similarities.npz"
    file.write_bytes(saved())
    similarities = read_similarities(file)
    file.write_bytes(saved(similarities=np.zeros((3, 0), np.float32)))
    with pytest.raises(UsageError, match=r"the shape \[3, 0\]"):
        list(similarities.rows())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (saved(similarities=NOT_FINITE), "NaN or infinite"),
        (with_header("similarities", HUGE, b"\0" * 5), "ends early"),
    ],
)
def test_values_are_checked_while_they_are_read(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "similarities.npz"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        list(read_similarities(file).rows())


def test_a_good_file_is_read(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((3, 2))
    for kind in (np.float16, np.float32, np.float64):
        file = tmp_path / "similarities.npz"
        file.write_bytes(saved(similarities=values.astype(kind)))
        similarities = read_similarities(file)
        assert (similarities.names, similarities.paths) == (NAMES, PATHS)
        assert np.concatenate(list(similarities.rows())).tolist() == values.astype(kind).tolist()
    with pytest.raises(NoSuchFile):
        read_similarities(tmp_path / "no.npz")
