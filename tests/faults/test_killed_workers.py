"""Workers killed with SIGKILL at every state of a shard: the child that computes, its parent, or both."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from shared.jobs.tables import ShardState
from tests.faults.conftest import Catalogue
from tests.faults.harness import KINDS, Case, stages_reaching

CATALOGUE = Catalogue()


def test_no_rows_are_lost_or_duplicated(case: Callable[[], None]) -> None:
    case()


def kill(case: Case, victim: str, state: str) -> None:
    injection = case.inject(state, f"kill {victim}", stage=case.stage(state), skip=case.passes_before_fault(state))
    case.submit()
    killed = injection.reached()
    # An orphan may finish its shard, or exit immediately; committed results count as done.
    case.extra = (0, 0) if state == "committed" else (0, 1) if victim == "parent" else (1, 1)
    case.wait()
    case.wait_until(lambda: not case.home.is_ours(killed["pid"]))  # orphans exit, too


for victim in ("child", "parent", "both"):
    for state in ("claimed", "computing", "written", "committing"):
        CATALOGUE.add(f"{victim} killed when {state}", partial(kill, victim=victim, state=state))
CATALOGUE.add("child killed when committed", partial(kill, victim="child", state="committed"))
CATALOGUE.add(
    "child killed when recording",
    partial(kill, victim="child", state="recording"),
    kinds=tuple(kind for kind in KINDS if stages_reaching("recording", kind)),
)


def kill_always(case: Case) -> None:
    """A shard that kills its worker in every attempt fails and keeps its error, and can be retried."""
    stage = case.stage_of_one_shard("claimed")
    injections = [case.inject("claimed", "kill child", stage=stage) for _ in range(3)]
    job = case.submit(shards=1)
    for injection in injections:
        injection.reached()
    case.wait()
    failed = [shard for shard in case.home.shards(job) if shard.state == ShardState.FAILED]
    assert [shard.attempt for shard in failed] == [3]
    error = case.home.job(job).error or ""
    # On a starved machine, the lease can expire before the supervisor records the cause.
    assert "was killed by SIGKILL" in error or (case.home.starved() and "stopped responding" in error)
    assert error.endswith("in attempt 3 of 3.")
    case.home("retry", job)


CATALOGUE.add("killed thrice", kill_always)
