"""``analyze submit``: submit a job."""

from __future__ import annotations

import click

from producer.cli.lazy import LazyGroup
from producer.kinds.registry import producer_kinds
from shared.kinds import kind_names

DEFAULT_KIND = "top9"


class KindGroup(LazyGroup):
    """A group with a command for each kind of job. Without a kind, the arguments are those of ``top9``."""

    def import_paths(self) -> dict[str, str]:
        return {name: kind.command for name, kind in producer_kinds().items()}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in kind_names() and args[0] not in ctx.help_option_names:
            args = [DEFAULT_KIND, *args]
        return super().parse_args(ctx, args)


@click.group(cls=KindGroup)
def submit() -> None:
    """Submit a job and print its id.

    The default is a top-9 search:

    \b
    analyze submit --layer 5 --dataset voc
    """
