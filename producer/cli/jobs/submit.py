"""``analyze submit``: ask for a job."""

from __future__ import annotations

import click

from producer.kinds.descriptor import load
from producer.kinds.registry import producer_kinds
from shared.kinds import kind_names

DEFAULT_KIND = "top9"


class KindGroup(click.Group):
    """A command for each kind of job. The first word may be missing: it is a top-9 search then."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(kind_names())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in kind_names():
            return None
        command: click.Command = load(producer_kinds()[cmd_name].command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in kind_names() and args[0] not in ctx.help_option_names:
            args = [DEFAULT_KIND, *args]
        return super().parse_args(ctx, args)


@click.group(cls=KindGroup)
def submit() -> None:
    """Submit a job and print its id. Without a kind it is a top-9 search:

    \b
    analyze submit --layer 5 --dataset voc
    """
