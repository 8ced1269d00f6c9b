"""Weights files that run code, are malformed, expand when read, or contain something else."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import exit_code, message
from shared.kinds.registry import parse
from shared.store.store import Store
from tests.hostile.exports import new_home
from tests.hostile.fuzzing import examples
from tests.hostile.test_fuzz_specifications import VALID
from tests.integration.cli.helpers import NETWORK, Home
from unitscope.description import NetworkSpecification
from unitscope.errors import UnitscopeError, WeightsNotReadable
from unitscope.networks.weights import LARGEST_FILE, read_weights
from worker.context import JobContext
from worker.kinds.common import load_network
from worker.programs.describe import take_weights


class Payload:
    """An object that creates a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def saved(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def refused_weights(path: Path, code: int, says: Sequence[str], fc: int = 16, classes: int = 20) -> str:
    """Check that weights are refused and not stored; returns the error. Calls the code behind the command line."""
    store = path.parent / "store"
    specification = NetworkSpecification(name="zfnet", classes=classes, image_size=64, fc=fc)
    with pytest.raises(UnitscopeError) as error:
        take_weights(specification, path, Store(store))
    assert exit_code(error.value) == code
    for word in (str(path), *says):
        assert word in message(error.value)
    assert not store.exists()
    return message(error.value)


@pytest.mark.parametrize("how", ["pickle", "torch.save", "inside a state_dict"])
def test_weights_with_code_are_refused_and_the_code_does_not_run(tmp_path: Path, tensors: Any, how: str) -> None:
    trap, file = Payload(tmp_path / "sprung"), tmp_path / "weights.pth"
    if how == "pickle":
        file.write_bytes(pickle.dumps(trap))
    else:
        saved(file, {**tensors, "trap": trap} if how == "inside a state_dict" else trap)
    line = refused_weights(file, 2, ("state_dict",))
    assert not (tmp_path / "sprung").exists()
    assert "weights_only` set to `False" not in line  # torch's advice to disable the check is not passed on


def test_code_in_weights_does_not_run_through_the_command_line(home: Home, tmp_path: Path) -> None:
    file = saved(tmp_path / "weights.pth", Payload(tmp_path / "sprung"))
    asked = ("submit", "--dataset", "shapes", "--layer", "5", *NETWORK, "--weights", file)
    home.refused(*asked, code=2, says=(str(file), ".safetensors"))
    assert not (tmp_path / "sprung").exists()


NO_TENSORS: dict[str, object] = {
    "a list": [1, 2],
    "nothing": {},
    "numbers": {"features.0.weight": [1.0, 2.0]},
    "an empty state_dict": {"state_dict": {}},
    "one tensor": torch.zeros(3),
    "numbers for names": {0: torch.zeros(3)},
}


@pytest.mark.parametrize("name", NO_TENSORS)
def test_weights_without_named_tensors_are_refused(tmp_path: Path, name: str) -> None:
    refused_weights(saved(tmp_path / "x.pth", NO_TENSORS[name]), 2, ("no dictionary of tensors", ".safetensors"))


NO_WEIGHTS = {
    "empty.pth": b"",
    "empty.safetensors": b"",
    "text.pth": b"hello\nworld\n",
    "text.safetensors": b"hello\nworld\n",
    "header.safetensors": struct.pack("<Q", 2**62) + b"{}",
    "offsets.safetensors": struct.pack("<Q", 61)
    + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,99999999]}}',
    "zip.pth": b"PK\x05\x06" + bytes(18),
}


@pytest.mark.parametrize("name", NO_WEIGHTS)
def test_files_that_are_not_weights_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(NO_WEIGHTS[name])
    refused_weights(tmp_path / name, 2, (".safetensors file",))


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.pth", Path("/dev/zero"), Path("/proc")):
        with pytest.raises(UnitscopeError, match=str(path)) as error:
            take_weights(
                NetworkSpecification(name="zfnet", classes=2, image_size=64, fc=16), path, Store(tmp_path)
            )
        assert exit_code(error.value) == 4


def test_weights_with_other_shapes_are_refused(tmp_path: Path, tensors: Any) -> None:
    file = saved(tmp_path / "x.pth", tensors)
    refused_weights(file, 2, ("zfnet", "classifier.1.weight is [16, 9216], not [32, 9216]", "--fc"), fc=32)
    refused_weights(file, 2, ("classifier.6.weight is [20, 16], not [7, 16]", "--classes"), classes=7)
    saved(file, {name: tensor for name, tensor in tensors.items() if "classifier" not in name})
    refused_weights(file, 2, ("6 tensors are missing", "classifier.1.weight"))
    saved(file, {**tensors, "more": torch.zeros(1)})
    refused_weights(file, 2, ("1 tensor is unexpected", "more"))


def test_weights_that_do_not_fit_are_refused_through_the_command_line(home: Home, weights: Path) -> None:
    asked = ("submit", "--dataset", "shapes", "--layer", "5", "--weights", weights, "--size", "64", "--fc", "32")
    home.refused(*asked, code=2, says=(str(weights), "zfnet", "[32, 9216]", "--fc"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, tensors: Any, value: float) -> None:
    broken = tensors["features.10.bias"].clone()
    broken[3] = value
    file = saved(tmp_path / "x.pth", {**tensors, "features.10.bias": broken})
    assert "finite" in refused_weights(file, 2, ("features.10.bias", str(value)))


def test_weights_that_overflow_single_precision_are_refused(tmp_path: Path, tensors: Any) -> None:
    large = {**tensors, "features.0.bias": torch.full((64,), 1e300, dtype=torch.float64)}
    refused_weights(saved(tmp_path / "x.pth", large), 2, ("features.0.bias",))


ODD_TENSORS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sparse": torch.Tensor.to_sparse,
    "without data": lambda tensor: tensor.to("meta"),
    "quantized": lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8),
    "empty": lambda tensor: tensor[:0],
    "complex": lambda tensor: tensor.to(torch.complex64),
    "nested": lambda tensor: torch.nested.nested_tensor([tensor[:1], tensor[1:]]),
}


@pytest.mark.parametrize("kind", ODD_TENSORS)
def test_weights_with_unsupported_tensors_are_refused(tmp_path: Path, tensors: Any, kind: str) -> None:
    odd = {**tensors, "classifier.6.bias": ODD_TENSORS[kind](tensors["classifier.6.bias"])}
    refused_weights(saved(tmp_path / "x.pth", odd), 2, ("classifier.6.bias",))


def test_weights_that_expand_when_read_are_refused(tmp_path: Path, tensors: Any) -> None:
    """torch.save doesn't compress, but torch.load decompresses: 10 MB may become 10 GB."""
    plain, packed = saved(tmp_path / "plain.pth", tensors), tmp_path / "packed.pth"
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    refused_weights(packed, 2, (".safetensors file",))


@pytest.mark.parametrize("wrapped", ["", "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_usual_ways_to_save_weights_give_the_same_artifact(
    tmp_path: Path, tensors: Any, weights: Path, wrapped: str, prefix: str
) -> None:
    content: Any = {prefix + name: tensor for name, tensor in tensors.items()}
    if wrapped:
        content = {"epoch": 3, wrapped: content}
    specification = NetworkSpecification(name="zfnet", classes=20, image_size=64, fc=16)
    taken = take_weights(specification, saved(tmp_path / "x.pth", content), Store(tmp_path / "store"))
    assert taken == take_weights(specification, weights, Store(tmp_path / "store"))


# --- tensors that share memory, and other types ---


def taken(path: Path) -> dict[str, torch.Tensor]:
    """Store a weights file and return the stored tensors."""
    specification = NetworkSpecification(name="zfnet", classes=20, image_size=64, fc=16)
    store = Store(path.parent / "store")
    return safetensors.torch.load_file(store.locate(take_weights(specification, path, store)["path"]))


SHARED: dict[str, Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]] = {
    "one tensor by two names": lambda t: {**t, "classifier.4.bias": t["classifier.1.bias"]},
    "pieces of one storage": lambda t: {
        name: piece.view(t[name].shape)
        for name, piece in zip(
            t, torch.cat([x.flatten() for x in t.values()]).split([x.numel() for x in t.values()]), strict=True
        )
    },
    "one number for all": lambda t: {name: torch.ones(1).expand(tensor.shape) for name, tensor in t.items()},
    "overlapping": lambda t: {
        name: torch.ones(max(x.numel() for x in t.values()))[: x.numel()].view(x.shape) for name, x in t.items()
    },
    "transposed": lambda t: {**t, "classifier.4.weight": t["classifier.4.weight"].t().contiguous().t()},
}


@pytest.mark.parametrize("how", SHARED)
def test_tensors_that_share_memory_are_stored_separately(tmp_path: Path, tensors: Any, how: str) -> None:
    given = SHARED[how](dict(tensors))
    stored = taken(saved(tmp_path / "x.pth", given))
    assert stored.keys() == given.keys()
    assert all(torch.equal(tensor, given[name]) for name, tensor in stored.items())


NUMBERS = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.float8_e4m3fn]


@pytest.mark.parametrize("kind", NUMBERS, ids=str)
def test_tensors_of_any_numeric_type_are_accepted(tmp_path: Path, tensors: Any, kind: torch.dtype) -> None:
    given = {name: tensor.to(kind) for name, tensor in tensors.items()}
    assert {tensor.dtype for tensor in taken(saved(tmp_path / "x.pth", given)).values()} == {kind}


@pytest.mark.parametrize("kind", [torch.bits8, torch.float4_e2m1fn_x2], ids=str)
def test_tensors_of_types_without_numbers_are_refused(tmp_path: Path, tensors: Any, kind: torch.dtype) -> None:
    odd = {**tensors, "classifier.6.bias": torch.empty(20, dtype=kind)}
    refused_weights(saved(tmp_path / "x.pth", odd), 2, ("classifier.6.bias", str(kind)))


def test_weights_with_entries_that_are_not_tensors_are_refused(tmp_path: Path, tensors: Any) -> None:
    refused_weights(saved(tmp_path / "x.pth", {**tensors, "epoch": 3}), 2, ("no dictionary of tensors",))
    twice = {**tensors, "module.classifier.6.bias": tensors["classifier.6.bias"]}
    refused_weights(saved(tmp_path / "x.pth", twice), 2, ("with and without the prefix",))


def test_names_of_tensors_are_truncated_in_messages(tmp_path: Path, tensors: Any) -> None:
    file = saved(tmp_path / "x.pth", {**tensors, "x" * 1_000_000: torch.zeros(1)})
    assert len(refused_weights(file, 2, ("1 tensor is unexpected",))) < 1000


def test_weights_of_several_gigabytes_are_not_read(tmp_path: Path) -> None:
    for name in ("x.safetensors", "x.pth"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(LARGEST_FILE + 1)
        refused_weights(tmp_path / name, 2, ("bytes exceed the limit",))


def test_a_pipe_instead_of_weights_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "zero.safetensors").symlink_to("/dev/zero")
    for name in ("pipe.pth", "zero.safetensors"):
        refused_weights(tmp_path / name, 4, ("does not exist",))


@pytest.fixture(scope="module")
def small() -> dict[str, bytes]:
    """Small weights files by suffix."""
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4)}
    new, old = io.BytesIO(), io.BytesIO()
    torch.save(tensors, new)
    torch.save(tensors, old, _use_new_zipfile_serialization=False)
    return {"new.pth": new.getvalue(), "old.pth": old.getvalue(), "x.safetensors": safetensors.torch.save(tensors)}


def read_or_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        tensors = read_weights(path)
    except WeightsNotReadable:
        return
    assert all(isinstance(name, str) and isinstance(tensor, torch.Tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize("name", ["new.pth", "old.pth", "x.safetensors"])
def test_weights_truncated_at_any_percentage_are_refused(
    small: dict[str, bytes], name: str, tmp_path: Path
) -> None:
    for percent in range(100):
        (tmp_path / name).write_bytes(small[name][: len(small[name]) * percent // 100])
        with pytest.raises(WeightsNotReadable):
            read_weights(tmp_path / name)


@examples(200)
@given(
    name=st.sampled_from(["new.pth", "old.pth", "x.safetensors"]),
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=5),
)
def test_random_changes_of_a_weights_file_do_not_crash(
    small: dict[str, bytes], name: str, changes: list[tuple[float, int]], tmp_path: Path
) -> None:
    content = bytearray(small[name])
    for place, value in changes:
        content[int(place * len(content))] = value
    read_or_refused(tmp_path / name, bytes(content))


# --- files that need more memory or time than their size tells ---


class Call:
    """An object whose pickle calls an allowed function."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call[0], self.call[1:]


def packed(path: Path, pickled: bytes, records: Sequence[tuple[str, bytes]] = ()) -> Path:
    """Write a file of ``torch.save`` with this pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (("data.pkl", pickled), ("byteorder", b"little"), ("version", b"3\n"), *records):
            archive.writestr(f"x/{name}", content)
    return path


def overlapping(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    """Write an archive whose directory has a record of 8 MB as a hundred files."""
    packed(path, pickle.dumps({}), [("data/0", bytes(8 * 2**20))])
    with zipfile.ZipFile(path, "a") as archive:
        first = archive.getinfo("x/data/0")
        for number in range(1, 100):
            other = copy.copy(first)
            other.filename = f"x/data/{number}"
            archive.filelist.append(other)
        archive._didModify = True
    return path


def repeated(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    saved(path, tensors)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(next(name for name in archive.namelist() if name.endswith("data.pkl")), b"N.")
    return path


def many_empty_tensors(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    one = '"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    header = ("{" + ",".join(one % number for number in range(100_000)) + "}").encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    return path


def expanded_head(classes: int) -> dict[str, torch.Tensor]:
    return {
        "classifier.6.weight": torch.ones(1).expand(classes, 16),
        "classifier.6.bias": torch.ones(1).expand(classes),
    }


HUGE = 3_000_000_000
TOO_MUCH = "it needs more memory"
# How a file is written, and what the error says; "" if it is stored, without what is not used.
BOMBS: dict[str, tuple[Callable[[Path, dict[str, torch.Tensor]], Path], str]] = {
    "bytearray": (lambda path, t: saved(path, {**t, "x": Call(bytearray, HUGE)}), TOO_MUCH),
    "storage": (lambda path, t: saved(path, {**t, "x": Call(torch.UntypedStorage, HUGE)}), TOO_MUCH),
    "tensor": (lambda path, t: saved(path, {**t, "x": Call(torch.FloatTensor, HUGE)}), TOO_MUCH),
    "overlapping records": (overlapping, "files overlap"),
    "a record twice": (repeated, "a file twice"),
    "many empty tensors": (many_empty_tensors, "tensors are missing"),
    "an expanded tensor": (lambda path, t: saved(path, {**t, "more": torch.ones(1).expand(HUGE)}), "unexpected"),
    "an expanded head": (lambda path, t: saved(path, {**t, **expanded_head(HUGE // 64)}), ""),
    "an expanded head for other classes": (lambda path, t: saved(path, {**t, **expanded_head(7)}), ""),
}

TAKEN = """
import json, os, resource, sys
from pathlib import Path
from shared.store.store import Store
from unitscope.description import NetworkSpecification
from unitscope.errors import UnitscopeError
from worker.programs.describe import take_weights

specification = NetworkSpecification(name="zfnet", classes=20, image_size=64, fc=16)
for name in json.loads(sys.argv[1]):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            take_weights(specification, Path(name), Store(Path(f"{name}.store")), pretrained=True)
            error = ""
        except UnitscopeError as refused:
            error = f"{type(refused).__name__}: {refused}"
        more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start
        os.write(writing, json.dumps([error, more // 1024]).encode())
        os._exit(0)
    os.close(writing)
    print(os.fdopen(reading).read() or json.dumps(["killed", 0]))
    os.waitpid(child, 0)
"""


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory, tensors: Any) -> dict[str, tuple[str, int, int]]:
    """Errors, MB of memory that reading took, and bytes that were stored, by name of the bomb."""
    folder = tmp_path_factory.mktemp("bombs")
    suffixes = {"many empty tensors": ".safetensors"}
    files = {
        name: write(folder / f"{number}{suffixes.get(name, '.pth')}", dict(tensors))
        for number, (name, (write, _)) in enumerate(BOMBS.items())
    }
    command = [sys.executable, "-c", TAKEN, json.dumps(list(map(str, files.values())))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    results = [json.loads(line) for line in done.stdout.splitlines()]
    stored = [
        sum(file.stat().st_size for file in Path(f"{path}.store").rglob("*.safetensors"))
        for path in files.values()
    ]
    return {name: (*result, size) for name, result, size in zip(files, results, stored, strict=True)}


@pytest.mark.parametrize("name", BOMBS)
def test_memory_and_stored_bytes_are_bounded_by_the_sizes_of_file_and_network(
    bombs: dict[str, tuple[str, int, int]], tensors: Any, name: str
) -> None:
    error, megabytes, stored = bombs[name]
    used = sum(tensor.nbytes for key, tensor in tensors.items() if not key.startswith("classifier.6"))
    assert BOMBS[name][1] in error
    assert bool(error) == bool(BOMBS[name][1]), error
    assert megabytes < 300
    assert stored == 0 if error else used <= stored < used + 10_000


def test_a_head_that_is_used_must_have_the_shape_of_the_network(tmp_path: Path, tensors: Any) -> None:
    file = saved(tmp_path / "x.pth", {**tensors, **expanded_head(HUGE)})
    refused_weights(file, 2, (f"for {HUGE} classes, not 20",))


# A tuple of two times the same tuple, and so on, as a key: its hash takes 2**64 steps.
SLOW = b"\x80\x02})q\x00" + b"h\x00\x86q\x00" * 64 + b"K\x01s."
ENDED = {
    "time": ("import worker.programs.limits as limits; limits.BASE_SECONDS = 1", "ended by SIGXCPU"),
    "a signal": ("import os, torch; torch.load = lambda *a, **k: os.abort()", "ended by SIGABRT"),
}


@pytest.mark.parametrize("how", ENDED)
def test_the_end_of_the_program_that_reads_is_an_error_of_the_file(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    change, says = ENDED[how]
    file, program = packed(tmp_path / "x.pth", SLOW), tmp_path / "sitecustomize.py"
    program.write_text(f"import sys\nif 'worker.programs.describe' in sys.orig_argv:\n    {change}\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    monkeypatch.setitem(home.environment, "PYTHONPATH", path)
    home.refused(
        *("submit", "--dataset", "shapes", "--layer", "5", *NETWORK, "--weights", file),
        code=2,
        says=(str(file), says, ".safetensors file"),
    )


def test_limits_end_with_the_reading(tmp_path: Path) -> None:
    kinds = (resource.RLIMIT_AS, resource.RLIMIT_CPU)
    before = [resource.getrlimit(kind) for kind in kinds]
    refused_weights(saved(tmp_path / "x.pth", Call(bytearray, HUGE)), 2, (TOO_MUCH,))
    assert [resource.getrlimit(kind) for kind in kinds] == before


def test_weights_of_an_imported_job_are_read_as_safetensors_only(tmp_path: Path, tensors: Any) -> None:
    """The store's files of an imported job are its author's, and workers read them without a limit of memory."""
    network = NetworkSpecification(name="zfnet", classes=20, image_size=64, fc=16)
    database, store = new_home(tmp_path)
    context = JobContext(1, parse("top9", VALID["top9"]), database, store, "cpu")
    pickled = store.put(saved(tmp_path / "x.pth", dict(tensors)).read_bytes(), ".safetensors")
    with pytest.raises(WeightsNotReadable):
        load_network(context, network, pickled.path)
    written = store.put(safetensors.torch.save(dict(tensors)), ".safetensors")
    assert load_network(context, network, written.path)
    database.close()
