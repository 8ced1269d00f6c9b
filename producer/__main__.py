"""Entry point of ``python -m producer``, the same as ``analyze``."""

import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# `python -m` puts the current folder first in the path. A file there that is named like a module, such as
# `json.py` in a downloaded data set, would be imported.
try:
    current = os.getcwd()
except FileNotFoundError:  # it was removed
    current = ""
if not sys.flags.safe_path and sys.path[0] in ("", current) and current != os.path.realpath(ROOT):
    del sys.path[0]

from producer.cli.main import main  # noqa: E402

main()
