"""Tar files: all members are checked before the first one is written; an unsafe member refuses the whole
archive."""

from __future__ import annotations

import io
import tarfile
import tracemalloc
from pathlib import Path

import pytest

from producer.datasets import archives
from producer.datasets.archives import extract
from producer.tars import members
from shared.errors import UnsafeArchive
from tests.integration.serving import FOLDER, NAME, pack, special, tree

DIGITS = b"1" * 400_000 + b" =\n"  # tarfile searches it for seconds (CVE-2024-6232)


def header(kind: bytes, content: bytes, size: int | None = None) -> bytes:
    """Build a header of an extended type, with its content."""
    member = tarfile.TarInfo("VOCdevkit/x")
    member.type, member.size = kind, len(content) if size is None else size
    return member.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def record(key: bytes, value: bytes) -> bytes:
    line = b" " + key + b"=" + value + b"\n"
    length = len(line) + 1
    while len(str(length)) + len(line) != length:
        length += 1
    return str(length).encode() + line


FILES = {
    "VOCdevkit/VOC2007/Annotations/000001.xml": b"<annotation/>",
    "VOCdevkit/VOC2007/ImageSets/Main/train.txt": b"000001\n",
    "VOCdevkit/VOC2007/JPEGImages/000001.jpg": b"\xff\xd8" + bytes(5000),
}

# Name -> (archive, reason). The reasons are those of the product's check, which runs before tarfile's filter.
UNSAFE: dict[str, tuple[bytes, str]] = {
    "parent": (pack(FILES | {"VOCdevkit/../../escaped": b"x"}), "leads out of its folder"),
    "parent and back": (pack(FILES | {"VOCdevkit/../VOCdevkit/x": b"x"}), "leads out of its folder"),
    "absolute": (pack(FILES | {"/VOCdevkit/escaped": b"x"}), "is an absolute path"),
    "other folder": (pack(FILES | {"elsewhere/file": b"x"}), "not in the folder VOCdevkit"),
    "file as top folder": (pack({"VOCdevkit": b"x"}), "not in the folder VOCdevkit"),
    "symlink": (pack(FILES, special("VOCdevkit/link", tarfile.SYMTYPE, "/etc/passwd")), "neither a file"),
    "symlink inside": (pack(FILES, special("VOCdevkit/link", tarfile.SYMTYPE, "VOC2007")), "neither a file"),
    "hardlink": (pack(FILES, special("VOCdevkit/link", tarfile.LNKTYPE, next(iter(FILES)))), "neither a file"),
    "device": (pack(FILES, special("VOCdevkit/null", tarfile.CHRTYPE)), "neither a file"),
    "pipe": (pack(FILES, special("VOCdevkit/pipe", tarfile.FIFOTYPE)), "neither a file"),
    "name of 10,000 letters": (pack(FILES | {f"VOCdevkit/{'x' * 10_000}": b"x"}), "has a name of more"),
    "thousands of folders": (pack(FILES | {"VOCdevkit/" + "a/" * 3000 + "x": b"x"}), "has a name of more"),
    "hard link to the outside": (
        pack(FILES, special("VOCdevkit/link", tarfile.LNKTYPE, "/etc/passwd")), "neither a file"
    ),
    "link and what goes through it": (
        pack(FILES, special("VOCdevkit/d", tarfile.SYMTYPE, "/tmp")) + pack({"VOCdevkit/d/x": b"x"}),
        "neither a file",
    ),
    "pax header of 400,000 digits": (header(b"x", DIGITS) + pack(FILES), "header is malformed"),
    "pax header for all, of 400,000 digits": (header(b"g", DIGITS) + pack(FILES), "header is malformed"),
    "pax record that ends before it begins": (header(b"x", b"1 a=b\n") + pack(FILES), "header is malformed"),
    "pax record that is too long": (header(b"x", b"99 a=b\n") + pack(FILES), "header is malformed"),
    "pax size of text": (header(b"x", record(b"size", b"1e9")) + pack(FILES), "no number"),
    "pax size of many digits": (header(b"x", record(b"size", b"9" * 5000)) + pack(FILES), "no number"),
    "pax size beyond the file": (header(b"x", record(b"size", b"9999999")) + pack(FILES), "is damaged or trunc"),
    "pax name that leads out": (header(b"x", record(b"path", b"../x")) + pack(FILES), "leads out"),
    "pax name with NUL": (header(b"x", record(b"path", b"VOCdevkit/a\0b")) + pack(FILES), "name with NUL"),
    "sparse member of pax": (header(b"x", record(b"GNU.sparse.size", b"9" * 12)) + pack(FILES), "sparse"),
    "sparse member of GNU": (header(b"S", b"") + pack(FILES), "a sparse member"),
    "long name of 2 MiB": (header(b"L", bytes(2**21)) + pack(FILES), "a header of"),
    "long name that claims 2 GiB": (header(b"L", b"x", 2**31) + pack(FILES), "a header of"),
    "long name that is cut off": (header(b"L", b"x", 2**19), "is damaged or truncated"),
    "negative size": (header(b"0", b"", -512) + pack(FILES), "a negative size"),
    "empty": (pack({}), "is empty"),
    "no archive": (b"<html>not an archive</html>" * 100, "is damaged"),
    "no bytes": (b"", "is damaged"),
    "cut off in a file": (pack(FILES)[: 512 * 6], "is damaged"),
    "cut off in a header": (pack(FILES)[: 512 * 2 + 100], "is damaged or truncated"),
    "broken header": (pack(FILES)[: 512 * 2] + b"\x01" * 512 + pack(FILES)[512 * 3 :], "is damaged or truncated"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_archive_is_refused(name: str, tmp_path: Path) -> None:
    content, reason = UNSAFE[name]
    root, archive = tmp_path / "deep" / "root", tmp_path / NAME
    archive.write_bytes(content)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UnsafeArchive, match=f"{reason}.*Nothing was unpacked"):
        extract(archive, root, FOLDER)
    assert set(tmp_path.rglob("*")) - before == {root, root.parent}


@pytest.mark.parametrize(("limit", "value"), [("MAX_UNPACKED_BYTES", 5000), ("MAX_MEMBERS", 2)])
def test_too_large_archive_is_refused(
    limit: str, value: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / NAME
    archive.write_bytes(pack(FILES))
    monkeypatch.setattr(archives, limit, value)
    with pytest.raises(UnsafeArchive, match=str(value)):
        extract(archive, tmp_path, FOLDER)
    assert not (tmp_path / "VOCdevkit").exists()


def test_size_is_checked_before_anything_is_written(tmp_path: Path) -> None:
    """The header declares a larger size than the file contains."""
    huge = tarfile.TarInfo("VOCdevkit/huge")
    huge.size = archives.MAX_UNPACKED_BYTES + 1
    archive = tmp_path / NAME
    archive.write_bytes(huge.tobuf() + bytes(1024))
    with pytest.raises(UnsafeArchive, match="unpacks to more"):
        extract(archive, tmp_path, FOLDER)
    assert list(tmp_path.iterdir()) == [archive]


def test_names_in_extended_headers_are_used(tmp_path: Path) -> None:
    """The names are too long for ustar's header, or not ASCII; a header for all members has no effect."""
    files = {f"VOCdevkit/{'a' * 90}/{'b' * 90}/{number}": b"x" for number in ("1", "zwölf")}
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        archive, root = tmp_path / NAME, tmp_path / f"root-{form}"
        with tarfile.open(archive, "w", format=form, pax_headers={"path": "../x", "comment": "x"}) as tar:
            for name in files:
                member = tarfile.TarInfo(name)
                member.size = 1
                tar.addfile(member, io.BytesIO(b"x"))
        extract(archive, root, FOLDER)
        assert tree(root) == files


def test_memory_of_many_extended_headers_is_limited(tmp_path: Path) -> None:
    """Any number of headers can precede a member, each with other keys."""
    archive = tmp_path / NAME
    with archive.open("wb") as file:
        for number in range(10):
            file.write(header(b"x", b"".join(record(b"%d.%d" % (number, key), b"x") for key in range(20_000))))
        file.write(pack(FILES))
    tracemalloc.start()
    with archive.open("rb") as file:
        names = {member.name for member in members(file)}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert names >= FILES.keys()
    assert peak < 5 * 2**20


def test_unsafe_file_modes_are_removed(tmp_path: Path) -> None:
    member = tarfile.TarInfo("VOCdevkit/program")
    member.mode = 0o6777
    archive = tmp_path / NAME
    archive.write_bytes(pack({}, member))
    extract(archive, tmp_path, FOLDER)
    assert (tmp_path / "VOCdevkit" / "program").stat().st_mode & 0o7022 == 0


def test_duplicate_members_are_written_once(tmp_path: Path) -> None:
    archive = tmp_path / NAME
    first, second = tarfile.TarInfo("VOCdevkit/a.txt"), tarfile.TarInfo("VOCdevkit/a.txt")
    archive.write_bytes(pack(FILES, first, second))
    extract(archive, tmp_path / "root", FOLDER)
    assert tree(tmp_path / "root") == FILES | {"VOCdevkit/a.txt": b""}


def test_name_that_the_file_system_refuses_leaves_no_files(tmp_path: Path) -> None:
    archive, root = tmp_path / NAME, tmp_path / "root"
    archive.write_bytes(pack(FILES | {f"VOCdevkit/{'x' * 300}": b"x"}))
    with pytest.raises(OSError, match="too long"):
        extract(archive, root, FOLDER)
    assert list(root.iterdir()) == []
