"""``analyze query`` in a process that is started before its arguments are known.

Starting Python and importing what a query needs takes longer than most queries. So the process does that first,
reads the arguments as JSON from its standard input, and runs the command. It ends when its input ends without
arguments, as it does when the gallery ends.
"""

from __future__ import annotations

import json
import os
import sys

import producer.cli.results.query
import producer.results.query  # noqa: F401 - the command imports it when it runs
from producer.cli.main import main

if __name__ == "__main__":
    if os.environ.get("ANALYZE_DATABASE_URL", "").startswith("postgresql"):
        import psycopg  # noqa: F401
    arguments = sys.stdin.buffer.read()
    if arguments:
        main(["query", *json.loads(arguments)])
