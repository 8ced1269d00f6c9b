"""Contact sheets of a search: those of large layers, and those of a job that is cancelled while they are drawn."""

from __future__ import annotations

import time
from typing import Any

import pytest

from shared.jobs.tables import ShardState
from tests.integration.machines import HERE, Machines
from unitscope.drawing import pictures
from worker.kinds.top9 import finish

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # no statement is of interest


def test_the_sheet_of_a_large_layer_has_its_first_units(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[list[int], str]] = []
    draw = pictures.contact_sheet

    def note_and_draw(units: Any, title: str, *arguments: Any, **named: Any) -> Any:
        drawn.append(([unit for unit, *_ in units], title))
        return draw(units, title, *arguments, **named)

    monkeypatch.setattr(pictures, "contact_sheet", note_and_draw)
    monkeypatch.setattr(finish, "SHEET_UNITS", 2)
    machines.submit()
    machines.run_all(HERE)
    live = [
        row["unit"] for row in machines.analyze.json("query", "SELECT unit FROM searched_units WHERE NOT dead")
    ]
    assert len(live) > 2
    ((units, title),) = drawn
    assert units == live[:2]
    assert f"of the first 2 of {len(live)} units" in title


def test_a_cancelled_job_draws_no_further_sheets(machines: Machines, monkeypatch: pytest.MonkeyPatch) -> None:
    job = machines.submit("top9", "--layer", "1,2,3,4", "--units", 0)
    while machines.shards(ShardState.QUEUED)[0].stage_name != "finish":
        machines.run(HERE)
    drawn: list[int] = []
    draw = finish._sheet

    def cancel_and_draw(context: Any, number: int, *arguments: Any) -> Any:
        drawn.append(number)
        if number == 0:
            machines.analyze("cancel", job)
            assert context.lease_lost.wait(20)  # the next heartbeat
        else:
            time.sleep(0.5)  # the next one is drawn while this one is awaited
        return draw(context, number, *arguments)

    monkeypatch.setattr(finish, "FEW_UNITS", 0)  # one sheet at a time
    monkeypatch.setattr(finish, "_sheet", cancel_and_draw)
    machines.run(HERE)
    assert drawn in ([0], [0, 1])
    assert machines.status(job)["state"] == "cancelled"
