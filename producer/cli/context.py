"""The objects that commands share, created on first use."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from shared.settings import Problem, Settings, load_settings, load_valid_settings

if TYPE_CHECKING:
    from producer.cli.console import Console
    from shared.database.connection import Database
    from shared.jobs.broker import Broker
    from shared.jobs.ledger import Ledger
    from shared.store.store import Store


CONNECT_SECONDS = 4  # a person waits


class App:
    """Settings, database, broker, store and consoles of a command."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = dict(options)

    @cached_property
    def settings(self) -> Settings:
        return load_settings(self.options)

    def use_valid_settings(self) -> list[Problem]:
        """Use the settings that are valid, and return the problems of the others.

        Raises
        ------
        BadSettings
            there is no home folder.
        """
        self.settings, problems = load_valid_settings(self.options)
        return problems

    @cached_property
    def database(self) -> Database:
        from shared.database.schema import open_database

        return open_database(self.settings.resolved_database_url, CONNECT_SECONDS)

    def refuse_damage(self, error: Exception) -> None:
        """Raise an error if the database, as far as it is in use, has a damaged value.

        Raises
        ------
        DatabaseDamaged
        """
        if "database" in vars(self):
            self.database.refuse_damage(error)

    @cached_property
    def query_database(self) -> Database:
        """The database for user queries: the same one, with a role that can only read if there is one."""
        from shared.database.schema import open_database

        url = self.settings.query_database_url
        return open_database(url) if url else self.database

    @cached_property
    def ledger(self) -> Ledger:
        from shared.jobs.ledger import Ledger

        return Ledger(self.database, self.settings.lease_seconds)

    @cached_property
    def broker(self) -> Broker:
        from shared.jobs.broker import broker_for

        return broker_for(self.settings)

    @cached_property
    def store(self) -> Store:
        """The store for commands that only read."""
        from shared.store.store import Store

        return Store(self.settings.resolved_store)

    @cached_property
    def own_store(self) -> Store:
        """The store for commands that write or remove files.

        Raises
        ------
        StoreNotUsable
            it belongs to another database, or is not available.
        """
        from shared.store.ownership import open_store

        return open_store(self.database, self.settings.resolved_store)

    @cached_property
    def err(self) -> Console:
        """Console for messages, on stderr."""
        from producer.cli.console import Console

        return Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)

    @cached_property
    def out(self) -> Console:
        """Console for data, on stdout."""
        from producer.cli.console import Console

        return Console(highlight=False, markup=False, emoji=False)


NUMBER = re.compile(r"[0-9]{1,9}")

pass_app = click.make_pass_decorator(App)


class Numbers(click.ParamType[list[int]]):
    """Parameter type for lists of numbers and ranges such as ``0-15,40``; the result is sorted."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        if isinstance(value, list):
            return value
        numbers: set[int] = set()
        for part in str(value).split(","):
            first, dash, last = part.strip().partition("-")
            if not NUMBER.fullmatch(first) or (dash and not NUMBER.fullmatch(last)):
                self.fail(f"'{value}' is not of the form 0-15,40", param, ctx)
            start, stop = int(first), int(last) if dash else int(first)
            if stop < start or stop - start > 100_000:
                self.fail(f"'{part.strip()}' is not an ascending range, or is too long", param, ctx)
            numbers.update(range(start, stop + 1))
        return sorted(numbers)
