"""Compressed archives and archives in a zip file are unpacked if they are safe, and refused otherwise."""

from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from producer import tars
from producer.datasets import archives
from producer.datasets.archives import extract
from shared.errors import UnsafeArchive
from tests.integration.serving import pack, special, tree

FOLDER, INNER = "images", "outer/images.tar.gz"
FILES = {"images/a/1.jpg": b"\xff\xd8" + bytes(5000), "images/b/1.jpg": b"\xff\xd8" + bytes(4000)}
TAR = pack(FILES)
PACKED = gzip.compress(TAR)


def zipped(members: dict[str, bytes], *more: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
        for info, member in more:
            archive.writestr(info, member)
    return content.getvalue()


def link(name: str, target: bytes) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info, target


def encrypted(content: bytes) -> bytes:
    """Set the encryption flag in both headers."""
    changed = bytearray(content)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        changed[content.index(signature) + offset] |= 1
    return bytes(changed)


def long_header(size: int) -> bytes:
    """Build a tar file whose extended header has this many bytes."""
    member = tarfile.TarInfo("images/x")
    member.type, member.size = tarfile.XHDTYPE, size
    return member.tobuf(tarfile.USTAR_FORMAT) + bytes(size) + TAR


@pytest.mark.parametrize("inner", [None, INNER])
def test_compressed_archive_is_unpacked(inner: str | None, tmp_path: Path) -> None:
    archive, root = tmp_path / "archive", tmp_path / "root"
    archive.write_bytes(zipped({"outer/": b"", INNER: PACKED, "outer/more.tar": b"x"}) if inner else PACKED)
    extract(archive, root, FOLDER, inner)
    assert tree(root) == FILES
    assert [path.name for path in root.iterdir()] == [FOLDER]


def test_files_added_by_macos_are_not_unpacked(tmp_path: Path) -> None:
    added = {"._images": b"x", "images/._a": b"x", "images/a/._1.jpg": b"x"}
    archive = tmp_path / "archive"
    archive.write_bytes(pack(FILES | added, special("./", tarfile.DIRTYPE)))
    extract(archive, tmp_path / "root", FOLDER)
    assert tree(tmp_path / "root") == FILES
    assert not list(tmp_path.rglob("._*"))


UNSAFE: dict[str, tuple[bytes, str | None, str]] = {
    "gzip cut off": (PACKED[:-20], None, "is damaged"),
    "gzip with a wrong sum": (PACKED[:-8] + bytes(8), None, "is damaged"),
    "gzip of nothing": (gzip.compress(b""), None, "is damaged"),
    "gzip's mark alone": (b"\x1f\x8b", None, "is damaged"),
    "parent in gzip": (gzip.compress(pack({"images/../../x": b"x"})), None, "leads out of its folder"),
    "link in gzip": (gzip.compress(pack({}, special("images/l", tarfile.SYMTYPE, "/"))), None, "neither a file"),
    "hidden link": (pack(FILES, special("images/._l", tarfile.SYMTYPE, "/")), None, "neither a file"),
    "long header": (long_header(tars.LARGEST_HEADER + 512), None, "a header of"),
    "long header in gzip": (gzip.compress(long_header(2**24)), None, "a header of"),
    "no zip": (TAR, INNER, "is damaged"),
    "no bytes": (b"", INNER, "is damaged"),
    "zip cut off": (zipped({INNER: PACKED})[:-30], INNER, "is damaged"),
    "zip without it": (zipped({"images.tar.gz": PACKED}), INNER, "does not hold exactly one outer/images"),
    "zip with it twice": (
        zipped({INNER: PACKED, INNER[:-1] + "y": PACKED}).replace(b"tar.gy", b"tar.gz"),
        INNER,
        "does not hold exactly one",
    ),
    "zip of something else": (zipped({INNER: b"no archive"}), INNER, "is damaged"),
    "zip with a parent": (zipped({INNER: PACKED, "outer/../../x": b""}), INNER, "leads out"),
    "zip with an absolute path": (zipped({INNER: PACKED, "/x": b""}), INNER, "is an absolute path"),
    "zip with a link": (zipped({INNER: PACKED}, link("outer/l", b"/etc")), INNER, "neither a file"),
    "link for it": (zipped({}, link(INNER, b"/etc/passwd")), INNER, "neither a file"),
    "encrypted": (encrypted(zipped({INNER: PACKED})), INNER, "is damaged: .*encrypted"),
    "parent in zip": (zipped({INNER: gzip.compress(pack({"images/../x": b"x"}))}), INNER, "leads out"),
    "other folder in zip": (zipped({INNER: gzip.compress(pack({"x/y": b"x"}))}), INNER, "not in the folder"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_archive_is_refused(name: str, tmp_path: Path) -> None:
    content, inner, reason = UNSAFE[name]
    archive, root = tmp_path / "archive", tmp_path / "deep" / "root"
    archive.write_bytes(content)
    with pytest.raises(UnsafeArchive, match=f"{reason}.*Nothing was unpacked"):
        extract(archive, root, FOLDER, inner)
    assert set(tmp_path.rglob("*")) == {archive, root, root.parent}


@pytest.mark.parametrize("inner", [None, INNER])
def test_bomb_is_refused(inner: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The unpacked bytes are counted, since sizes in headers can be wrong."""
    monkeypatch.setattr(archives, "MAX_UNPACKED_BYTES", 2**20)
    bomb = gzip.compress(bytes(2**24))
    if inner:
        bomb = zipped({INNER: bomb})
    archive = tmp_path / "archive"
    archive.write_bytes(bomb)
    with pytest.raises(UnsafeArchive, match=f"unpacks to more than {2**20} bytes"):
        extract(archive, tmp_path / "root", FOLDER, inner)
    assert list((tmp_path / "root").iterdir()) == []


def test_zip_that_declares_too_large_a_size_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped({INNER: PACKED, "outer/huge": b"x"}))
    at = content.rindex(b"PK\x01\x02") + 24
    content[at : at + 4] = struct.pack("<I", 2**32 - 2)
    archive = tmp_path / "archive"
    for limit, refused in ((archives.MAX_UNPACKED_BYTES, False), (2**31, True)):
        archive.write_bytes(content)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(archives, "MAX_UNPACKED_BYTES", limit)
            if refused:
                with pytest.raises(UnsafeArchive, match="unpacks to more"):
                    extract(archive, tmp_path / "second", FOLDER, INNER)
            else:
                extract(archive, tmp_path / "first", FOLDER, INNER)


def test_zip_with_too_many_members_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MAX_MEMBERS", 2)
    archive = tmp_path / "archive"
    archive.write_bytes(zipped({INNER: PACKED, "outer/1": b"", "outer/2": b""}))
    with pytest.raises(UnsafeArchive, match="more than 2 members"):
        extract(archive, tmp_path / "root", FOLDER, INNER)
