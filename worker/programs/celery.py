"""``python -m worker.programs.celery``: the program ``celery``, which does not import from the current folder.

``celery -A worker.app`` puts the current folder first in the path while it imports the application. Here the
application is imported before.
"""

from __future__ import annotations

import sys

from celery.__main__ import main

import worker.app

__all__ = ["main", "worker"]

if __name__ == "__main__":
    sys.exit(main())
