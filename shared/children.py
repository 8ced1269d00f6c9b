"""Environment of the Python programs that we start.

``python -m`` and ``python -c`` import from the current folder first, and so does an empty or relative entry of
``PYTHONPATH``. In a downloaded data set, a file that is named like a module, such as ``torch.py``, would be run.
"""

from __future__ import annotations

import os
import site
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[1])  # of our packages


def safe_environment() -> dict[str, str]:
    """Return this process's environment, changed so that a Python program imports nothing from the current folder.

    Absolute entries of ``PYTHONPATH`` are kept. Our packages are found where this process found them, also in a
    source folder that is not installed.
    """
    entries = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(entry)]
    # A folder of installed packages is searched anyway; first in the path, it would hide the standard library.
    if ROOT not in (*entries, *map(os.path.realpath, (*site.getsitepackages(), site.getusersitepackages()))):
        entries.insert(0, ROOT)
    environment = {**os.environ, "PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(entries)}
    if not entries:
        del environment["PYTHONPATH"]
    return environment
