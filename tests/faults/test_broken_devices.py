"""CUDA errors that break the context of a process: the process exits and a new one continues."""

from __future__ import annotations

from collections.abc import Callable

from shared.jobs.tables import ShardState
from tests.faults.conftest import Catalogue
from tests.faults.harness import Case

CATALOGUE = Catalogue()


def test_no_rows_are_lost_or_duplicated(case: Callable[[], None]) -> None:
    case()


def break_context(case: Case) -> None:
    skip = case.passes_before_fault("computing")
    injection = case.inject("computing", "cuda error", stage=case.stage("computing"), skip=skip)
    job = case.submit()
    broken = injection.reached()
    case.extra = (1, 1)
    case.wait()
    case.wait_until(lambda: not case.home.is_ours(broken["pid"]))
    assert "device-side assert" in case.home("logs", job).stdout


def break_contexts(case: Case) -> None:
    """A shard that breaks the context in every attempt fails and keeps its error; the next job is done."""
    stage = case.stage_of_one_shard("computing")
    injections = [case.inject("computing", "cuda error", stage=stage) for _ in range(3)]
    job = case.submit(shards=1)
    processes = {injection.reached()["pid"] for injection in injections}
    assert len(processes) == 3
    case.wait()
    failed = [shard for shard in case.home.shards(job) if shard.state == ShardState.FAILED]
    assert [shard.attempt for shard in failed] == [3]
    assert "device-side assert" in (case.home.job(job).error or "")
    case.home("retry", job)


CATALOGUE.add("CUDA error when computing", break_context)
CATALOGUE.add("CUDA error thrice", break_contexts)
