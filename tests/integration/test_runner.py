"""The order in which a worker prepares and claims a shard."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from shared.jobs.ledger import Ledger
from tests.integration.machines import HERE, Machines

SEARCH = "worker.kinds.top9.search"


def test_the_code_of_a_stage_is_imported_before_the_lease_begins(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines.submit()
    monkeypatch.delitem(sys.modules, SEARCH, raising=False)
    claim, imported = Ledger.claim, []

    def note_and_claim(*arguments: Any, **named: Any) -> Any:
        imported.append(SEARCH in sys.modules)
        return claim(*arguments, **named)

    monkeypatch.setattr(Ledger, "claim", note_and_claim)
    machines.run(HERE)
    assert imported == [True]
