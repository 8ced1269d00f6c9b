"""CSV: texts that a spreadsheet would execute are marked, and programs can read everything else."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from producer.cli.context import App
from producer.cli.printing import print_rows


def written(capsys: pytest.CaptureFixture[str], value: Any, column: str = "name") -> tuple[list[list[str]], str]:
    print_rows(App({}), [column], [[value]], "csv")
    printed = capsys.readouterr()
    return list(csv.reader(io.StringIO(printed.out, newline=""))), printed.err


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "=HYPERLINK(1)",
        "+cmd",
        "-2+3+cmd|' /C calc'!A0",
        "@SUM(1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "＝1+1",
        "-",
        "-a\r=1+1",
    ],
)
def test_a_text_like_a_formula_begins_with_an_apostrophe(capsys: pytest.CaptureFixture[str], text: str) -> None:
    rows, message = written(capsys, text)
    assert rows == [["name"], [f"'{text}"]]
    assert message.startswith("1 texts begin like a formula")
    print_rows(App({}), ["name"], [[text]], "json")
    assert "'" not in capsys.readouterr().out.replace("C calc'", "").replace("|'", "")


def test_names_of_columns_are_marked_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert written(capsys, 1, "=1+1")[0][0] == ["'=1+1"]


@pytest.mark.parametrize(
    "value",
    [
        -1.5,
        -3,
        "-1.5",
        "+2",
        "-1e-5",
        "-inf",
        "a=b",
        "'x",
        "",
        " =1",
        "name@x",
        None,
        "conv-5",
        "a\r=1+1",
        'a\n"=1',
    ],
)
def test_numbers_and_other_texts_are_unchanged(capsys: pytest.CaptureFixture[str], value: Any) -> None:
    rows, message = written(capsys, value)
    assert rows == [["name"], ["" if value is None else str(value)]]
    assert message == ""
