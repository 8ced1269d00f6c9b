"""``python -m worker.recompute``: a sample of a done job's rows, computed again from the images.

A program of its own, since the producer imports no torch: the question comes as JSON, and settings by environment.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import sys

import torch

from shared.models import Job
from shared.schema import open_database
from shared.settings import load_settings
from shared.specifications import parse
from shared.store import Store
from worker.answering import print_answer
from worker.arithmetic import settle_arithmetic
from worker.context import JobContext
from worker.kinds import CHECKS


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
        module, function = CHECKS[job.kind].split(":")
        check = getattr(importlib.import_module(module), function)
        return vars(check(context, random.Random(told["seed"]), told["sample"]))  # noqa: S311 - a sample

    print_answer(answer)


if __name__ == "__main__":
    main()
