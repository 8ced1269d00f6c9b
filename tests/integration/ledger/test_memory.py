"""Memory of a worker process between shards, in a separate process with a worker's environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from producer.service.supervisor import MALLOC
from shared.jobs.ledger import Ledger

# The shard keeps 100 blocks of 1 MiB with freed blocks of 1 MiB between them.
PROGRAM = """
import sys, time
from types import SimpleNamespace
import psutil, torch
from shared.settings import load_settings
from worker import runner

left = []

def shard(context):
    left.extend([torch.ones(1 << 18) for _ in range(200)][::2])
    context.complete()
    print(psutil.Process().memory_info().rss)

sys.modules["worker.kinds.top9.search"] = SimpleNamespace(search=shard)
def used():
    return psutil.Process().memory_info().rss

runner.run(int(sys.argv[1]), load_settings())
between, deadline = used(), time.monotonic() + 60
while used() > between - 75 * 2**20 and time.monotonic() < deadline:
    time.sleep(0.05)
print(between, used(), sum(int(block.sum()) for block in left))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="malloc_trim is glibc's")
def test_freed_blocks_between_used_ones_are_returned_by_an_idle_process(
    ledger: Ledger, job: int, tmp_path: Path
) -> None:
    url = ledger.database.url.render_as_string(hide_password=False)
    home = {"ANALYZE_HOME": str(tmp_path / "home"), "ANALYZE_DATABASE_URL": url}
    ((shard, _), *_) = ledger.take_unsent()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(shard)],
        env={**os.environ, **MALLOC, **home},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    during, between, after, used = map(int, done.stdout.split())
    assert during - between < 25 * 2**20  # kept for a shard that follows at once
    assert between - after > 75 * 2**20
    assert used == 100 * 2**18  # the blocks in use are unchanged
