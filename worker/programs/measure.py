"""``python -m worker.programs.measure``: measure some batches of a job's stages on this machine.

The producer, which does not import torch, starts it for `analyze submit --dry-run`. The request, a kind and a
specification, is read as JSON from stdin, the settings from the environment. Nothing is written to the database.
"""

from __future__ import annotations

from shared.database.schema import open_database
from shared.kinds.registry import parse
from shared.store.store import Store
from worker.context import JobContext
from worker.kinds import measure_function
from worker.programs.output import print_answer
from worker.programs.request import read_request


def main() -> None:
    """Measure the job of the request on stdin."""
    request = read_request()

    def work() -> dict[str, object]:
        measure = measure_function(request.content["kind"])
        if measure is None:
            return {"measured": None}
        database = open_database(request.settings.resolved_database_url)
        database.discards_changes = True
        specification = parse(request.content["kind"], request.content["specification"])
        context = JobContext(
            0,
            specification,
            database,
            Store(request.settings.resolved_store),
            request.device,
            user_networks=request.settings.user_networks,
        )
        return {"measured": {"device": request.device, **vars(measure(context))}}

    print_answer(work)


if __name__ == "__main__":
    main()
