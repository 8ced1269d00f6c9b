"""``analyze network add``, ``ls``, ``show``, ``rm``: what is registered, and what is refused."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from producer.networks.arguments import parse_arguments, parse_value, written
from producer.networks.trial import run_limited
from shared.errors import NetworkNotBuilt, UsageError
from shared.store.code import read_code, source_sha256
from shared.store.store import Store
from tests import forked, programs
from tests.integration.cli.helpers import Home
from tests.own_networks import BLOCKS, FACTORY, FILES, NET, SIZE, write_code
from worker.programs.make_network import make_network

ADD = ("network", "add", "mynet", "--factory", FACTORY, "--size", SIZE, "--time-limit", 200)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory, shapes_root: Path) -> Iterator[tuple[Home, Path]]:
    """A home with a data set and a network, and the network's code folder."""
    folder = tmp_path_factory.mktemp("own")
    home = Home(folder / "home")
    home("dataset", "add", "shapes", "--root", shapes_root)
    code = write_code(folder / "src", {**FILES, "my_models/unused.py": "1 / 0"})
    done = home(*ADD, "--code", code, "--argument", "width=6")
    assert done.stdout == "mynet\n"
    yield home, code
    home.stop()


def added(home: Home) -> dict[str, Any]:
    (row,) = [row for row in home.json("network", "ls") if row["name"] == "mynet"]
    return dict(row)


# --- what is registered ---


def test_a_network_is_registered_with_the_files_that_it_imports(own: tuple[Home, Path]) -> None:
    home, code = own
    row = added(home)
    assert row["files"] == {path: source_sha256(text) for path, text in FILES.items()}
    assert row["arguments"] == {"width": 6}
    assert (row["size"], row["classes"], row["classes_argument"]) == (SIZE, 20, "classes")
    assert (row["folder"], row["package"]) == (str(code), None)
    assert read_code(Store(home.home / "store"), row["code"]) == FILES
    assert "my_models.net:make" in home("network", "ls").stdout


def test_it_is_shown_like_any_other(own: tuple[Home, Path]) -> None:
    home, _ = own
    shown = home.json("network", "show", "mynet", "--classes", 3, "--size", 48)
    assert [layer["output_shape"] for layer in shown["layers"]][-1] == [3]
    assert shown["specification"]["image_size"] == 48
    assert "mynet: 20 classes, input 3 x 32 x 32" in home("network", "show", "mynet").stdout


def test_options_of_other_networks_do_not_apply(own: tuple[Home, Path]) -> None:
    home, _ = own
    home.refused("network", "show", "mynet", "--fc", 16, code=2, says=("--fc does not apply to mynet",))
    home.refused("network", "show", "mynet", "--without", "conv3", code=2, says=("--without",))
    asked = ("submit", "train", "--dataset", "shapes", "--network", "mynet", "--maps", "4,4,4")
    home.refused(*asked, code=2, says=("--maps does not apply",))


def test_weights_for_other_classes_are_named_with_both_shapes(own: tuple[Home, Path], tmp_path: Path) -> None:
    home, _ = own
    shapes = {"0": (6, 3, 3, 3), "2": (8, 6, 3, 3), "6": (7, 8)}
    tensors = {f"{path}.weight": torch.ones(shape) for path, shape in shapes.items()}
    tensors |= {f"{path}.bias": torch.ones(shape[0]) for path, shape in shapes.items()}
    torch.save({"net": tensors}, tmp_path / "w.pth")
    words = (
        "submit",
        "--dataset",
        "shapes",
        "--network",
        "mynet",
        "--layer",
        "0",
        "--weights",
        tmp_path / "w.pth",
    )
    home.refused(*words, code=2, says=("[7, 8], not [20, 8]", "7 classes, not 20", "--classes"))
    assert home(*words, "--classes", 7).stdout.strip().isdigit()


def test_the_same_again_changes_nothing(own: tuple[Home, Path]) -> None:
    home, code = own
    before = added(home)
    done = home(*ADD, "--code", code, "--argument", "width=6")
    assert "Nothing new: mynet" in done.stderr
    assert added(home) == before


def test_changed_code_is_refused_until_it_is_added_again(own: tuple[Home, Path]) -> None:
    home, code = own
    before = added(home)
    train = ("submit", "train", "--dataset", "shapes", "--network", "mynet", "--epochs", 1)
    first = home(*train).stdout
    (code / "my_models/unused.py").write_text("2 / 0")
    assert home(*train).stdout == first  # it was not imported
    (code / "my_models/blocks.py").write_text(BLOCKS.replace("nn.ReLU()", "nn.Tanh()"))
    line = home.refused(*train, code=2, says=("has changed", "my_models/blocks.py"))
    home.refused(*ADD, "--code", code, "--argument", "width=6", code=2, says=("other code", "--replace"))
    assert added(home)["files"] == before["files"]
    command = shlex.split(line.split("`")[1])  # as the message says
    home(*command[1:], "--time-limit", 200)
    after = added(home)
    assert after["files"]["my_models/blocks.py"] != before["files"]["my_models/blocks.py"]
    assert (after["arguments"], after["earlier_versions"]) == ({"width": 6}, 1)
    second = home(*train).stdout
    assert second != first  # the code is in the key
    assert int(first) in after["jobs"]
    # Back to the first version: its jobs are the same again.
    (code / "my_models/blocks.py").write_text(BLOCKS)
    home(*ADD, "--code", code, "--argument", "width=6", "--replace")
    assert home(*train).stdout == first
    home("cancel", first.strip())
    home("cancel", second.strip())


def test_other_options_need_replace(own: tuple[Home, Path]) -> None:
    home, code = own
    again = (*ADD, "--code", code)
    home.refused(*again, "--argument", "width=7", code=2, says=("another factory", "width=6"))
    asked = ("network", "add", "mynet", "--factory", FACTORY, "--time-limit", 200, "--size", 64, "--code", code)
    home.refused(*asked, "--argument", "width=6", code=2, says=("--size 32",))


def test_a_removed_folder_does_no_harm(own: tuple[Home, Path], tmp_path: Path) -> None:
    home, code = own
    code.rename(tmp_path / "away")
    try:
        assert home.json("network", "show", "mynet")["specification"]["name"] == "mynet"
        train = ("submit", "train", "--dataset", "shapes", "--network", "mynet", "--epochs", 1, "--dry-run")
        assert "train mynet" in home(*train).stdout
    finally:
        (tmp_path / "away").rename(code)


def test_the_setting_turns_them_off(own: tuple[Home, Path]) -> None:
    home, code = own
    home.environment["ANALYZE_USER_NETWORKS"] = "false"
    try:
        for words in (
            (*ADD, "--code", code),
            ("network", "show", "mynet", "--size", 40),
            ("submit", "train", "--dataset", "shapes", "--network", "mynet"),
        ):
            home.refused(*words, code=2, says=("user_networks = false", "ANALYZE_USER_NETWORKS"))
        assert added(home)["name"] == "mynet"
        assert home("network", "show", "resnet18").stdout
    finally:
        del home.environment["ANALYZE_USER_NETWORKS"]


def test_removing(own: tuple[Home, Path]) -> None:
    home, code = own
    home("network", "add", "other", *ADD[3:], "--code", code)
    job = home("submit", "train", "--dataset", "shapes", "--network", "other", "--epochs", 2).stdout.strip()
    home("cancel", job)
    home.refused("network", "rm", "other", code=2, says=("used by job", job, "--with-jobs"))
    dry = home.json("network", "rm", "other", "--with-jobs", "--dry-run")
    assert ([row["job_id"] for row in dry["jobs"]], dry["removed"]) == ([int(job)], False)
    assert home.json("network", "rm", "other", "--with-jobs")["removed"]
    home.refused("network", "rm", "other", code=4, says=("no network of your own named 'other'", "mynet"))
    home.refused("network", "show", "other", code=4, says=("'other' is not known",))
    assert code.is_dir()


def test_garbage_collection_keeps_the_code(own: tuple[Home, Path]) -> None:
    home, code = own
    home("network", "add", "gone", *ADD[3:], "--code", code, "--argument", "classes=7")
    paths = {row["name"]: row["code"] for row in home.json("network", "ls")}
    store = home.home / "store"
    assert paths["gone"] == paths["mynet"]
    write_code(code, {"my_models/net.py": NET + "\n# changed\n"})
    try:
        home("network", "add", "gone", *ADD[3:], "--code", code, "--argument", "classes=7", "--replace")
    finally:
        write_code(code, FILES)
    changed = next(row["code"] for row in home.json("network", "ls") if row["name"] == "gone")
    for path in (paths["mynet"], changed):
        os.utime(store / path, (1, 1))
    home("gc", "--delete", "--older-than", 1, "--yes")
    assert (store / changed).is_file()
    home("network", "rm", "gone")
    home("gc", "--delete", "--older-than", 1, "--yes")
    assert not (store / changed).exists()
    assert (store / paths["mynet"]).is_file()


# --- what is refused ---

WRONG: dict[str, tuple[tuple[object, ...], str]] = {
    "no colon": (("mynet", "--factory", "my_models.net"), "not of the form my_models.net:make"),
    "a call": (("mynet", "--factory", "net:make()"), "not of the form"),
    "a path": (("mynet", "--factory", "../net:make"), "not of the form"),
    "a name of ours": (("zfnet", "--factory", FACTORY), "'zfnet' is the name of another network"),
    "a recipe": (("resnet18", "--factory", FACTORY), "'resnet18' is the name"),
    "a path as name": (("a/b", "--factory", FACTORY), "'a/b' can't be the name"),
    "a long name": (("a" * 65, "--factory", FACTORY), "can't be the name"),
    "no folder": (("mynet", "--factory", FACTORY, "--code", "nowhere"), "--code nowhere is not a folder"),
    "an argument": (("mynet", "--factory", FACTORY, "--argument", "width"), "not of the form width=64"),
    "an argument twice": (
        ("mynet", "--factory", FACTORY, "--argument", "a=1", "--argument", "a=2"),
        "a is given twice",
    ),
    "not finite": (("mynet", "--factory", FACTORY, "--argument", "a=nan"), "infinite, or NaN"),
    "a mean": (("mynet", "--factory", FACTORY, "--mean", "1,2"), "not of the form 0.485"),
    "a standard deviation": (("mynet", "--factory", FACTORY, "--std", "1,1,0"), "not positive"),
    "two numbers of classes": (
        ("mynet", "--factory", FACTORY, "--classes-argument", "k", "--argument", "k=3"),
        "by --classes, or by --argument",
    ),
}


def test_wrong_requests_are_refused_before_anything_runs(home: Home) -> None:
    calls = [(("network", "add", *words), {}) for words, _ in WRONG.values()]
    for (case, (_, says)), done in zip(WRONG.items(), home.many(calls), strict=True):
        assert done.returncode == 2, case
        assert says in done.stderr, case


def test_values_of_arguments() -> None:
    given = [
        "a=64",
        "b=abc",
        "c=0.5",
        "d=true",
        "e=[2, 2]",
        'f="64"',
        'g={"x": 1}',
        "h=null",
        "i=1979-05-27",
        "j=",
    ]
    given += ["k=a=b", "l={ x = 1 }", "m=1\nn=2", " o = 'p'"]
    assert parse_arguments(given) == {
        "a": 64, "b": "abc", "c": 0.5, "d": True, "e": [2, 2], "f": "64", "g": {"x": 1}, "h": None,
        "i": "1979-05-27", "j": "", "k": "a=b", "l": {"x": 1}, "m": "1\nn=2", "o": "p",
    }  # fmt: skip
    for value in parse_arguments(given).values():
        assert parse_value(written(value)) == value
    for wrong in ("=1", "a b=1", "1=1"):
        with pytest.raises(UsageError, match="not of the form"):
            parse_arguments([wrong])


def request_of(folder: Path | None, factory: str = "net:make", **values: Any) -> dict[str, Any]:
    given = {"name": "mynet", "arguments": {}, "size": SIZE, "classes": None, "classes_argument": None}
    return {**given, "factory": factory, "folder": str(folder) if folder else None, **values}


def test_the_network_must_accept_the_size_and_have_the_classes(tmp_path: Path) -> None:
    code = write_code(tmp_path, FILES)
    with pytest.raises(NetworkNotBuilt, match="can't process an image of 4 pixels"):
        make_network(request_of(code, FACTORY, size=4))
    made = make_network(request_of(code, FACTORY, classes=5))
    assert (made["classes"], made["classes_argument"]) == (5, "classes")
    made = make_network(request_of(code, FACTORY, arguments={"classes": 6}))
    assert (made["classes"], made["classes_argument"]) == (6, None)
    with pytest.raises(NetworkNotBuilt, match=r"it has 6 classes, not 5. Options: --classes 6, or"):
        make_network(request_of(code, FACTORY, arguments={"classes": 6}, classes=5))


def test_a_network_without_class_scores_is_noted(tmp_path: Path) -> None:
    text = "from torch import nn\ndef make():\n    return nn.Conv2d(3, 4, 3)"
    made = make_network(request_of(write_code(tmp_path, {"net.py": text})))
    assert made["classes"] == 1
    assert "not a row of class scores" in made["notes"][0]


def test_names_of_torchvision_are_reserved(tmp_path: Path) -> None:
    with pytest.raises(NetworkNotBuilt, match="name of another network"):
        make_network(request_of(write_code(tmp_path, FILES), FACTORY, name="vgg16"))


def test_installed_packages(tmp_path: Path) -> None:
    made = make_network(
        request_of(None, "torchvision.models:resnet18", classes=7, classes_argument="num_classes", size=64)
    )
    assert (made["package"], made["classes"], made["files"]) == ("torchvision", 7, {})
    for factory in ("os:getcwd", "tests.own_networks:write_code"):
        with pytest.raises(NetworkNotBuilt, match="belongs to no installed package"):
            make_network(request_of(None, factory))


def test_modules_outside_of_the_folder_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_code(tmp_path / "lib", {"my_helpers_elsewhere.py": ""})
    monkeypatch.syspath_prepend(tmp_path / "lib")
    text = "import my_helpers_elsewhere\nfrom torch import nn\ndef make():\n    return nn.Conv2d(3, 4, 3)"
    made = make_network(request_of(write_code(tmp_path / "src", {"net.py": text})))
    assert f"my_helpers_elsewhere ({tmp_path}/lib/my_helpers_elsewhere.py)" in made["notes"][0]
    assert set(made["files"]) == {"net.py"}


# --- what needs a process of its own ---

ENDINGS = {
    "prints": ("import os\nprint('{}')\nos.write(1, b'{}')\nos.system('echo 1')", None),
    "takes long": ("import time\ntime.sleep(600)", "took longer than"),
    "ends the process": ("import os\nos._exit(0)", "ended with exit code 0, without an answer"),
    "crashes": ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "ended by SIGSEGV"),
    "allocates": ("x = [bytes(2**30) for _ in range(10**6)]", "needs more memory than there is"),
    "leaves a process": ("import subprocess, sys\nsubprocess.Popen(['sleep', '600.0472'])", None),
}


def test_code_is_run_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs.fork_programs(monkeypatch)
    longest = 0.0  # of those that end, on this machine, at present
    for number, (case, (text, says)) in enumerate(ENDINGS.items()):
        net = f"{text}\nfrom torch import nn\ndef make():\n    return nn.Conv2d(3, 4, 3)"
        request = request_of(write_code(tmp_path / str(number), {"net.py": net}))
        limit = 3 * longest if case == "takes long" else 200
        start = time.monotonic()
        if says is None:
            assert run_limited("mynet", ["worker.programs.make_network"], request, limit)["files"], case
        else:
            with pytest.raises(NetworkNotBuilt) as error:
                run_limited("mynet", ["worker.programs.make_network"], request, limit)
            assert says in str(error.value), case
        longest = max(longest, time.monotonic() - start)
    assert not _sleeping()


def _sleeping() -> list[str]:
    """Return the command lines of processes that a network left."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue
        if words[:2] == [b"sleep", b"600.0472"]:
            found.append(str(file))
    return found


def test_other_files_are_missing_from_the_stored_code(fresh: Home, tmp_path: Path) -> None:
    """What works from the folder, but would fail on a worker, fails at once."""
    text = """
from pathlib import Path
from torch import nn
WIDTH = int((Path(__file__).parent / "width.txt").read_text())
def make():
    return nn.Conv2d(3, WIDTH, 3)
"""
    code = write_code(tmp_path / "src", {"net.py": text, "width.txt": "4"})
    words = (
        "network",
        "add",
        "mynet",
        "--factory",
        "net:make",
        "--size",
        SIZE,
        "--time-limit",
        200,
        "--code",
        code,
    )
    fresh("network", "ls")
    says = ("made from the folder, but not from its stored code alone", "width.txt", "Only Python files")
    fresh.refused(*words, code=2, says=says)
    assert fresh.json("network", "ls") == []


def test_nothing_of_it_runs_in_the_command(fresh: Home, tmp_path: Path) -> None:
    """Each import of the module leaves a line with the program that did it."""
    mark = tmp_path / "mark"
    text = f"""
import sys
from torch import nn
with open({str(mark)!r}, "a") as file:
    file.write(" ".join(sys.argv) + "\\n")
assert "producer.cli.main" not in sys.modules
def make():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
"""
    code = write_code(tmp_path / "src", {"net.py": text})
    fresh.environment[forked.DISABLED] = "1"  # a forked program has the modules of the server
    fresh("network", "add", "marked", "--factory", "net:make", "--size", SIZE, "--time-limit", 200, "--code", code)
    del fresh.environment[forked.DISABLED]
    imported = mark.read_text()
    assert [Path(line.split()[0]).name for line in imported.splitlines()] == ["make_network.py", "describe.py"]
    fresh("ls")
    fresh("network", "ls")
    fresh("network", "show", "marked")  # as it was described when it was added
    fresh("doctor", code=None)
    assert mark.read_text() == imported
