"""Float32 without TF32: both of torch's interfaces can be read within, and say what they said afterwards.

The settings exist without a GPU, too, where nothing is computed by them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from unitscope.arithmetic import ieee_precision

CUDNN: Any = torch.backends.cudnn
MATMUL: Any = torch.backends.cuda.matmul
OPERATIONS = (MATMUL, CUDNN.conv, CUDNN.rnn)
FLAGS: dict[str, Callable[[], object]] = {
    "cudnn.allow_tf32": lambda: CUDNN.allow_tf32,
    "matmul.allow_tf32": lambda: MATMUL.allow_tf32,
    "matmul precision": torch.get_float32_matmul_precision,
    "all": lambda: torch.backends.fp32_precision,  # type: ignore[attr-defined]
    "cudnn": lambda: CUDNN.fp32_precision,
    "matmul": lambda: MATMUL.fp32_precision,
    "conv": lambda: CUDNN.conv.fp32_precision,
    "rnn": lambda: CUDNN.rnn.fp32_precision,
}


def set_older(value: bool) -> None:
    CUDNN.allow_tf32 = MATMUL.allow_tf32 = value


def set_newer(value: str) -> None:
    CUDNN.conv.fp32_precision = MATMUL.fp32_precision = value


BEFORE: dict[str, Callable[[], object]] = {
    "as torch begins": lambda: None,
    "TF32, older interface": lambda: set_older(True),
    "none, older interface": lambda: set_older(False),
    "TF32, newer interface": lambda: set_newer("tf32"),
    "none, newer interface": lambda: set_newer("ieee"),
    "TF32 for all": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    "none for all": lambda: setattr(torch.backends, "fp32_precision", "ieee"),
    "high": lambda: torch.set_float32_matmul_precision("high"),
    "medium": lambda: torch.set_float32_matmul_precision("medium"),
}


@pytest.fixture(autouse=True)
def as_torch_begins() -> Iterator[None]:
    def begin() -> None:
        torch.backends.fp32_precision = "none"  # type: ignore[attr-defined]
        torch.set_float32_matmul_precision("highest")
        CUDNN.allow_tf32 = True
        for operation, precision in zip(OPERATIONS, ("none", "tf32", "tf32"), strict=True):
            operation.fp32_precision = precision

    begin()
    yield
    begin()


def said() -> dict[str, object]:
    """What each flag says; the kind of the error, where it can't be read."""
    found = {}
    for name, read in FLAGS.items():
        try:
            found[name] = read()
        except RuntimeError as error:
            found[name] = type(error)
    return found


@pytest.mark.parametrize("name", BEFORE)
def test_both_interfaces_can_be_read_and_are_set_back(name: str) -> None:
    BEFORE[name]()
    before = said()
    with ieee_precision():
        assert not CUDNN.allow_tf32
        assert not MATMUL.allow_tf32
        assert torch.get_float32_matmul_precision() == "highest"
        assert [operation.fp32_precision for operation in OPERATIONS] == ["ieee"] * 3
        with CUDNN.flags(enabled=True, allow_tf32=False):  # as a network's forward pass may
            assert not CUDNN.allow_tf32
        assert not CUDNN.allow_tf32
    assert said() == before


def test_an_error_within_sets_them_back() -> None:
    set_older(True)
    before = said()
    with pytest.raises(ZeroDivisionError), ieee_precision():
        raise ZeroDivisionError
    assert said() == before
