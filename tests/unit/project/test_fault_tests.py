"""The fault tests cover the kinds of job of the program."""

from __future__ import annotations

from shared.kinds.registry import kinds
from tests.faults.harness import KINDS


def test_every_kind_takes_part_in_the_fault_tests() -> None:
    assert set(KINDS) == set(kinds())
