"""Run all queued shards one after the other in one process, without Redis, supervisor and other workers.

python -m tests.faults.undisturbed
"""

from __future__ import annotations

from sqlalchemy import select

from shared.database.schema import open_database
from shared.jobs.tables import Shard, ShardState
from shared.settings import load_settings
from worker.runner import run


def main() -> None:
    settings = load_settings()
    database = open_database(settings.resolved_database_url)
    while True:
        with database.read() as session:
            due = select(Shard.id).where(Shard.state == ShardState.QUEUED).order_by(Shard.id).limit(1)
            shard_id = session.scalar(due)
        if shard_id is None:
            return
        run(shard_id, settings)


if __name__ == "__main__":
    main()
