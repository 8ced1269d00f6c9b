"""A network of the user's own, through the command line, with a real worker."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from tests.conftest import Analyze
from tests.own_networks import BLOCKS, FACTORY, FILES, SIZE, write_code

ADD = ("network", "add", "mynet", "--factory", FACTORY, "--size", SIZE, "--time-limit", 200)
TRAIN = ("submit", "train", "--network", "mynet", "--dataset", "shapes", "--epochs", 1, "--wait")
NAMES = ("0.weight", "0.bias", "2.weight", "2.bias", "6.weight", "6.bias")
SHAPES = ((4, 3, 3, 3), (4,), (8, 4, 3, 3), (8,), (20, 8), (20,))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # the other tests are on SQLite
def test_added_trained_searched_and_read(analyze_on: Analyze, shapes_root: Path, tmp_path: Path) -> None:
    """The code folder is gone before a worker starts, which runs in another folder."""
    analyze = analyze_on
    code = write_code(tmp_path / "src")
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze(*ADD, "--code", code)
    shutil.move(code, tmp_path / "away")
    analyze.up()
    run = analyze(*TRAIN).stdout.strip()
    asked = ("submit", "--run", run, "--layer", "2", "--dataset", "shapes")
    assert "measured on this machine" in analyze(*asked, "--dry-run").stdout
    search = analyze(*asked, "--wait").stdout.strip()
    rows = analyze.json("results", search)
    assert {(row["layer"], row["unit"]) for row in rows} == {("2", unit) for unit in range(8)}
    analyze("verify", search)
    # Weights of a file, as training programs write them, and a second version of the code beside the first.
    torch.manual_seed(0)
    tensors = {f"module.{name}": torch.randn(shape).half() for name, shape in zip(NAMES, SHAPES, strict=True)}
    torch.save({"model_state_dict": tensors, "epoch": 3}, tmp_path / "w.pth")
    weights = (
        "submit",
        "--network",
        "mynet",
        "--weights",
        tmp_path / "w.pth",
        "--dataset",
        "shapes",
        "--layer",
        "0",
    )
    first = analyze(*weights, "--wait")
    assert "Note: The tensors under 'model_state_dict' were taken." in first.stderr
    write_code(code, {**FILES, "my_models/blocks.py": BLOCKS.replace("nn.ReLU()", "nn.Identity()")})
    analyze(*ADD, "--code", code, "--replace")
    second = analyze(*weights, "--projection", "gradient", "--wait").stdout.strip()
    before, after = (analyze.json("results", job.strip()) for job in (first.stdout, second))
    assert [row["activation"] for row in before] == [row["activation"] for row in after]  # of convolutions
    assert analyze(*TRAIN).stdout.strip() != run
    analyze("verify", search)  # with the code that it was computed with


def test_a_job_that_was_imported_runs_no_code(analyze: Analyze, shapes_root: Path, tmp_path: Path) -> None:
    """Its results can be read; its code is run only when a person adds it."""
    code = write_code(tmp_path / "src")
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze(*ADD, "--code", code)
    analyze.up()
    run = analyze(*TRAIN).stdout.strip()
    analyze("export", run, tmp_path / "run.tar")
    other = Analyze(tmp_path / "other")
    try:
        other("dataset", "add", "shapes", "--root", shapes_root)
        imported = other("import", tmp_path / "run.tar")
        assert "brings along the code of network 'mynet'" in imported.stderr
        assert other.json("network", "ls") == []
        job = imported.stdout.strip()
        says = "is not run here, since it was never added"
        for words in (
            ("verify", job),
            ("submit", "--run", job, "--layer", "2", "--dataset", "shapes"),
            ("submit", "train", "--weights-of", job, "--dataset", "shapes", "--epochs", 1),
        ):
            done = other(*words, code=None)
            assert done.returncode != 0, words
            assert says in done.stderr, words
        other(*ADD, "--code", code)
        other("verify", job)
        # A worker checks it as well: here, after the network was removed from the database.
        search = other("submit", "--run", job, "--layer", "2", "--dataset", "shapes").stdout.strip()
        shutil.rmtree(code)
        other.environment["ANALYZE_USER_NETWORKS"] = "0"
        other.up()
        done = other("watch", search, code=1)
        assert "user_networks = false does not allow others" in done.stderr + done.stdout
    finally:
        other.end()


def test_a_network_is_added_from_an_imported_job(analyze: Analyze, shapes_root: Path, tmp_path: Path) -> None:
    """Another home, which has never seen the code folder. Nothing is run before a person says so."""
    mark = tmp_path / "mark"
    marking = f"from pathlib import Path\nPath({str(mark)!r}).touch()\n"
    code = write_code(tmp_path / "src", {**FILES, "my_models/blocks.py": marking + BLOCKS})
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze(*ADD, "--code", code)
    analyze.up()
    run = analyze(*TRAIN).stdout.strip()
    analyze("export", run, tmp_path / "run.tar")
    shutil.rmtree(code)
    mark.unlink()
    other = Analyze(tmp_path / "other")
    try:
        other("dataset", "add", "shapes", "--root", shapes_root)
        imported = other("import", tmp_path / "run.tar")
        job = imported.stdout.strip()
        assert f"analyze network add mynet --from-job {job}" in imported.stderr
        add = ("network", "add", "mynet", "--from-job", job, "--time-limit", 200)
        other(*add, "--extract", tmp_path / "read")
        read = {str(file.relative_to(tmp_path / "read")) for file in (tmp_path / "read").rglob("*.py")}
        assert read == set(FILES)
        assert (tmp_path / "read" / "my_models/blocks.py").read_text() == marking + BLOCKS
        for words, says in (
            (add, "--yes"),
            ((*add, "--extract", tmp_path / "read"), "not empty"),
            ((*add, "--yes", "--size", 64), "--size does not go with --from-job"),
            ((*add, "--yes", "--code", tmp_path), "--code does not go with --from-job"),
            (("network", "add", "another", *add[3:], "--yes"), "Those of the job: mynet"),
            (("network", "add", "mynet", "--yes", "--factory", FACTORY), "--yes goes with --from-job"),
            (("network", "add", "mynet"), "Give --factory, or --from-job"),
        ):
            assert says in other(*words, code=2).stderr, words
        other("network", "add", "mynet", "--from-job", 99, "--yes", code=4)
        other.environment["ANALYZE_USER_NETWORKS"] = "0"
        assert "user_networks = false" in other(*add, "--yes", code=2).stderr
        del other.environment["ANALYZE_USER_NETWORKS"]
        assert other.json("network", "ls") == []
        assert not mark.exists()
        added = other(*add, "--yes")
        assert added.stdout == "mynet\n"
        assert mark.exists()
        (row,) = other.json("network", "ls")
        (original,) = analyze.json("network", "ls")
        compared = ("name", "factory", "code", "files", "size", "mean", "std", "classes", "classes_argument")
        assert {name: row[name] for name in compared} == {name: original[name] for name in compared}
        assert (row["folder"], row["jobs"]) == (None, [int(job)])
        assert "Nothing new: mynet" in other(*add, "--yes").stderr
        other("verify", job)
        other.up()
        search = other("submit", "--run", job, "--layer", "2", "--dataset", "shapes", "--wait").stdout.strip()
        assert {row["unit"] for row in other.json("results", search)} == {*range(8)}
        assert other(*TRAIN).stdout.strip() == job  # the same code makes the same key
    finally:
        other.end()


def test_changed_code_in_the_store_is_noticed(analyze: Analyze, shapes_root: Path, tmp_path: Path) -> None:
    code = write_code(tmp_path / "src")
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    analyze(*ADD, "--code", code)
    (row,) = analyze.json("network", "ls")
    file = analyze.home / "store" / row["code"]
    os.chmod(file, 0o600)
    file.write_bytes(file.read_bytes().replace(b"nn.ReLU()", b"nn.Tanh()"))
    done = analyze("network", "show", "mynet", "--size", 48, code=None)
    assert done.returncode != 0
    assert "does not match the SHA-256 in its name" in done.stderr
