"""Jobs of a real worker, watched through the gallery of a server process."""

from __future__ import annotations

import json
import re
import shutil
import time
import urllib.request
from pathlib import Path
from typing import Any

from tests.acceptance.conftest import FC, SIZE
from tests.conftest import Analyze

SERVED = re.compile(r"The gallery is at (http://127\.0\.0\.1:\d+)")
SECONDS = 120


def serve(analyze: Analyze) -> str:
    """Start a server on a free port and return its address."""
    process = analyze.start("serve", "--port", 0)
    analyze.wait(lambda: SERVED.search(analyze.log()) is not None, process)
    found = SERVED.search(analyze.log())
    assert found
    return found[1]


def get(address: str) -> str:
    with urllib.request.urlopen(address, timeout=30) as answer:  # noqa: S310
        text: str = answer.read().decode()
    return text


def submit(analyze: Analyze, weights: Path, *options: object) -> str:
    return analyze(
        "submit", "--dataset", "shapes", "--split", "trainval", "--weights", weights, "--network", "zfnet",
        "--size", SIZE, "--fc", FC, *options,
    ).stdout.strip()  # fmt: skip


def watch(address: str, job: str) -> list[dict[str, Any]]:
    """Read the job's page until the job has ended, and return what it showed each time."""
    deadline, seen = time.monotonic() + SECONDS, []
    while True:
        seen.append(json.loads(get(f"{address}/jobs/{job}.json")))
        if not seen[-1]["active"]:
            return seen
        assert time.monotonic() < deadline, seen[-1]
        time.sleep(0.1)


def test_a_job_is_watched_until_it_is_done(analyze_on: Analyze, shapes_root: Path, weights: Path) -> None:
    analyze = analyze_on
    analyze("dataset", "add", "shapes", "--root", shapes_root)
    address = serve(analyze)
    job = submit(analyze, weights, "--layers", "1,5", "--units", "0-3")
    waiting = json.loads(get(f"{address}/jobs/{job}.json"))
    assert (waiting["state"], waiting["share"]) == ("queued", 0)
    assert "waits for a worker: none that is running serves" in waiting["waits"]
    assert 'hx-trigger="every 2s' in get(f"{address}/jobs/{job}/live")
    analyze.up()
    seen = watch(address, job)
    shares = [page["share"] for page in seen]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    states = list(dict.fromkeys(page["state"] for page in seen))
    assert states in (["queued", "running", "done"], ["running", "done"])
    workers = {shard["worker"] for page in seen for shard in page["running"]}
    assert {row["name"] for row in json.loads(get(f"{address}/workers.json"))["workers"]} >= workers
    done = seen[-1]
    assert [link["title"] for link in done["links"]] == ["conv1", "conv5", "Report"]
    for link in done["links"]:
        assert get(address + link["address"])
    assert done["summary"]["layers"]
    assert done["events"][-1]["message"] == "job done"
    assert "hx-trigger" not in get(f"{address}/jobs/{job}")
    front = json.loads(get(f"{address}/index.json"))
    assert front["active"] == []
    assert front["found"][0]["job_id"] == int(job)
    images = json.loads(get(f"{address}/datasets/shapes.json"))["shown"]
    of_images = [json.loads(get(f"{address}/images/{image['id']}.json"))["found"] for image in images]
    assert any(of_images)  # it is among the top images of a unit
    answer = json.loads(get(f"{address}/sql.json?q=SELECT+count(*)+AS+n+FROM+units"))
    assert (answer["error"], answer["rows"]) == ("", [{"n": 8}])
    views = {table["name"]: table["columns"] for table in answer["schema"] if table["view"]}
    assert "projection_largest" in views["top_activations"]
    found = [json.loads(get(f"{address}/jobs.json?text={words}"))["jobs"] for words in ("CONV5+zfnet", "conv4")]
    assert [len(jobs) for jobs in found] == [1, 0]
    assert len(json.loads(get(f"{address}/jobs/{job}/shards.json?state=done"))["shards"]) == done["shards_total"]


def test_a_job_fails_while_it_is_watched(
    analyze: Analyze, shapes_root: Path, weights: Path, tmp_path: Path
) -> None:
    root = tmp_path / "shapes"
    shutil.copytree(shapes_root, root)
    analyze("dataset", "add", "shapes", "--root", root)
    job = submit(analyze, weights, "--layer", "5", "--units", "0")
    address = serve(analyze)
    shutil.rmtree(root)
    analyze.up()
    failed = watch(address, job)[-1]
    assert failed["state"] == "failed"
    assert failed["retry"] == f"analyze retry {job}"
    assert failed["error"]
    shown = get(f"{address}/jobs/{job}")
    assert str(root) in shown
    assert f"analyze retry {job}" in shown
    assert "hx-trigger" not in shown
