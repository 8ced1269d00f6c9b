"""``python -m worker.programs.recompute``: a sample of a done job's rows, computed again from the images.

A program of its own, since the producer imports no torch: the question comes as JSON, and settings by environment.
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
from worker.arithmetic import settle_arithmetic
from worker.context import JobContext
from worker.kinds import check_function
from worker.programs.answering import print_answer


def main() -> None:
    """Check the job whose number comes as JSON."""
    os.umask(0o077)
    told = json.loads(sys.stdin.read())
    settings = load_settings({})
    settle_arithmetic(settings.threads)
    device = os.environ.get("ANALYZE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")

    def answer() -> dict[str, object]:
        database = open_database(settings.resolved_database_url)
        with database.read() as session:
            job = session.get_one(Job, told["job_id"])
        specification = parse(job.kind, job.specification)
        # Without the pixel cache: the data set's files are to be what they were, too.
        context = JobContext(job.id, specification, database, Store(settings.resolved_store), device)
        check = check_function(job.kind)
        found: dict[str, object] = vars(check(context, random.Random(told["seed"]), told["sample"]))  # noqa: S311
        return found

    print_answer(answer)


if __name__ == "__main__":
    main()
