"""``python -m worker.programs.recompute``: recompute a sample of a done job's rows from the images.

The producer, which does not import torch, starts it for `analyze verify`. The request is read as JSON from stdin,
the settings from the environment.
"""

from __future__ import annotations

import json
import os
import random
import sys

import torch

from shared.database.schema import open_database
from shared.jobs.tables import Job
from shared.kinds.registry import parse
from shared.settings import load_settings
from shared.store.store import Store
from worker.arithmetic import configure_determinism
from worker.context import JobContext
from worker.kinds import check_function
from worker.kinds.checking import Comparison, check_left_out
from worker.programs.output import print_answer


def main() -> None:
    """Check the job of the request on stdin."""
    os.umask(0o077)
    request = json.loads(sys.stdin.read())
    settings = load_settings({})
    configure_determinism(settings.threads)
    device = os.environ.get("ANALYZE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")

    def work() -> dict[str, object]:
        database = open_database(settings.resolved_database_url)
        with database.read() as session:
            job = session.get_one(Job, request["job_id"])
        specification = parse(job.kind, job.specification)
        # Without the pixel cache, so that the data set's files are checked, too.
        context = JobContext(job.id, specification, database, Store(settings.resolved_store), device)
        check = check_function(job.kind)
        chance = random.Random(request["seed"])  # noqa: S311
        comparison: Comparison = check(context, chance, request["sample"])
        check_left_out(context, chance, request["sample"], comparison)
        return vars(comparison)

    print_answer(work)


if __name__ == "__main__":
    main()
