"""``analyze study``: run studies and show their results."""

from __future__ import annotations

from collections.abc import Mapping

import click

from producer.cli.lazy import LazyGroup


class StudyGroup(LazyGroup):
    """The group of the commands for studies."""

    def import_paths(self) -> Mapping[str, str]:
        return {
            "run": "producer.cli.studies.run:run",
            "show": "producer.cli.studies.show:show",
            "ls": "producer.cli.studies.manage:ls",
            "file": "producer.cli.studies.manage:file",
            "rm": "producer.cli.studies.manage:rm",
        }


@click.group(cls=StudyGroup)
def study() -> None:
    """Run studies: sets of jobs that are described in a TOML file, and the table of their results.

    \b
    analyze study ls --shipped                       studies that come with the program
    analyze study run table-3 --set dataset=voc      submit its jobs and wait for them
    analyze study show table-3 --picture table3.png  its table, and a figure
    """
