"""Mistakes on the command line give one line with a remedy and an exit code, and create no job.

A process for every mistake would take minutes, so most of them run one after another in a single process.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import fresh_database
from tests.integration.cli.helpers import NOT_TEXT, Done, Home, refusal
from tests.integration.cli.mistakes import MISTAKES, filled


@pytest.fixture(scope="module")
def outcomes(home: Home, photos: Path, places: dict[str, str]) -> dict[str, Done]:
    """The outcomes of all mistakes."""
    home("dataset", "add", "folder", "--root", photos, "--name", "photos")
    before = home.jobs()
    calls = [
        (
            [filled(word, places) for word in mistake.arguments],
            {name: filled(value, places) for name, value in mistake.settings.items()},
        )
        for mistake in MISTAKES.values()
    ]
    done = home.many(calls)
    assert home.jobs() == before
    assert Path(places["@TEXT@"]).read_text() == "no database at all\n" * 100
    assert [file.name for file in Path(places["@FULL@"]).iterdir()] == ["thesis.tex"]
    return dict(zip(MISTAKES, done, strict=True))


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake_gives_one_line_with_a_remedy(
    outcomes: dict[str, Done], places: dict[str, str], name: str
) -> None:
    mistake, done = MISTAKES[name], outcomes[name]
    line = refusal(done, mistake.code, [filled(word, places) for word in mistake.says])
    for setting in mistake.settings:
        if setting.endswith("_url"):
            assert setting in line.lower()


@pytest.mark.parametrize("name", ["unknown: split", "usage: run and weights", "unreachable: postgresql"])
def test_separate_process_ends_in_the_same_way(
    home: Home, places: dict[str, str], outcomes: dict[str, Done], name: str
) -> None:
    mistake = MISTAKES[name]
    one = Home(home.home)
    one.environment |= {f"ANALYZE_{k.upper()}": filled(v, places) for k, v in mistake.settings.items()}
    done = one(*(filled(word, places) for word in mistake.arguments), code=outcomes[name].returncode)
    assert (done.stdout, done.stderr) == ("", outcomes[name].stderr)


def test_mistakes_on_postgresql_are_refused_too(
    home: Home, request: pytest.FixtureRequest, tmp_path: Path, shapes_root: Path
) -> None:
    url = {"database_url": fresh_database("postgresql", request, tmp_path)}
    run = ("submit", "--layer", "5", "--dataset", "shapes", "--run")
    too_old, _, _, *done = home.many(
        [
            (("ls",), url),
            (("db", "upgrade"), url),
            (("dataset", "add", "shapes", "--root", shapes_root), url),
            *(((*run, number), url) for number in ("7", "2147483648", "9" * 19, "9" * 30)),
            (("dataset", "show", NOT_TEXT), url),
            (("query", f"SELECT '{NOT_TEXT}'"), url),
            (("query", "DELETE FROM jobs"), url),
            (("status", "7"), url),
        ]
    )
    refusal(too_old, 5, ("none", "analyze db upgrade"))
    for answer, codes in zip(done, [4, (2, 4), (2, 4), (2, 4), (2, 4), 2, 2, 4], strict=True):
        refusal(answer, codes)


@pytest.mark.parametrize("number", ["2147483648", "9223372036854775807", "9223372036854775808", "9" * 30])
def test_run_beyond_all_ids_is_unknown(home: Home, number: str) -> None:
    done = home("submit", "--layer", "5", "--dataset", "shapes", "--run", number, code=None)
    assert done.returncode in (2, 4)
    assert number in done.stderr


def test_argument_that_is_not_utf_8_is_refused(home: Home, trained: int, photos: Path) -> None:
    search = ("submit", "--dataset", "shapes", "--run", trained, "--layer")
    calls = [
        ("dataset", "show", NOT_TEXT),
        ("submit", "--layer", "5", "--dataset", NOT_TEXT),
        (*search, NOT_TEXT),
        (*search, "5", "--split", NOT_TEXT),
        ("query", f"SELECT '{NOT_TEXT}'"),
    ]
    before = home.jobs()
    for done in home.many([(call, {}) for call in calls]):
        refusal(done, (2, 4))
    assert home.jobs() == before
    home.refused("dataset", "add", "folder", "--root", photos, "--name", NOT_TEXT, code=2)


def test_split_without_images_is_refused(home: Home, shapes_root: Path, trained: int, tmp_path: Path) -> None:
    root = shutil.copytree(shapes_root, tmp_path / "shapes")
    (root / "VOC2007/ImageSets/Main/nobody.txt").write_text("")
    (root / "VOC2007/ImageSets/Main/lost.txt").write_text("nosuchimage\n")
    home("dataset", "add", "shapes", "--root", root, "--name", "holes")
    asked = ("submit", "--layer", "5", "--dataset", "holes", "--run", trained, "--split")
    for done, split in zip(
        home.many([((*asked, s), {}) for s in ("lost", "nobody")]), ("lost", "nobody"), strict=True
    ):
        refusal(done, 2, (f"'{split}'", "dataset show holes"))
