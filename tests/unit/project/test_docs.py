"""Tests, files, commands, options, settings and columns that the documentation refers to exist."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from sqlalchemy import inspect

from benchmarks.page import Results, median
from producer.cli.main import all_verbs, cli
from shared.database.connection import Database
from shared.database.schema import upgrade
from shared.kinds import kind_names
from shared.settings import Settings

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
COMMANDS = DOCS / "reference" / "cli"
NEW_KIND = DOCS / "contributing" / "adding-a-kind.md"  # its commands need the kind that it adds
LARGEST_README, LARGEST_PICTURE = 6_000, 150_000  # bytes


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize(("page", "tests"), [("security.md", 15), ("care.md", 6)])
def test_tests_named_by_the_documentation_exist(page: str, tests: int) -> None:
    text = (DOCS / "operations" / page).read_text()
    named = re.findall(r"`((?:unit|integration|hostile|acceptance|faults)/[\w/]+\.py)`", text)
    assert len(set(named)) >= tests
    assert [path for path in named if not (ROOT / "tests" / path).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_linked_files_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())
    generated = {COMMANDS / f"{verb}.md" for verb in all_verbs()}
    targets = {link: (page.parent / link).resolve() for link in links}
    assert [link for link, target in targets.items() if not target.exists() and target not in generated] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_in_the_documentation_exist(page: Path) -> None:
    verbs = set(re.findall(r"(?m)^\$ (?:ANALYZE_\w+=\S+ )?analyze (\w+)", page.read_text()))
    assert verbs <= set(all_verbs())


def commands_of(page: Path) -> list[str]:
    """Return the arguments of each line ``$ analyze ...`` of a page, without comments and redirections."""
    lines = re.findall(r"(?m)^\$ (?:ANALYZE_\w+=\S+ )?analyze (.+)$", page.read_text())
    return [re.sub(r"\s+(#|&|>).*", "", line) for line in lines]


def usage_error(arguments: str) -> str | None:
    """Parse the arguments without running the command; return the usage error, or None."""
    result = CliRunner().invoke(cli, shlex.split(arguments))
    return result.output + str(result.exception) if result.exit_code else None


@pytest.mark.parametrize("page", [page for page in PAGES if page != NEW_KIND and commands_of(page)], ids=named)
def test_options_in_the_documentation_exist(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.Command, "invoke", lambda command, context: None)
    monkeypatch.setattr(click.Path, "convert", lambda kind, value, parameter, context: Path(value))
    assert [(command, error) for command in commands_of(page) if (error := usage_error(command))] == []


@pytest.mark.parametrize("wrong", ["sbmit --layer 5 --dataset voc", "submit --leyer 5 --dataset voc", "results"])
def test_usage_errors_are_detected(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(click.Command, "invoke", lambda command, context: None)
    assert usage_error(wrong)


def test_the_overview_of_commands_names_every_command() -> None:
    text = (COMMANDS / "index.md").read_text()
    assert {verb for verb in all_verbs() if not re.search(rf"\b{verb}\b", text)} == set()


def test_the_reference_has_every_command_option_and_setting() -> None:
    hook = runpy.run_path(str(DOCS / "hooks" / "generated_pages.py"))
    shown = hook["on_page_markdown"]((DOCS / "reference" / "settings.md").read_text(), None)
    rows = {name: f"| `{name}` | `ANALYZE_{name.upper()}` |" for name in Settings.model_fields}
    assert [name for name, row in rows.items() if row not in shown] == []
    root = click.Context(cli, info_name="analyze")
    page = "\n".join(hook["_command_lines"](cli, "submit", root, "#"))
    headings = {"# analyze submit", *(f"## analyze submit {kind}" for kind in kind_names())}
    assert {line for line in page.splitlines() if line.startswith("#")} == headings
    assert "| <code>--layer, --layers TEXT</code> |" in page
    assert "deconvnet&#124;guided" in page  # a | would end the cell


def columns_of_the_page() -> dict[str, set[str]]:
    """Return the columns of each view or table that the page on SQL describes."""
    found = {}
    for section in re.split(r"(?m)^##+ ", (DOCS / "reference" / "sql.md").read_text())[1:]:
        name = section.split("\n", 1)[0]
        cells = re.findall(r"(?m)^\| (`.*?) \|", section)
        if cells and "### " not in section and "| column |" in section:
            found[name] = {column for cell in cells for column in re.findall(r"`(\w+)`", cell)}
    return found


def test_the_sql_page_lists_the_columns_of_the_schema(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'unitscope.sqlite3'}")
    upgrade(database)
    inspector: Any = inspect(database.engine)
    documented = columns_of_the_page()
    assert set(inspector.get_view_names()) <= set(documented)
    for name, columns in documented.items():
        assert columns == {column["name"] for column in inspector.get_columns(name)}, name
    database.close()


def test_readme_and_pictures_are_small() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= LARGEST_README
    pictures = sorted((DOCS / "images").glob("*.png"))
    assert pictures
    assert [path.name for path in pictures if path.stat().st_size > LARGEST_PICTURE] == []


@pytest.mark.parametrize("page", sorted((DOCS / "benchmarks").glob("*.md")), ids=named)
def test_figures_on_benchmark_pages_were_measured(page: Path) -> None:
    """Figures in bold are medians in the file that ``python -m benchmarks`` writes."""
    hook = runpy.run_path(str(DOCS / "hooks" / "benchmark_tables.py"))
    rows = Results.read(DOCS / "benchmarks.json").rows
    measured = {median(row.ours, row.unit) for row in rows} | {f"{row.ratio or 0:.3g} times" for row in rows}
    figures = re.findall(r"\*\*([\d.,]+ \w+)\*\*", page.read_text())
    assert [figure for figure in figures if figure not in measured] == []
    shown = hook["on_page_markdown"](page.read_text(), None)
    assert "{{" not in shown
    if "Not measured yet" in shown:
        assert not figures
        return
    assert figures
    assert page.name == "index.md" or "| benchmark | compared with |" in shown
