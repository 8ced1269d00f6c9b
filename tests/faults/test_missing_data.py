"""A mount that comes and goes: one of two machines can't read the images, or reads other content, for a while."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlalchemy import select

from shared.jobs.left_out import recorded_number
from shared.jobs.tables import JobState, Worker
from shared.kinds.registry import kinds
from tests.faults.conftest import Catalogue
from tests.faults.harness import Case

CATALOGUE = Catalogue()
HOSTS = ("machine-1", "machine-2")
ENVIRONMENT = {"ANALYZE_CACHE_GB": "0"}  # cached images are not read
READING = {  # the stages that read images; the kind ``filters`` has none
    "train": ("train",),
    "top9": ("search", "project"),
    "occlusion": ("sweep", "draw"),
    "features": ("extract",),
    "evolution": ("search", "project"),
    "invariance": ("measure", "draw"),
    "correspondence": ("mask",),
    "probe": ("features",),
}


def test_no_image_is_left_out(case: Callable[[], None]) -> None:
    case()


def problems(case: Case) -> dict[str, str]:
    """Return the problems of the workers by their names."""
    with case.home.database.read() as session:
        found = session.execute(select(Worker.name, Worker.problem).where(Worker.problem.is_not(None)))
        return dict(found.all())


def mount_away(case: Case) -> None:
    """The other machine runs the shards. After the mount is back, both do."""
    lost = case.inject("claimed", "unmount", stage=case.draw.choice(READING[case.kind]))
    job = case.submit()
    lost.reached()
    case.wait_until(lambda: bool(problems(case)))
    ((worker, problem),) = problems(case).items()
    host = worker.rpartition("-cpu-")[0]
    assert host in HOSTS
    assert problem.startswith("It can't read the images of data set 'shapes' at ")
    assert re.search(rf"Image .* can't be read on {host}: No such file", case.home("logs", job).stdout)
    if case.draw.random() < 0.5:  # else while the job runs
        case.wait()
    lost.release()
    case.wait_until(lambda: not problems(case))
    case.submit()


def other_content(case: Case) -> None:
    """One machine reads other content instead of images, which are left out, or fail the job in a later stage.
    After the images are back, a retry makes the result right."""
    replaced = case.inject("claimed", "replace images", stage=case.draw.choice(READING[case.kind]))
    job = case.submit()
    replaced.reached()
    case.wait()
    row = case.home.job(job)
    assert row.state == JobState.FAILED or recorded_number(row) > 0, case.events()
    replaced.release()
    case.most_ends = 2
    case.home("retry", job)


REPEATABLE = tuple(kind for kind in READING if kinds()[kind].repeatable)  # a retry runs done shards again
CATALOGUE.add("images replaced", other_content, kinds=REPEATABLE)
CATALOGUE.add("mount away", mount_away, kinds=tuple(READING))
