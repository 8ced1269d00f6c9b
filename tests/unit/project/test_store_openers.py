"""Programs that write to the artifact store open it with ``open_store``, which checks whose it is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
READS = {
    "producer/cli/context.py": "for commands that only read",
    "producer/kinds/evolution/request.py": "looks whether the kept weights exist",
    "worker/kinds/top9/one_image.py": "reads weights",
    "worker/kinds/filters/summarize.py": "reads weights; its caller stored them",
    "worker/programs/recompute.py": "computes again, and compares",
    "worker/programs/measure.py": "reads weights for an estimate",
    "worker/kinds/measuring.py": "writes into a temporary folder",
    "worker/programs/describe.py": "its caller, producer.networks.description, opens the store before",
    "shared/store/ownership.py": "open_store itself",
}


def test_only_readers_make_a_store_without_opening_it() -> None:
    sources = [file for folder in ("producer", "shared", "worker") for file in (ROOT / folder).rglob("*.py")]
    made = {file for file in sources if re.search(r"(?<![\w.])Store\(", file.read_text(encoding="utf-8"))}
    assert {str(file.relative_to(ROOT)) for file in made} == set(READS)
