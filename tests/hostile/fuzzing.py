"""Number of examples of the fuzz tests: a few fixed ones by default, or random ones for a given time (``make
fuzz``)."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

FUZZ_SECONDS = float(os.environ.get("FUZZ_SECONDS") or 0)
FUZZ_EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES") or 0)
Test = Callable[..., None]


def examples(count: int) -> Callable[[Test], Test]:
    """Apply Hypothesis settings. In a long run, repeat the test until its time is up and report the number of
    examples."""

    def decorate(test: Test) -> Test:
        tried = [0]
        inner = test.hypothesis.inner_test  # type: ignore[attr-defined]

        @functools.wraps(inner)
        def counted(*arguments: Any, **named: Any) -> None:
            tried[0] += 1
            inner(*arguments, **named)

        test.hypothesis.inner_test = counted  # type: ignore[attr-defined]
        long = bool(FUZZ_SECONDS or FUZZ_EXAMPLES)
        run = settings(
            max_examples=FUZZ_EXAMPLES or (1000 if long else count),
            derandomize=not long,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )(test)
        if not long:
            return pytest.mark.fuzz(run)  # type: ignore[no-any-return]

        @functools.wraps(run)
        def repeated(*arguments: Any, **named: Any) -> None:
            began = time.monotonic()
            try:
                run(*arguments, **named)
                while time.monotonic() - began < FUZZ_SECONDS:
                    run(*arguments, **named)
            finally:
                seconds = time.monotonic() - began
                with open(os.environ["FUZZ_REPORT"], "a") as report:
                    report.write(f"{test.__module__}.{test.__name__}: {tried[0]} examples in {seconds:.0f} s\n")

        return pytest.mark.fuzz(repeated)  # type: ignore[no-any-return]

    return decorate
