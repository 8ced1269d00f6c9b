"""Errors of a worker's program reach the producer as text: see ``worker.programs.output``."""

from __future__ import annotations

import inspect
from string import Formatter

import pytest

from shared import errors  # noqa: F401 - defines the classes
from unitscope.errors import UnitscopeError


def classes(of: type[UnitscopeError] = UnitscopeError) -> list[type[UnitscopeError]]:
    return [found for direct in of.__subclasses__() for found in (direct, *classes(direct))]


@pytest.mark.parametrize("error", classes(), ids=lambda error: error.__name__)
def test_every_error_can_be_made_of_texts(error: type[UnitscopeError]) -> None:
    names = {name for _, name, _, _ in Formatter().parse(inspect.getdoc(error) or "") if name}
    message = str(error(**{name: f"<{name}>" for name in names}))
    assert all(f"<{name}>" in message for name in names)
