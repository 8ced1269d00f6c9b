"""Priorities of jobs."""

from __future__ import annotations

from enum import IntEnum


class Priority(IntEnum):
    """The priority of a job, as it is stored."""

    LOW = -1
    NORMAL = 0
    HIGH = 1

    @property
    def label(self) -> str:
        return self.name.lower()


PRIORITIES = tuple(priority.label for priority in sorted(Priority, reverse=True))


def parse_priority(label: str) -> Priority:
    """Return the priority with one of the labels ``PRIORITIES``."""
    return Priority[label.upper()]


def priority_label(stored: int) -> str:
    """Return the label of a stored priority; a number that another program wrote counts as the nearest one."""
    return Priority(max(Priority.LOW, min(Priority.HIGH, stored))).label
