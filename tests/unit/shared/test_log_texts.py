"""Names in the text log of workers can't send control sequences to a terminal."""

from __future__ import annotations

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
