"""The processes in which workers compute, to stop or kill them."""

import signal
from collections.abc import Sequence

import psutil

from tests.conftest import Analyze


def children_of(home: Analyze) -> list[psutil.Process]:
    """Return the processes in which the workers of a home compute."""
    workers = home.json("query", "SELECT pid FROM workers")
    return [child for row in workers for child in psutil.Process(row["pid"]).children()]


def signal_all(children: Sequence[psutil.Process], number: signal.Signals) -> None:
    """Send a signal to processes."""
    for child in children:
        child.send_signal(number)
