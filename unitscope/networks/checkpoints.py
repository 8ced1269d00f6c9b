"""Reading of weights files as people have them. Files may be hostile: only tensors are loaded, and no pickled code
is run.

A file's format is recognized by its content; suffixes are often wrong.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from unitscope.errors import NoSuchFile, WeightsNotReadable

Weights = dict[str, torch.Tensor]

LARGEST_FILE = 32 * 2**30  # bytes; torchvision's largest file has 2.5 GB
LONGEST_NAME = 200  # characters of a tensor's name in a message
DEEPEST = 3  # dictionaries around the state_dict: {"state": {"ema": {"model": ...}}}
MOST_CLASSES = 500  # that the objects beside the tensors may have
SAVE_WEIGHTS = "Where the network is, save its weights alone: torch.save(model.state_dict(), 'weights.pth')"

# Files that are not weights, by their first bytes in lower case.
FOREIGN = {
    b"version https://git-lfs": "it is a pointer of Git LFS, not the file itself: run `git lfs pull`",
    b"<!doctype html": "it is a web page, not the file itself: download it again",
    b"<html": "it is a web page, not the file itself: download it again",
    b"\x89hdf": "it is an HDF5 file, which Keras writes; networks are PyTorch's",
    b"\x1f\x8b": "it is compressed with gzip: unpack it first",
}


@dataclass(frozen=True)
class StateDict:
    """A dictionary of tensors.

    Attributes
    ----------
    tensors
        Tensors by name.
    versions
        Versions of the modules that wrote the tensors, by module path, as ``torch.save`` keeps them. Empty if the
        file has none. Modules use them to convert the names and shapes of earlier versions.
    """

    tensors: Weights
    versions: dict[str, int]


@dataclass(frozen=True)
class Checkpoint:
    """The dictionaries of tensors in a file, by the keys that lead there: "", "state_dict", "ema.model"."""

    path: Path
    state_dicts: dict[str, StateDict]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read every dictionary of tensors in a safetensors file, or in a file of ``torch.save``.

    Objects of other classes beside the tensors (a trainer's options, for example) are replaced by empty ones;
    their code is neither imported nor run.

    Raises
    ------
    NoSuchFile
        ``path`` is not a file.
    WeightsNotReadable
        the file is too large, damaged, compressed, needs too much memory, or contains no dictionary of tensors.
    """
    try:
        return _read(path)
    except (MemoryError, RuntimeError) as error:
        raise WeightsNotReadable(path=path, reason=_reason(error)) from error


def _read(path: Path) -> Checkpoint:
    if not path.is_file():
        raise NoSuchFile(path=path)
    if (size := path.stat().st_size) > LARGEST_FILE:
        raise WeightsNotReadable(path=path, reason=f"its {size} bytes exceed the limit of {LARGEST_FILE}")
    with path.open("rb") as file:
        start = file.read(64)
    if _is_safetensors(start, size, path):
        return Checkpoint(path, {"": StateDict(read_safetensors(path), {})})
    if reason := _foreign(start, path):
        raise WeightsNotReadable(path=path, reason=reason)
    loaded = _unpickled(path)
    found = dict(_state_dicts(loaded, (), set()))
    if not found:
        raise WeightsNotReadable(path=path, reason=_why_no_tensors(loaded))
    return Checkpoint(path, found)


def read_safetensors(path: Path) -> Weights:
    """Read a file of the format safetensors, whose tensors take no more memory than the file.

    Raises
    ------
    WeightsNotReadable
        it is of another format, or damaged.
    """
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsNotReadable(path=path, reason=error) from error


def _is_safetensors(start: bytes, size: int, path: Path) -> bool:
    """Whether a file is of the format safetensors, or claims to be and is no other that is known."""
    header = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and 8 + header <= size:
        return True
    return path.suffix.lower() == ".safetensors" and not start.startswith((b"PK", b"\x80")) and not _known(start)


def _known(start: bytes) -> str | None:
    return next((reason for first, reason in FOREIGN.items() if start.lower().startswith(first)), None)


def _foreign(start: bytes, path: Path) -> str | None:
    """Say why a file is not one of weights, if its content tells; None otherwise."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return _known(start)  # None: the format before PyTorch 1.6, or damaged
    names = {member.filename.partition("/")[2] for member in members}
    if "constants.pkl" in names:
        return (
            "it is a TorchScript program (torch.jit.save), which is code. Save its weights alone: "
            "torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')"
        )
    if "archive_format" in names:
        return (
            "it is an exported program (torch.export.save), which is code. Save its weights alone: "
            "torch.save(torch.export.load(FILE).state_dict, 'weights.pth')"
        )
    if len({member.filename for member in members}) < len(members):
        return "it is an archive that contains a file twice"
    if sum(member.file_size for member in members) > path.stat().st_size:
        return "it is an archive whose files overlap or are incomplete"  # many could be one, read many times
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        # torch.load has no limit on what a member expands to.
        return "it is a compressed archive, which torch.save never writes"
    if any(member.filename.endswith(".npy") for member in members):
        return "it is an archive of NumPy's arrays. Convert them with torch.from_numpy, and save the tensors"
    if "data.pkl" not in names:
        return "it is a zip archive of other files: unpack it first"
    return None


# --- files of torch.save ---


class _Replaced:
    """Replacement of an object whose class is not loaded. It accepts and ignores the object's state."""

    of = ""  # full name of the class or function in the file

    def __new__(cls, *_: object, **__: object) -> _Replaced:
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


def _unpickled(path: Path) -> Any:
    """Load a file of ``torch.save`` with torch's restricted unpickler; classes that it refuses are replaced."""
    try:
        with path.open("rb") as file:
            refused = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    except Exception:  # not a zip archive, or a pickle with other instructions: torch.load reports it
        refused = []
    if len(refused) > MOST_CLASSES:
        raise WeightsNotReadable(path=path, reason=f"it has objects of {len(refused)} classes beside tensors")
    replacements = [(type("_Replaced", (_Replaced,), {"of": name}), name) for name in refused]
    try:
        # Torch is given the open file, since it would go by the suffix of a path.
        with torch.serialization.safe_globals(replacements), path.open("rb") as file:  # type: ignore[arg-type]
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler can raise anything on an invalid file
        # Torch's message is left out: it advises to load the file unsafely.
        raise WeightsNotReadable(path=path, reason=_reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError) or "allocate memory" in str(error):
        return "it needs more memory than there is, or than a file of its size may"
    return f"it is damaged, or contains more than tensors ({type(error).__name__}). {SAVE_WEIGHTS}"


def _state_dicts(content: Any, keys: tuple[str, ...], seen: set[int]) -> Iterator[tuple[str, StateDict]]:
    """Yield the dictionaries of tensors in ``content`` with the keys that lead there."""
    if not isinstance(content, dict) or id(content) in seen:
        return
    seen.add(id(content))
    # Methods of dict, since a file can set attributes of an OrderedDict that hide them.
    items = list(dict.items(content))
    if items and all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in items):
        yield ".".join(keys), StateDict({**dict(items)}, _versions(content))
    elif len(keys) < DEEPEST:
        for name, value in items:
            if isinstance(name, str):
                yield from _state_dicts(value, (*keys, name), seen)


def _versions(content: dict[str, torch.Tensor]) -> dict[str, int]:
    """Return the valid versions of modules in the ``_metadata`` of a state_dict."""
    metadata = getattr(content, "__dict__", {}).get("_metadata")
    if not isinstance(metadata, dict):
        return {}
    versions = {
        path: dict.get(local, "version") for path, local in dict.items(metadata) if isinstance(local, dict)
    }
    return {
        path: number
        for path, number in versions.items()
        if isinstance(path, str) and type(number) is int and 0 < number < 1000
    }


def _why_no_tensors(loaded: Any) -> str:
    """Say what a file contains instead of a dictionary of tensors, and how to save one."""
    if isinstance(loaded, _Replaced):
        return f"it is a pickled object of class {loaded.of[:LONGEST_NAME]}, not a state_dict. {SAVE_WEIGHTS}"
    reason = "it contains no dictionary of tensors"
    odd = next(_not_tensors(loaded, set(), 0), None)
    if odd is None:
        return reason
    name, value = odd
    of = value.of if isinstance(value, _Replaced) else type(value).__name__
    reason += f": {name[:LONGEST_NAME]!r} is of class {of[:LONGEST_NAME]}"
    if of.startswith("numpy"):
        return f"{reason}. Convert NumPy's arrays with torch.from_numpy, and save the tensors"
    return f"{reason}. {SAVE_WEIGHTS}" if isinstance(value, _Replaced) else reason


def _not_tensors(content: Any, seen: set[int], depth: int) -> Iterator[tuple[str, Any]]:
    """Yield the named values that are neither tensors nor dictionaries; those that are replaced come first."""
    if not isinstance(content, dict) or id(content) in seen or depth > DEEPEST:
        return
    seen.add(id(content))
    named = [(name, value) for name, value in dict.items(content) if isinstance(name, str)]
    yield from (pair for pair in named if isinstance(pair[1], _Replaced))
    for _, value in named:
        yield from _not_tensors(value, seen, depth + 1)
    yield from (pair for pair in named if not isinstance(pair[1], (torch.Tensor, dict, _Replaced)))
