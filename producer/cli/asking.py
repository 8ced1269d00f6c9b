"""Questions to the person at the terminal."""

from __future__ import annotations

import sys

import click

from shared.errors import NotConfirmed, UsageError


def confirm(reason: str, question: str, *, yes: bool) -> None:
    """Ask a question on the terminal, after the reason for it; ``yes`` answers it.

    Raises
    ------
    NotConfirmed
        there is no terminal, and ``yes`` is not set.
    UsageError
        the answer was no.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise NotConfirmed(reason=reason)
    click.echo(reason, err=True)
    if not click.confirm(question, err=True):
        raise UsageError(reason="Nothing was changed.")
