"""An upgrade of the database that stops in the middle, in a process forked from the server of ``tests.commands``.

It imports nothing that this server has not imported.
"""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection

from sqlalchemy import Engine, event

from producer.cli.main import main


def upgrade_and_stop(environment: dict[str, str], begins: str, connection: Connection) -> None:
    """Upgrade, and sleep after the statement that starts with ``begins``, in the middle of the transaction."""
    os.environ.clear()
    os.environ.update(environment)

    @event.listens_for(Engine, "after_cursor_execute")
    def stop(connected: object, cursor: object, statement: str, *rest: object) -> None:
        if statement.strip().startswith(begins):
            connection.send("in the middle")
            time.sleep(3600)

    main(["db", "upgrade"])
