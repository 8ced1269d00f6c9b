"""``python -m worker.programs.recompute``: recompute a sample of a done job's rows from the images.

The producer, which does not import torch, starts it for `analyze verify`. The request is read as JSON from stdin,
the settings from the environment.
"""

from __future__ import annotations

import random

from shared.database.schema import open_database
from shared.jobs.tables import Job
from shared.kinds.registry import parse
from shared.store.store import Store
from worker.context import JobContext
from worker.kinds import check_function
from worker.kinds.checking import Comparison, check_left_out
from worker.programs.output import print_answer
from worker.programs.request import read_request


def main() -> None:
    """Check the job of the request on stdin."""
    request = read_request()

    def work() -> dict[str, object]:
        database = open_database(request.settings.resolved_database_url)
        with database.read() as session:
            job = session.get_one(Job, request.content["job_id"])
        specification = parse(job.kind, job.specification)
        # Without the pixel cache, so that the data set's files are checked, too.
        context = JobContext(
            job.id,
            specification,
            database,
            Store(request.settings.resolved_store),
            request.device,
            user_networks=request.settings.user_networks,
        )
        check = check_function(job.kind)
        chance = random.Random(request.content["seed"])  # noqa: S311
        comparison: Comparison = check(context, chance, request.content["sample"])
        check_left_out(context, chance, request.content["sample"], comparison)
        return vars(comparison)

    print_answer(work)


if __name__ == "__main__":
    main()
