"""Groups of commands of which only the one that is asked for is imported: ``analyze`` starts at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import click

from producer.kinds.descriptor import load


class LazyGroup(click.Group):
    """A group whose commands are named as ``module:attribute``."""

    @abstractmethod
    def places(self) -> Mapping[str, str]:
        """Return the places of all commands by their names, in the order of the help text."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.places())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        places = self.places()
        if cmd_name not in places:
            return None
        command: click.Command = load(places[cmd_name])
        return command
