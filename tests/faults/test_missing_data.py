"""A mount that comes and goes: one of two machines can't read the images for a while."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlalchemy import select

from shared.jobs.tables import Worker
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


CATALOGUE.add("mount away", mount_away, kinds=tuple(READING))
