"""Untrusted CIFAR pickles: no code in them runs, and none causes a crash."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from producer.datasets.cifar.files import read_files
from producer.datasets.cifar.pickles import PickledArray, RefusedPickle, load_pickle
from shared.errors import NotADataset
from tests.integration.datasets.cifar import NAMES, dumped, entry_of, write_pickled

PIXELS = np.arange(2 * 3072, dtype=np.uint32).astype(np.uint8).reshape(2, 3072)


class Call:
    """An object that calls a function when it is unpickled."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


def spoilt(**changes: object) -> dict[str, Any]:
    return {**entry_of("cifar10", PIXELS, [3, 4]), **changes}


def without(key: str) -> dict[str, Any]:
    entry = spoilt()
    del entry[key]
    return entry


def nested(depth: int) -> bytes:
    return pickle.PROTO + b"\x02" + pickle.EMPTY_LIST * depth + pickle.APPEND * (depth - 1) + pickle.STOP


def renamed(old: bytes, new: bytes) -> bytes:
    content = dumped(spoilt())
    assert content.count(old) == 1
    return content.replace(old, new)


# --- No code runs --------------------------------------------------------------------------------

CALLS: dict[str, tuple[Callable[..., Any], tuple[object, ...]]] = {
    "system": (os.system, ("touch run",)),
    "check_output": (subprocess.check_output, (["touch", "run"],)),
    "eval": (eval, ("open('run', 'w')",)),
    "exec": (exec, ("open('run', 'w')",)),
    "open": (open, ("run", "w")),
    "getattr": (getattr, (1, "real")),
    "load": (np.load, ("run",)),
    "fromfile": (np.fromfile, ("run",)),
    "memmap": (np.memmap, ("run", "uint8", "w+", 0, (5,))),
    "scalar": np.uint8(3).__reduce__(),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", CALLS)
def test_call_is_refused_with_the_name_of_its_function(
    name: str, protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, arguments = CALLS[name]
    monkeypatch.chdir(tmp_path)
    folder = write_pickled(tmp_path / "data")
    for file in ("data_batch_4", "batches.meta"):
        (folder / file).write_bytes(dumped(spoilt(more=Call(function, *arguments)), protocol))
        with pytest.raises(NotADataset, match=rf"{file}: it uses '[a-z_.]+\.{name}'"):
            read_files(folder, "cifar10")
    assert not (tmp_path / "run").exists()


def test_only_latin_1_is_allowed_as_encoding(tmp_path: Path) -> None:
    import codecs

    for arguments in (("x" * 100, "zlib"), ("x", "rot13"), (b"x", "latin1"), ("x",)):
        content = pickle.dumps({"data": Call(codecs.encode, *arguments)}, 2)
        with pytest.raises(RefusedPickle):
            load_pickle(content)


def test_control_characters_are_escaped_in_the_error() -> None:
    with pytest.raises(RefusedPickle, match="it uses") as caught:
        load_pickle(b"cos\x1b[2J\nsystem\n.")
    assert "\x1b" not in str(caught.value)


def test_a_pickle_cannot_modify_the_replacement_functions() -> None:
    """The opcode BUILD sets attributes of any object on the stack, including functions."""
    for target in (b"cnumpy\ndtype\n", b"c_codecs\nencode\n", b"cnumpy.core.multiarray\n_reconstruct\n"):
        for state in ((None, {"__defaults__": (1, 2, 3)}), (None, {"__code__": 1}), {"x": 1}):
            with suppress(RefusedPickle):
                load_pickle(target + pickle.dumps(state, 0)[:-1] + b"b.")
    array = load_pickle(dumped(spoilt()))[b"data"]
    assert np.array_equal(array.values, PIXELS)


# --- Only the content of CIFAR is accepted -------------------------------------------------------

BROKEN: dict[str, tuple[object, str]] = {
    "a list": ([1, 2], "not a dictionary"),
    "no data": (without("data"), "no array data"),
    "no labels": (without("labels"), "no list labels"),
    "data is text": (spoilt(data="x" * 6144), "no array data"),
    "data is a list": (spoilt(data=[[1] * 3072] * 2), "no array data"),
    "floating point": (spoilt(data=PIXELS.astype(np.float32)), "type is not uint8"),
    "signed": (spoilt(data=PIXELS.astype(np.int8)), "type is not uint8"),
    "objects": (spoilt(data=np.array([[print]], object)), "type is not uint8|it uses"),
    "records": (spoilt(data=np.zeros(2, "u1,u1")), "type is not uint8"),
    "flat": (spoilt(data=PIXELS.reshape(-1)), r"shape \(6144,\)"),
    "too narrow": (spoilt(data=PIXELS[:, :-1]), r"shape \(2, 3071\)"),
    "too deep": (spoilt(data=PIXELS.reshape(2, 3, 1024)), r"shape \(2, 3, 1024\)"),
    "no images": (spoilt(data=PIXELS[:0], labels=[]), r"shape \(0, 3072\)"),
    "a scalar": (spoilt(data=np.array(5, np.uint8)), r"shape \(\)"),
    "too few labels": (spoilt(labels=[1]), "labels of 2 images"),
    "too many labels": (spoilt(labels=[1, 2, 3]), "labels of 2 images"),
    "labels are text": (spoilt(labels="12"), "no list labels"),
    "labels are an array": (spoilt(labels=PIXELS[0, :2]), "no list labels"),
    "label too large": (spoilt(labels=[1, 10]), "label of image 1"),
    "label too small": (spoilt(labels=[-1, 1]), "label of image 0"),
    "label huge": (spoilt(labels=[1, 10**5000]), "label of image 1"),
    "label true": (spoilt(labels=[True, 1]), "label of image 0"),
    "label none": (spoilt(labels=[None, 1]), "label of image 0"),
    "label half": (spoilt(labels=[1.0, 1]), "label of image 0"),
}


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("name", BROKEN)
def test_other_content_gives_one_error(name: str, protocol: int, tmp_path: Path) -> None:
    value, reason = BROKEN[name]
    folder = write_pickled(tmp_path)
    (folder / "test_batch").write_bytes(dumped(value, protocol))
    with pytest.raises(NotADataset, match=f"test_batch: .*({reason})"):
        read_files(folder, "cifar10")


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        ({}, "no list label_names"),
        ({"label_names": "ten"}, "no list"),
        ({"label_names": NAMES["cifar10"][:9]}, "9 classes"),
        ({"label_names": [*NAMES["cifar10"][:9], 5]}, "class 9"),
        ({"label_names": [*NAMES["cifar10"][:9], "../.."]}, "class 9"),
        ({"label_names": [*NAMES["cifar10"][:9], "a/b"]}, "class 9"),
        ({"label_names": [*NAMES["cifar10"][:9], ""]}, "class 9"),
        ({"label_names": [*NAMES["cifar10"][:9], "Cat"]}, "twice"),
        ({(("x",),): 1, 5: 2, "label_names": None}, "no list"),
    ],
)
def test_invalid_class_names_give_one_error(meta: dict[Any, Any], reason: str, tmp_path: Path) -> None:
    folder = write_pickled(tmp_path)
    (folder / "batches.meta").write_bytes(dumped(meta))
    with pytest.raises(NotADataset, match=f"batches.meta: .*{reason}"):
        read_files(folder, "cifar10")


DAMAGED: dict[str, bytes] = {
    "no bytes": b"",
    "text": b"this is no pickle",
    "cut off": dumped(spoilt())[:-5000],
    "without its end": dumped(spoilt())[:-1],
    "deeply nested": nested(200_000),
    "other shape": renamed(b"M\x00\x0c", b"M\x01\x0c"),
    "negative shape": renamed(b"K\x02M\x00\x0c", b"J\xfe\xff\xff\xffM\x00\x0c"),
    "other type": renamed(b"U\x02u1", b"U\x02O8"),
    "persistent id": b"Pid\n.",
    "extension": b"\x80\x02\x82\x01.",
    "memory by a number": b"\x80\x02Nr\xff\xff\xff\x7f.",
    "memory by a length": b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f" + b"x.",
    "memory by a frame": b"\x80\x04\x95" + b"\xff" * 7 + b"\x7f" + b"N.",
    "call of an array": b"cnumpy\nndarray\n(I5\ntR.",
    "array without a state": b"}U\x04datacnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntU\x01btRs.",
    "state of no array": b"cnumpy\nndarray\n)\x81(I1\nI2\ntb.",
    "number without end": b"I" + b"9" * 10_000 + b"\n.",
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_pickle_gives_one_error(name: str, tmp_path: Path) -> None:
    folder = write_pickled(tmp_path)
    (folder / "data_batch_1").write_bytes(DAMAGED[name])
    with pytest.raises(NotADataset, match="data_batch_1: ") as caught:
        read_files(folder, "cifar10")
    assert len(str(caught.value)) < 400


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
def test_small_pickle_needs_little_memory(tmp_path: Path) -> None:
    """The child is limited to 2 GiB; without the check, the memo index would make it allocate 32."""
    program = (
        "import resource, sys; from producer.datasets.cifar.pickles import *\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))\n"
        "try: load_pickle(bytes.fromhex(sys.argv[1]))\n"
        "except RefusedPickle as refused: print(refused)\n"
    )
    content = DAMAGED["memory by a number"].hex()
    done = subprocess.run([sys.executable, "-c", program, content], capture_output=True, text=True, check=True)
    assert "a memo index is too high" in done.stdout


def test_array_in_fortran_order_is_read() -> None:
    array = load_pickle(dumped({"data": np.asfortranarray(PIXELS)}))[b"data"]
    assert isinstance(array, PickledArray)
    assert np.array_equal(array.values, PIXELS)


GOOD = dumped(spoilt(data=PIXELS[:, :3]))
OPERATIONS = st.sampled_from(sorted({value for value in vars(pickle).values() if type(value) is bytes}))
PIECES = st.one_of(
    OPERATIONS,
    st.binary(max_size=4),
    st.sampled_from([b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"c_codecs\nencode\n", b"U\x02u1", b"K\x01", b"("]),
)


@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.lists(PIECES, max_size=30).map(b"".join),
        st.builds(
            lambda at, cut, new: GOOD[:at] + new + GOOD[at + cut :],
            st.integers(0, len(GOOD)),
            st.integers(0, 8),
            st.lists(PIECES, max_size=3).map(b"".join),
        ),
    )
)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example(content=GOOD)
def test_random_pickles_do_not_crash(content: bytes) -> None:
    with suppress(RefusedPickle):
        load_pickle(content)
