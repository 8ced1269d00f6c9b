"""``python -m worker.programs.measure``: measure some batches of a job's stages on this machine.

The producer, which does not import torch, starts it for `analyze submit --dry-run`. The request, a kind and a
specification, is read as JSON from stdin, the settings from the environment. Nothing is written to the database.
"""

from __future__ import annotations

import json
import os
import sys

import torch

from shared.database.schema import open_database
from shared.kinds.registry import parse
from shared.settings import load_settings
from shared.store.store import Store
from worker.arithmetic import configure_determinism
from worker.context import JobContext
from worker.kinds import measure_function
from worker.programs.output import print_answer


def main() -> None:
    """Measure the job of the request on stdin."""
    os.umask(0o077)
    request = json.loads(sys.stdin.read())
    settings = load_settings({})
    configure_determinism(settings.threads)
    device = os.environ.get("ANALYZE_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")

    def work() -> dict[str, object]:
        measure = measure_function(request["kind"])
        if measure is None:
            return {"measured": None}
        database = open_database(settings.resolved_database_url)
        database.discards_changes = True
        specification = parse(request["kind"], request["specification"])
        context = JobContext(0, specification, database, Store(settings.resolved_store), device)
        return {"measured": {"device": device, **vars(measure(context))}}

    print_answer(work)


if __name__ == "__main__":
    main()
