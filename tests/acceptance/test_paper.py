"""``analyze paper``: all commands of its guide, the page, and running it again."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Analyze

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "paper.md"
COMMANDS = [shlex.split(line) for line in re.findall(r"(?m)^\$ analyze (.+)$", GUIDE.read_text())]
RUN = next(words for words in COMMANDS if words[0] == "paper" and "--dry-run" not in words)
SECTIONS = ["The network", "Figure 2", "Figure 4", "Figure 5", "Figure 6", "Figure 7", "Table 1"]


@pytest.fixture(scope="module")
def analyze(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Analyze]:
    analyze = Analyze(tmp_path_factory.mktemp("paper") / "home")
    try:
        analyze.up()
        yield analyze
    finally:
        analyze.end()


@pytest.fixture(scope="module")
def page(analyze: Analyze, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Run the commands of the guide; return the page."""
    folder = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in COMMANDS:
            done = analyze(*words[: words.index(">")] if ">" in words else words)
            if "--dry-run" in words:
                assert re.search(r"ablation-base +train +after network", done.stdout)
                assert not analyze.json("ls")
            elif words is RUN:
                assert "paper-shapes.html" in done.stdout
                assert "parts: left out: Correspondence needs at least two images of a part" in done.stderr
            elif words[:2] == ["study", "file"]:
                assert 'name = "paper"' in done.stdout
        return (folder / "paper-shapes.html").read_text()


def test_the_page_has_the_experiments_in_order_with_published_figures(page: str) -> None:
    headings = re.findall(r"<h2>(.+?)</h2>", page)[1:-1]  # without claims and jobs
    assert [heading.split(":")[0] for heading in headings] == SECTIONS
    assert "Left out on request: Table 3, layers removed or changed in size; Table 7, linear" in page
    for published in ("16.5 % (ImageNet 2012)", "40 to 50", "arXiv 1311.2901, Fig. 5", "0.107"):
        assert published in page
    assert "parts has no results. Left out: Correspondence needs at least two images of a part" in page
    assert "has hardly learnt: the mean of the accuracies of its 20 classes" in page
    # All pictures are inside the page: nothing is loaded.
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert page.count('src="data:image/') > 10


def test_every_figure_on_the_page_is_of_a_job_that_is_done(analyze: Analyze, page: str) -> None:
    jobs = {row["name"]: row for row in analyze.json("study", "show", "paper-shapes", "--jobs")}
    assert list(jobs) == ["network", "search", "evolution", "invariance", "filters", "occlusion", "parts"]
    for name, row in jobs.items():
        assert row["state"] == (None if name == "parts" else "done"), name
        if name != "parts":
            assert f"here (job {row['job_id']})" in " ".join(page.split())
    images = analyze.json("results", jobs["occlusion"]["job_id"])
    assert len(images) == 2
    for row in images:
        assert row["image_path"] in page


def test_running_it_again_computes_nothing(analyze: Analyze, page: str, tmp_path: Path) -> None:
    before = analyze.json("ls")
    sections = analyze.json(*RUN, "--page", tmp_path / "again.html")
    assert analyze.json("ls") == before
    assert [section["title"].split(":")[0] for section in sections] == SECTIONS
    (network,) = [section for section in sections if section["title"] == "The network"]
    assert network["measures"][0]["name"] == "images"
    assert re.search(r"parts +correspondence +left out", analyze(*RUN, "--dry-run").stdout)
    run = analyze.json("study", "show", "paper-shapes", "--jobs")[0]["job_id"]
    left_out = "alexnet,probe,without-3-4,without-7,without-6-7,without-3-4-6-7,fc-2048,fc-8192,maps"
    plan = analyze("paper", "--dataset", "shapes", "--run", run, "--leave-out", left_out, "--dry-run").stdout
    assert re.search(rf"network +train +{run} +done", plan)
    assert re.search(rf"ablation-base +train +{run} +done", plan)  # the same training


def test_mistakes_are_named(analyze: Analyze, page: str, tmp_path: Path) -> None:
    paper = ("paper", "--dataset", "shapes")
    both = analyze(*paper, "--run", 1, "--epochs", 3, code=2).stderr
    assert "--run and --epochs are mutually exclusive" in both
    assert "999" in analyze(*paper, "--run", 999, code=4).stderr
    assert "is of kind top9, not train" in analyze(*paper, "--set", "run=2", code=2).stderr
    assert "There is no job 'serach' to leave out" in analyze(*paper, "--leave-out", "serach", code=2).stderr
    analyze(
        "dataset", "add", "shapes", "--images", 20, "--seed", 1, "--name", "other", "--root", tmp_path / "other"
    )
    other = analyze("paper", "--dataset", "other", "--run", 1, code=2).stderr
    assert "Training run 1 is of data set 'shapes', not 'other'" in other
    assert "instead of" in analyze(*paper, "--epochs", 3, code=2).stderr  # another study of the same name
