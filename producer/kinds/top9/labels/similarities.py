"""The file of similarities: a NumPy archive from any model of images and texts, which is not trusted."""

from __future__ import annotations

import hashlib
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from shared.errors import UsageError
from unitscope.errors import NoSuchFile
from unitscope.find.maxima import UNREADABLE

MOST_CONCEPTS = 200_000
MOST_PATHS = 2**25  # images
LONGEST_NAME = 200  # characters
LARGEST_TEXTS = 2**30  # bytes of names or paths, which NumPy stores at the width of the longest
LARGEST_BLOCK = 2**25  # bytes of similarities that are read at once
EXPECTED = "Save it with np.savez(file, names=[...], paths=[...], similarities=float32 array [images, concepts])."


@dataclass(frozen=True)
class Similarities:
    """Names of concepts, paths of images, and their similarities, which ``rows`` reads."""

    file: Path
    sha256: str
    names: list[str]
    paths: list[str]

    def rows(self) -> Iterator[np.ndarray]:
        """Iterate over the similarities, float32 or float64 [some images, concepts] each.

        Raises
        ------
        UsageError
            A value is NaN or infinite, or the file ends early.
        """
        with _member(self.file, "similarities") as (content, shape, kind):
            _check_form(self.file, shape, kind, (len(self.paths), len(self.names)))
            row_bytes = kind.itemsize * shape[1]
            at_once = max(1, LARGEST_BLOCK // row_bytes)
            for start in range(0, shape[0], at_once):
                rows = min(at_once, shape[0] - start)
                block = content.read(rows * row_bytes)
                if len(block) != rows * row_bytes:
                    raise _bad(self.file, "similarities ends early")
                values = np.frombuffer(block, kind).reshape(rows, shape[1])
                if not np.isfinite(values).all():
                    raise _bad(self.file, "a similarity is NaN or infinite")
                yield values


def read_similarities(file: Path) -> Similarities:
    """Read the names and paths, and check the form of the file.

    Raises
    ------
    NoSuchFile
    UsageError
    """
    if not file.is_file():
        raise NoSuchFile(path=file)
    names, paths = _texts(file, "names", MOST_CONCEPTS), _texts(file, "paths", MOST_PATHS)
    if not names:
        raise _bad(file, "it has no names")
    if len(set(names)) != len(names):
        raise _bad(file, "a name occurs twice")
    if odd := [name for name in names if not (0 < len(name) <= LONGEST_NAME and name.isprintable())]:
        raise _bad(file, f"the name {odd[0][:LONGEST_NAME]!r} is empty, too long or not printable")
    if len(set(paths)) != len(paths):
        raise _bad(file, "a path occurs twice")
    with _member(file, "similarities") as (_, shape, kind):
        _check_form(file, shape, kind, (len(paths), len(names)))
    with file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    return Similarities(file, sha256, names, paths)


def _check_form(file: Path, shape: tuple[int, ...], kind: np.dtype, expected: tuple[int, int]) -> None:
    """Check that similarities are floats of the shape of paths and names."""
    if shape != expected:
        text = f"{list(expected)} as paths and names"
        raise _bad(file, f"similarities has the shape {list(shape)}, not {text}")
    if kind.kind != "f" or kind.itemsize > 8:
        raise _bad(file, f"similarities has the type {kind}, not a float")


def _texts(file: Path, name: str, most: int) -> list[str]:
    with _member(file, name) as (content, shape, kind):
        if len(shape) != 1 or kind.kind != "U":
            raise _bad(file, f"{name} is not a list of texts")
        if shape[0] > most:
            raise _bad(file, f"{name} has {shape[0]:,} texts, more than {most:,}")
        size = kind.itemsize * shape[0]
        if size > LARGEST_TEXTS:
            raise _bad(file, f"{name} is too large")
        values = content.read(size)
        if len(values) != size:
            raise _bad(file, f"{name} ends early")
        try:
            texts: list[str] = np.frombuffer(values, kind).tolist()
        except ValueError as error:  # not code points of Unicode
            raise _bad(file, f"{name} has a text that is not Unicode") from error
    return texts


@contextmanager
def _member(file: Path, name: str) -> Iterator[tuple[IO[bytes], tuple[int, ...], np.dtype]]:
    """Open an array of the archive after its header, and return its shape and type. Nothing is unpickled, and no
    more is unpacked than is read."""
    try:
        with zipfile.ZipFile(file) as archive, archive.open(f"{name}.npy") as content:
            version = np.lib.format.read_magic(content)
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            if version not in read:
                raise ValueError(f"the version {version} of NumPy's format is unknown")
            shape, columns_first, kind = read[version](content)
            if kind.hasobject:
                raise ValueError("it has Python objects")
            if min(shape, default=0) < 0 or kind.itemsize == 0:  # sizes of which nothing could be concluded
                raise ValueError(f"it has the shape {list(shape)} and values of {kind.itemsize} bytes")
            if columns_first and len(shape) > 1:
                raise ValueError("it is stored by columns: use np.ascontiguousarray")
            yield content, shape, kind
    except KeyError:
        raise _bad(file, f"it has no array '{name}'") from None
    except (*UNREADABLE, NotImplementedError, RuntimeError) as error:
        raise _bad(file, f"{name}: {error}") from error
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise _bad(file, str(error)) from error


def _bad(file: Path, reason: str) -> UsageError:
    return UsageError(reason=f"The similarities in {file} can't be used: {reason}. {EXPECTED}")
