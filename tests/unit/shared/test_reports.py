"""Reports of workers in a pipe."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from shared.jobs.reports import LONGEST_DETAIL, PIPE, Kind, Reader, send


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Reader, int]]:
    """The reader, and the writing end that ``send`` uses."""
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    monkeypatch.setenv(PIPE, str(writing))
    yield Reader(reading), writing
    os.close(reading)
    os.close(writing)


def test_reports_arrive_in_order(pipe: tuple[Reader, int]) -> None:
    reader, writing = pipe
    assert list(reader.read()) == []
    send(Kind.BEAT)
    send(Kind.LOST, "signal 9\nand more")
    os.write(writing, b'no report\n{"kind": "other", "detail": "", "at": 1}\n[1]\n{"kind": "ra')
    assert [(report.kind, report.detail) for report in reader.read()] == [
        ("beat", ""),
        ("lost", "signal 9\nand more"),
    ]
    os.write(writing, b'n", "detail": "", "at": 2.5}\n')
    assert [(report.kind, report.at) for report in reader.read()] == [("ran", 2.5)]


def test_a_full_pipe_does_not_block(pipe: tuple[Reader, int]) -> None:
    reader, _ = pipe
    for _ in range(2000):
        send(Kind.UNUSABLE, "é" * 1000)
    found = list(reader.read())
    assert 10 < len(found) < 2000
    assert {report.detail for report in found} == {"é" * LONGEST_DETAIL}


def test_without_a_supervisor_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "no number", "99999"):
        monkeypatch.setenv(PIPE, value)
        send(Kind.BEAT)
