"""Parsing of the options that several commands share."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from producer.cli.options import NETWORK_OPTIONS, network_options


@click.command()
@network_options
def command(**options: Any) -> None:
    assert set(options) == set(NETWORK_OPTIONS)
    click.echo(json.dumps(options))


def ask(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def test_defaults() -> None:
    assert json.loads(ask().stdout) == {"fc": None, "size": None, "maps": None, "without": [], "head": None}


def test_commas_and_repetitions() -> None:
    done = ask("--maps", "512, 1024,512", "--without", "conv3,conv4", "--without", " fc7 ,", "--fc", "8")
    assert json.loads(done.stdout) == {
        "fc": 8, "size": None, "maps": [512, 1024, 512], "without": ["conv3", "conv4", "fc7"], "head": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *(
            ("--maps", value)
            for value in ("512", "1,2,3,4", "1,2,", "a,b,c", "0,1,1", "1,1,99999", "1-3", "²,1,1")
        ),
        *(("--without", value) for value in ("", ",", " ")),
    ],
)
def test_invalid_value_is_refused_with_the_name_of_the_option(option: str, value: str) -> None:
    done = ask(option, value)
    assert done.exit_code == 2
    assert option in done.stderr
