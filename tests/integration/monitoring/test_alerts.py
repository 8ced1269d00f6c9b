"""Alert rules, dashboard and the page of metrics, against a scrape of a service with all that they show."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections import Counter as Counting
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ruamel.yaml import YAML

from producer.service.private_redis import private_redis
from shared.database.connection import Database
from shared.database.datasets import Dataset, Image
from shared.database.schema import upgrade
from shared.jobs.broker import broker_for
from shared.jobs.ledger import Ledger
from shared.jobs.tables import LeftOutImage, Worker
from shared.settings import Settings
from tests.integration.ledger.helpers import SHA256, claimed, queued, top9
from tests.integration.monitoring.helpers import exposition, url_of
from tests.integration.monitoring.promql import used_by

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "monitoring"
PAGE = ROOT / "docs" / "operations" / "monitoring.md"
OF_PROMETHEUS = {"job", "instance"}  # labels that Prometheus adds
BUILT_IN = {"__rate_interval": "5m", "job": "unitscope"}  # variables of the dashboard's expressions

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool, of the package prometheus, is not installed"
)

Series = dict[str, list[dict[str, str]]]


@pytest.fixture(scope="module")
def scrape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scrape of a service with a running job, workers, a left-out image, Redis and a store."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home)
    database = Database(settings.resolved_database_url)
    upgrade(database)
    ledger = Ledger(database)
    with database.write() as session:
        session.add(
            Dataset(id=1, name="voc", kind="voc", root="/", options={}, fingerprint=SHA256, class_names=[])
        )
    job, _ = ledger.submit(top9(1))
    first, second = queued(ledger, job)
    ledger.complete(claimed(ledger, first))
    ledger.heartbeat(claimed(ledger, second), 16)
    ledger.worker_seen("w", "cuda:0", ["analysis"], 1)
    with database.write() as session:
        session.get_one(Worker, "w").memory_used = session.get_one(Worker, "w").memory_total = 2**30
        size = {"width": 9, "height": 9, "class_index": 0, "class_name": "cat", "object_number": 0}
        session.add(Image(id=1, dataset_id=1, path="1.jpg", sha256=SHA256, **size))
        session.flush()
        session.add(LeftOutImage(job_id=job, image_id=1, stage="search", reason="truncated", worker="w"))
    with private_redis(settings):
        yield exposition(url_of(database), home, broker=broker_for(settings))
    database.close()


@pytest.fixture(scope="module")
def series(scrape: str) -> Series:
    """The label sets of each sample name."""
    found: Series = {}
    for family in text_string_to_metric_families(scrape):
        for sample in family.samples:
            found.setdefault(sample.name, []).append(sample.labels)
    return found


def rules() -> list[dict[str, Any]]:
    (group,) = YAML(typ="safe").load(FOLDER / "alerts.yml")["groups"]
    return list(group["rules"])


def panels() -> list[dict[str, Any]]:
    return list(json.loads((FOLDER / "dashboard.json").read_text())["panels"])


def expressions() -> dict[str, tuple[str, ...]]:
    """Return each expression with the texts that use its labels, by where it is."""
    found = {
        rule["alert"]: (rule["expr"], rule["annotations"]["summary"], rule["annotations"]["description"])
        for rule in rules()
    }
    for panel in panels():
        for target in panel.get("targets", ()):
            found[f"{panel['title']}, {target['refId']}"] = target["expr"], target["legendFormat"]
    return found


@pytest.mark.parametrize("place", expressions())
def test_each_expression_uses_metrics_and_labels_that_exist(place: str, series: Series) -> None:
    used = used_by(*expressions()[place])
    assert used.metrics
    assert used.metrics <= set(series)
    labels = {label for metric in used.metrics for each in series[metric] for label in each}
    assert used.labels <= labels | OF_PROMETHEUS
    for metric, label, operator, value in used.matchers:
        if label in OF_PROMETHEUS:
            continue
        assert operator in ("=", "=~")
        values = {each[label] for each in series[metric]}
        wanted = value.split("|") if operator == "=~" else [value]
        assert set(wanted) <= values


def test_each_metric_is_on_the_dashboard_or_in_a_rule(series: Series) -> None:
    used = {metric for texts in expressions().values() for metric in used_by(*texts).metrics}
    assert {name.removesuffix("_bucket") for name in series} - {
        name.removesuffix("_bucket") for name in used
    } == set()


def test_the_page_lists_the_metrics_with_their_labels(scrape: str) -> None:
    listed = {
        name: set(re.findall(r"`(\w+)`", labels))
        for name, labels in re.findall(r"(?m)^\| `(unitscope_\w+)` \| (.*?) ?\| ", PAGE.read_text())
    }
    exported = {}
    for family in text_string_to_metric_families(scrape):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels}
        exported[name] = labels
    assert listed == exported


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    page, anchor = rule["annotations"]["runbook_url"].split("#")
    assert ROOT / page == PAGE
    assert anchor == rule["alert"].lower()
    assert f"\n### {rule['alert']}\n" in PAGE.read_text()


def test_the_page_describes_only_alerts_that_exist() -> None:
    assert set(re.findall(r"(?m)^### (\w+)$", PAGE.read_text())) == {rule["alert"] for rule in rules()}


def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_not() -> None:
    cases: dict[str, set[bool]] = {}
    for test in YAML(typ="safe").load(FOLDER / "alerts_test.yml")["tests"]:
        for case in test["alert_rule_test"]:
            cases.setdefault(case["alertname"], set()).add(bool(case["exp_alerts"]))
    assert cases == {rule["alert"]: {True, False} for rule in rules()}


def test_the_dashboard_can_be_imported() -> None:
    """Panels have their own number and place, and ask the data source that the person chooses."""
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    assert isinstance(dashboard["schemaVersion"], int)
    assert dashboard["uid"]
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["datasource", "job"]
    assert Counting(panel["id"] for panel in panels()).most_common(1)[0][1] == 1
    cells: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        taken = {
            (place["x"] + column, place["y"] + line) for column in range(place["w"]) for line in range(place["h"])
        }
        assert not taken & cells, panel["title"]
        assert max(column for column, _ in taken) < 24
        cells |= taken
        if panel["type"] != "row":
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${datasource}"}
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def promtool(*arguments: object, stdin: str = "") -> str:
    """Run promtool and return its output; it has to succeed, without a remark."""
    command = ["promtool", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_promtool
def test_promtool_accepts_rules_and_configuration() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", FOLDER / "alerts.yml")
    promtool("check", "config", FOLDER / "prometheus.yml")


@needs_promtool
def test_each_alert_fires_when_it_should_and_only_then() -> None:
    assert "SUCCESS" in promtool("test", "rules", FOLDER / "alerts_test.yml")


@needs_promtool
def test_promtool_has_no_remark_on_the_metrics(scrape: str) -> None:
    assert promtool("check", "metrics", stdin=scrape) == ""


@needs_promtool
def test_promtool_can_parse_the_dashboards_expressions(tmp_path: Path) -> None:
    found = [target["expr"] for panel in panels() for target in panel.get("targets", ())]
    for name, value in BUILT_IN.items():
        found = [expression.replace(f"${name}", value) for expression in found]
    recorded = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(found)]
    file = tmp_path / "rules.yml"
    YAML(typ="safe").dump({"groups": [{"name": "dashboard", "rules": recorded}]}, file)
    assert f"{len(found)} rules found" in promtool("check", "rules", file)
