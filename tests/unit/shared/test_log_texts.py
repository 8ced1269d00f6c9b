"""Names in the text log of workers can neither send control sequences to a terminal nor forge records."""

from __future__ import annotations

import json
import subprocess
import sys

NAME = "\x1b]0;title\x07\x9b31m\u202ename"


def test_control_characters_are_escaped() -> None:
    program = (
        "import logging; from shared.logs import configure_logging; configure_logging('text');"
        f"logging.warning('image %s', {NAME!r});"
        f"\ntry: raise OSError({NAME!r})\nexcept OSError: logging.exception('failed')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    text = done.stderr.decode()
    assert "\\x1b]0;title\\x07\\x9b31m\\u202ename" in text
    assert "Traceback" in text
    assert not set(text) & set("\x1b\x07\x9b\u202e")


def test_a_line_that_begins_with_a_time_is_a_record() -> None:
    program = (
        "import logging; from shared.logs import configure_logging; configure_logging('text');"
        "logging.warning('image %s is broken', 'x.png\\n2026-01-01 00:00:00,000 UTC ERROR forged')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    first, second = done.stderr.splitlines()
    assert first.endswith("WARNING image x.png")
    assert second.startswith("    2026-01-01")


def test_json_logs_keep_names_and_print_no_control_characters() -> None:
    """Also on the stream of a command, which escapes what is written to it."""
    program = (
        "import logging; from producer.cli.streams import prepare_streams; prepare_streams();"
        "from shared.logs import configure_logging; configure_logging('json');"
        f"logging.warning('%s', {NAME!r})"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    text = done.stderr.decode()
    assert json.loads(text)["message"] == NAME
    assert not set(text) & set("\x1b\x07\x9b\u202e")
