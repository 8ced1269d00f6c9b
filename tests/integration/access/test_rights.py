"""Files and folders created by the program are accessible only to their owner, regardless of the umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Analyze


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Set a umask of 0, which child processes inherit."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_to_others(root: Path) -> list[str]:
    """Return files, folders and sockets with permissions for group or others."""
    paths = [root, *root.rglob("*")]
    return sorted(
        f"{path.relative_to(root.parent)}: {stat.S_IMODE(path.lstat().st_mode):o}"
        for path in paths
        if path.lstat().st_mode & 0o077 and not path.is_symlink()
    )


def test_a_run_creates_only_private_files(tmp_path: Path, network_options: list[str], open_umask: None) -> None:
    analyze = Analyze(tmp_path / "home")
    analyze("dataset", "add", "shapes", "--images", "60")
    up = analyze.up()
    (analyze.home / "started.log").chmod(0o600)  # created by the test
    asked = ("submit", "--layer", "5", "--units", "0-1", "--dataset", "shapes", *network_options, "--wait")
    job = analyze(*asked).stdout.strip()
    training = ("--network", "zfnet", "--size", "64", "--fc", "16", "--epochs", "1", "--wait")
    analyze("submit", "train", "--dataset", "shapes", *training)
    analyze("results", job, "--html", analyze.home / "pages" / "page.html")
    paths = open_to_others(analyze.home)
    names = {path.name for path in analyze.home.rglob("*")}
    up.terminate()
    up.wait(60)
    assert {"redis.sock", "redis.password", "redis.conf", "redis.log", "unitscope.sqlite3", "page.html"} <= names
    assert any(name.endswith(".pixels") for name in names)
    assert any(name.endswith(".safetensors") for name in names)
    assert paths == []
    assert open_to_others(analyze.home) == []
