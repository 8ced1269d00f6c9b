"""Float32 without TF32: within the context, both of torch's interfaces can be read; afterwards, they are restored.

The settings also exist on machines without a GPU, where they have no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from unitscope.arithmetic import ieee_precision, tf32_precision

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
    """Return the value of each flag, or the type of the error if it can't be read."""
    found = {}
    for name, read in FLAGS.items():
        try:
            found[name] = read()
        except RuntimeError as error:
            found[name] = type(error)
    return found


@pytest.mark.parametrize("name", BEFORE)
def test_both_interfaces_can_be_read_and_are_restored(name: str) -> None:
    BEFORE[name]()
    before = said()
    with ieee_precision():
        assert not CUDNN.allow_tf32
        assert not MATMUL.allow_tf32
        assert torch.get_float32_matmul_precision() == "highest"
        assert [operation.fp32_precision for operation in OPERATIONS] == ["ieee"] * 3
        with CUDNN.flags(enabled=True, allow_tf32=False):  # as a network's forward pass could do
            assert not CUDNN.allow_tf32
        assert not CUDNN.allow_tf32
    assert said() == before


@pytest.mark.parametrize("name", BEFORE)
def test_tf32_is_used_in_its_context_only_also_inside_of_exact_arithmetic(name: str) -> None:
    BEFORE[name]()
    before = said()
    with ieee_precision():
        exact = said()
        with tf32_precision():
            assert CUDNN.allow_tf32
            assert MATMUL.allow_tf32
            assert [operation.fp32_precision for operation in OPERATIONS] == ["tf32"] * 3
        assert said() == exact
    assert said() == before


def test_settings_are_restored_after_an_error() -> None:
    set_older(True)
    before = said()
    with pytest.raises(ZeroDivisionError), ieee_precision():
        raise ZeroDivisionError
    assert said() == before
