"""Groups of commands that import a command's module only when it runs, so that ``analyze`` starts fast."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import click

from producer.kinds.descriptor import load


class LazyGroup(click.Group):
    """A group whose commands are named as ``module:attribute``."""

    @abstractmethod
    def import_paths(self) -> Mapping[str, str]:
        """Return the ``module:attribute`` of each command by name, in the order of the help text."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.import_paths())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        import_paths = self.import_paths()
        if cmd_name not in import_paths:
            return None
        command: click.Command = load(import_paths[cmd_name])
        return command
