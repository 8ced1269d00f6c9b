"""Reader of untrusted tar files, for archives of data sets and for exported jobs.

Python's ``tarfile`` reads extended headers of any length, with regular expressions that take seconds for some of
them (CVE-2024-6232), and unpacks sparse members to any size. Of it, only the parser of a header of 512 bytes is
used here. Extended headers are limited, and sparse members are refused.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

BLOCK = tarfile.BLOCKSIZE  # bytes
LARGEST_HEADER = 2**20  # bytes of an extended header; those of real archives have a few hundred
USED = (b"path", b"size")  # records of extended headers
LONGEST_NUMBER = 20  # digits
CHUNK_BYTES = 2**18
FILES = tarfile.REGULAR_TYPES
FOLDER = tarfile.DIRTYPE
LINKS = (tarfile.SYMTYPE, tarfile.LNKTYPE)
SPECIAL = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
PAX_OF_ALL = tarfile.XGLTYPE
LONG_NAME, LONG_LINK = tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK


class DamagedTar(Exception):
    """A tar file is damaged, or exceeds the limits of this reader; the message completes "it ..."."""


@dataclass(frozen=True)
class Member:
    """A member of a tar file; ``start`` is the position of its content in the file."""

    name: str
    type: bytes
    size: int  # of its content in the file, in bytes
    mode: int
    start: int

    @property
    def is_file(self) -> bool:
        return self.type in FILES

    @property
    def is_folder(self) -> bool:
        return self.type == FOLDER

    def chunks(self, file: IO[bytes]) -> Iterator[bytes]:
        """Read the member's content from the tar file, in parts.

        Raises
        ------
        DamagedTar
            the file was truncated in the meantime.
        """
        left = self.size
        file.seek(self.start)
        while left:
            chunk = file.read(min(left, CHUNK_BYTES))
            if not chunk:
                raise DamagedTar("is damaged or truncated")
            left -= len(chunk)
            yield chunk


def members(file: IO[bytes]) -> Iterator[Member]:
    """Iterate over the members of an uncompressed tar file, in the formats ustar, GNU and pax.

    That a member's content is complete is checked after it was returned.

    Raises
    ------
    DamagedTar
        it is not a tar file, is truncated, has a sparse member, or an extended header is too long or malformed.
    """
    length = file.seek(0, os.SEEK_END)
    position = 0
    extended: dict[str, str] = {}  # of the next member
    while header := _header(file, position):
        position += BLOCK
        size = _size(header, extended)
        if header.type in PAX or header.type in (PAX_OF_ALL, LONG_NAME, LONG_LINK):
            content = _extended(file, position, header.size)
            position += _padded(header.size)
            if header.type == LONG_NAME:
                extended["path"] = _text(content.split(b"\0", 1)[0])
            elif header.type != LONG_LINK:
                records = _records(content)
                extended |= {} if header.type == PAX_OF_ALL else records
            continue
        if header.type == tarfile.GNUTYPE_SPARSE:
            raise DamagedTar("has a sparse member")
        if header.type in (*LINKS, *SPECIAL, FOLDER):  # without content, whatever the header says
            size = 0
        name = extended.get("path", header.name)
        yield Member(name.rstrip("/") or name, header.type, size, header.mode, position)
        if position + size > length:
            raise DamagedTar("is damaged or truncated")
        position += _padded(size)
        extended = {}


def _header(file: IO[bytes], position: int) -> tarfile.TarInfo | None:
    """Read the header at this position; None at the end of the archive."""
    file.seek(position)
    block = file.read(BLOCK)
    if (position and not block) or (len(block) == BLOCK and not block.strip(b"\0")):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        raise DamagedTar(f"is damaged or truncated: {error}") from None


def _size(header: tarfile.TarInfo, extended: dict[str, str]) -> int:
    size = header.size
    if (written := extended.get("size")) is not None:
        if not (written.isascii() and written.isdigit() and len(written) <= LONGEST_NUMBER):
            raise DamagedTar("is damaged: the size of a member is no number")
        size = int(written)
    if size < 0:
        raise DamagedTar("is damaged: a member has a negative size")
    return size


def _extended(file: IO[bytes], position: int, size: int) -> bytes:
    if not 0 <= size <= LARGEST_HEADER:
        raise DamagedTar(f"is damaged: a header of {size} bytes")
    file.seek(position)
    content = file.read(size)
    if len(content) < size:
        raise DamagedTar("is damaged or truncated")
    return content


def _records(content: bytes) -> dict[str, str]:
    """Parse the records ``LENGTH KEY=VALUE\\n`` of a pax header, and return those that are used: any number of
    headers can precede a member.

    Raises
    ------
    DamagedTar
        they are malformed, or describe a sparse member.
    """
    records = {}
    position = 0
    while position < len(content):
        space = content.find(b" ", position, position + LONGEST_NUMBER)
        digits = content[position:space] if space > position else b""
        end = position + int(digits) if digits.isdigit() else 0
        key, equals, value = content[space + 1 : end - 1].partition(b"=")
        if not space < end <= len(content) or content[end - 1 : end] != b"\n" or not equals:
            raise DamagedTar("is damaged: an extended header is malformed")
        if key.startswith(b"GNU.sparse."):
            raise DamagedTar("has a sparse member")
        if key in USED:
            records[_text(key)] = _text(value)
        position = end
    return records


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogateescape")
