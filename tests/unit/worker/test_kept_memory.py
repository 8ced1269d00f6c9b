"""When a worker process returns memory that it doesn't use."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from worker import memory
from worker.memory import KeptMemory


@pytest.fixture
def released(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Times at which memory was returned."""
    times: list[float] = []
    monkeypatch.setattr(memory, "release_memory", lambda: times.append(time.monotonic()))
    monkeypatch.setattr(memory, "IDLE_SECONDS", 600)
    return times


def run(kept: KeptMemory, monkeypatch: pytest.MonkeyPatch, megabytes: Sequence[int]) -> None:
    """Run shards after which the process holds this memory."""
    for held in megabytes:
        kept.shard_begins()
        monkeypatch.setattr(memory, "held_bytes", lambda held=held: held * 2**20)
        kept.shard_ended()


def test_memory_is_kept_while_shards_need_the_same(released: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    run(KeptMemory(), monkeypatch, [1000, 1010, 990, 1090, 1000])
    assert not released


def test_a_process_that_grows_returns_memory(released: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    kept = KeptMemory()
    run(kept, monkeypatch, [1000, 1050, 1120])
    assert len(released) == 1
    run(kept, monkeypatch, [1200, 1300])  # what it needs now
    assert len(released) == 1
    run(kept, monkeypatch, [1330])
    assert len(released) == 2


def test_memory_is_returned_after_a_shard_that_ran_out_of_it(
    released: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptMemory()
    run(kept, monkeypatch, [1000])
    kept.return_after_shard()
    assert not released, "the shard has not ended"
    run(kept, monkeypatch, [1000])
    assert len(released) == 1
    run(kept, monkeypatch, [1000, 1000])
    assert len(released) == 1


def test_an_idle_process_returns_memory(released: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "IDLE_SECONDS", 0.2)
    kept = KeptMemory()
    run(kept, monkeypatch, [1000, 1000])
    ended, deadline = time.monotonic(), time.monotonic() + 30
    while not released and time.monotonic() < deadline:
        time.sleep(0.02)
    [first] = released
    assert first >= ended + 0.1
    kept.shard_begins()
    time.sleep(0.5)
    assert len(released) == 1, "memory is returned while a shard runs"


def test_the_memory_of_this_process_is_known() -> None:
    before = memory.held_bytes()
    block = bytearray(64 * 2**20)
    block[::4096] = b"\1" * len(block[::4096])
    assert memory.held_bytes() >= before + 32 * 2**20
