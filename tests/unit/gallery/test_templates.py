"""Filters of the templates."""

from __future__ import annotations

import pytest
from markupsafe import Markup

from producer.gallery.templates import commands


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("No job 3. `analyze ls` lists them.", "No job 3. <code>analyze ls</code> lists them."),
        ("`a` and `b`", "<code>a</code> and <code>b</code>"),
        ("one ` alone <b>", "one ` alone &lt;b&gt;"),
        ("`<b>` & <i>", "<code>&lt;b&gt;</code> &amp; &lt;i&gt;"),
        ("`\x1b[31m`\u202e", "<code>\\x1b[31m</code>\\u202e"),
        ("", ""),
    ],
)
def test_commands_of_a_message_are_code(text: str, shown: str) -> None:
    found = commands(text)
    assert isinstance(found, Markup)
    assert str(found) == shown
