"""Tests, files and commands that the documentation refers to exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from producer.cli.main import all_verbs
from shared.settings import Settings

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize(("page", "tests"), [("security.md", 15), ("care.md", 6)])
def test_tests_named_by_the_documentation_exist(page: str, tests: int) -> None:
    text = (ROOT / "docs" / page).read_text()
    named = re.findall(r"`((?:unit|integration|hostile|acceptance|faults)/[\w/]+\.py)`", text)
    assert len(set(named)) >= tests
    assert [path for path in named if not (ROOT / "tests" / path).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_linked_files_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_documentation_exist(page: Path) -> None:
    verbs = set(re.findall(r"(?m)^\$ (?:ANALYZE_\w+=\S+ )?analyze (\w+)", page.read_text()))
    assert verbs <= set(all_verbs())


def test_the_readme_names_every_verb_and_setting() -> None:
    text = (ROOT / "README.md").read_text()
    verbs, settings = set(all_verbs()), set(Settings.model_fields)
    assert {verb for verb in verbs if not re.search(rf"\b{verb}\b", text)} == set()
    assert {name for name in settings if f"`{name}`" not in text} == set()
