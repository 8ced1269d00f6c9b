"""Tables in terminals: what identifies a row is whole, and other columns give way."""

from __future__ import annotations

import io

import pytest
from rich.table import Table

from producer.cli.console import Console
from producer.cli.printing import table

PATH = "VOC2007/JPEGImages/" + "x" * 30 + "/000012.jpg"
SENTENCE = "the mean of the squares of all of its weights is at most this"


def printed(rows: Table, width: int | None) -> str:
    """Print a table in a terminal of ``width`` columns, or to a file."""
    target = io.StringIO()
    console = Console(file=target, width=width, force_terminal=width is not None, color_system=None)
    console.print(rows)
    return target.getvalue()


def test_a_file_gets_whole_lines() -> None:
    columns = [f"column {n}" for n in range(30)]
    text = printed(table(columns, [[PATH] * 30]), None)
    assert len(text.splitlines()) == 2
    assert text.count(PATH) == 30


@pytest.mark.parametrize("width", [20, 40, 80, 120, 1000])
def test_ids_and_names_are_whole_at_any_width(width: int) -> None:
    columns = ["job_id", "layer_path", "image_id", "image_path", "about", "activation"]
    text = printed(table(columns, [[12, "features.10", 123456, PATH, SENTENCE, 1.25]]), width)
    assert PATH in text
    assert "123456" in text
    assert "…" not in text


def test_a_table_that_fits_is_printed_as_to_a_file() -> None:
    rows = [["1", "train", SENTENCE], ["2", "top9", "x"]]
    as_file = printed(table(["job", "kind", "what"], rows), None)
    assert printed(table(["job", "kind", "what"], rows), 100) == as_file


def test_other_text_is_wrapped_without_loss_and_lines_fit() -> None:
    text = printed(table(["name", "about", "root"], [["x", SENTENCE, PATH]]), 60)
    assert max(map(len, text.splitlines())) <= 60
    assert "".join(line[4:].strip() for line in text.splitlines()).count("x") >= 30
    for word in SENTENCE.split():
        assert word in text


def test_details_are_left_out_first_and_named() -> None:
    columns = ["name", "fingerprint", "left out", "layer_path", "root"]
    lines = printed(table(columns, [["shapes", "f" * 64, 3, "features.10", "/data"]]), 40).splitlines()
    assert lines[0].split() == ["name", "left", "out", "layer_path", "root"]
    assert " ".join(" ".join(lines[2:]).split()) == "This terminal is too narrow for: fingerprint."


def test_control_characters_of_cells_are_escaped_at_any_width() -> None:
    rows = table(["name", "about"], [["\x1b[31mred", "\x1b]0;title\x07" * 20]])
    for width in (None, 40, 400):
        text = printed(rows, width)
        assert "\x1b[31mred" not in text
        assert "\\x1b[31mred" in text
        assert "\x07" not in text
