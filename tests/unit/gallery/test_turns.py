"""The limit on answers that take long."""

from __future__ import annotations

import pytest
from starlette.exceptions import HTTPException
from starlette.testclient import TestClient

from producer.gallery import report
from producer.gallery.turns import Turns
from tests.unit.gallery.databases import SEARCH


def test_further_answers_are_refused_until_one_ends() -> None:
    turns = Turns(2, "answers are made")
    with turns.one():
        with turns.one(), pytest.raises(HTTPException, match="503"), turns.one():
            pass
        with pytest.raises(ZeroDivisionError), turns.one():
            _ = 1 / 0
        with turns.one():
            pass


def test_a_report_is_refused_while_others_are_made(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns(1, "reports are made")
    monkeypatch.setattr(report, "_turns", turns)
    with turns.one():
        answer = client.get(f"/jobs/{SEARCH}/report")
        assert answer.status_code == 503
        assert "retry-after" in answer.headers
    assert client.get(f"/jobs/{SEARCH}/report").status_code == 200
