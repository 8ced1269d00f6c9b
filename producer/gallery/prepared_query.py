"""``analyze query`` in a process that is started before its arguments are known.

Starting Python and importing what a query needs takes longer than most queries. So the process does that first,
reads the arguments as JSON from its standard input, and runs the command. It ends when its input ends without
arguments, as it does when the gallery ends.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

from producer.cli.main import main

# What the command imports when it runs.
MODULES = (
    "producer.cli.console",
    "producer.cli.results.query",
    "producer.results.query",
    "shared.database.schema",
    "sqlalchemy.dialects.sqlite",
)
POSTGRESQL_MODULES = ("psycopg", "sqlalchemy.dialects.postgresql.psycopg")

if __name__ == "__main__":
    is_postgresql = os.environ.get("ANALYZE_DATABASE_URL", "").startswith("postgresql")
    for module in (*MODULES, *(POSTGRESQL_MODULES if is_postgresql else ())):
        importlib.import_module(module)
    arguments = sys.stdin.buffer.read()
    if arguments:
        try:
            main(["query", *json.loads(arguments)])
        except SystemExit as stop:  # which has flushed the streams
            os._exit(stop.code if isinstance(stop.code, int) else 1)  # the answer waits for the process's end
