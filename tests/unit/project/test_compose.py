"""Static checks of the Compose file, the Dockerfile and .dockerignore, which need no Docker."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from producer.cli.main import cli
from producer.service.devices import parse_devices
from producer.service.supervisor import STOP_SECONDS
from shared.kinds.specification import QUEUES
from shared.settings import Settings

ROOT = Path(__file__).parents[3]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
END_BY_THEMSELVES = {"migrate", "cli"}

FILE: dict[str, Any] = YAML(typ="safe").load(COMPOSE)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "unitscope:${TORCH:-cuda}"}
SERVERS = ("postgres", "redis")


def check_schema(file: Path) -> subprocess.CompletedProcess[str]:
    """Check a file against the schema of the Compose specification, which is part of check-jsonschema."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_compose_file_is_valid_for_the_schema() -> None:
    done = check_schema(COMPOSE)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("healthcheck:", "healthchek:"),
        ("restart: unless-stopped", "restart: [always]"),
        ("read_only: true", "readonly: true"),
    ],
)
def test_schema_check_refuses_a_broken_file(right: str, wrong: str, tmp_path: Path) -> None:
    broken = tmp_path / "docker-compose.yml"
    broken.write_text(COMPOSE.read_text().replace(right, wrong))
    done = check_schema(broken)
    assert done.returncode == 1
    assert "Schema validation errors" in done.stdout


# --- Services ------------------------------------------------------------------------------------


def test_only_the_gallery_publishes_a_port_and_only_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"gallery": ["${GALLERY_ADDRESS:-127.0.0.1}:${GALLERY_PORT:-8080}:8080"]}
    assert [name for name, service in SERVICES.items() if "network_mode" in service] == []


def test_the_gallery_asks_for_its_token() -> None:
    command = SERVICES["gallery"]["command"]
    assert command[command.index("--token-file") + 1] == "/run/secrets/gallery_token"
    assert "--public" not in command
    assert [name for name, service in SERVICES.items() if "gallery_token" in service.get("secrets", [])] == [
        "gallery"
    ]
    (code,) = SERVICES["gallery"]["healthcheck"]["test"][3:]
    compile(code, "healthcheck", "exec")
    assert "http://127.0.0.1:8080/static/" in code  # which needs no token


def test_services_of_the_file_are_ours_or_servers() -> None:
    assert SERVICES.keys() == OURS.keys() | set(SERVERS)


def test_redis_keeps_its_queues() -> None:
    redis = SERVICES["redis"]
    assert redis["configs"] == [{"source": "redis", "target": "/etc/redis.conf"}]
    lines = (ROOT / FILE["configs"]["redis"]["file"]).read_text().splitlines()
    options = dict(line.split(" ", 1) for line in lines if not line.startswith("#"))
    assert options["appendonly"] == "yes"
    assert f"redis:{options['dir']}" in redis["volumes"]


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_passwords_are_files(name: str) -> None:
    """They are neither in the environment nor in arguments, which `docker inspect` and `ps` show."""
    service = SERVICES[name]
    text = str([service.get(key) for key in ("environment", "command", "entrypoint", "healthcheck")])
    named = re.findall(r"/run/secrets/(\w+)", text)
    assert set(named) <= set(service["secrets"]) <= FILE["secrets"].keys()
    assert "PASSWORD" not in text.replace("POSTGRES_PASSWORD_FILE", "")
    assert not re.search(r"://[^/@]*:[^/@]*@", text)


def test_secrets_and_configs_are_files() -> None:
    """Compose can't mount others into a container whose root is read-only."""
    for kind in ("secrets", "configs"):
        assert {tuple(source) for source in FILE[kind].values()} == {("file",)}
    assert [source["file"] for source in FILE["configs"].values() if not (ROOT / source["file"]).is_file()] == []
    assert {name: source["file"] for name, source in FILE["secrets"].items()} == {
        name: f"${{SECRETS:-./secrets}}/{name}" for name in FILE["secrets"]
    }
    assert {"/secrets/", ".env"} <= set((ROOT / ".gitignore").read_text().splitlines())


def test_each_service_gets_only_its_passwords() -> None:
    assert {name: service["secrets"] for name, service in SERVICES.items() if name in SERVERS} == {
        "redis": ["redis_password"],
        "postgres": ["postgres_password", "database_password", "query_password"],
    }
    for service in OURS.values():
        assert "postgres_password" not in service["secrets"]


# --- Limits of what a service can do -------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert not service.keys() & {"cap_add", "privileged", "pid", "ipc", "devices"}
    assert service["logging"]["driver"] == "json-file"
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_service_has_a_memory_limit(name: str) -> None:
    assert re.fullmatch("[1-9][0-9]*g", with_defaults(SERVICES[name]["mem_limit"]))


@pytest.mark.parametrize("name", SERVERS)
def test_servers_run_as_a_numeric_user_in_a_pinned_version(name: str) -> None:
    assert re.fullmatch("[1-9][0-9]*:[1-9][0-9]*", SERVICES[name]["user"])
    assert re.fullmatch(r"\$\{" + name.upper() + r"_IMAGE:-\w+:[0-9]+\.[0-9.]+[\w.-]*\}", SERVICES[name]["image"])


def test_variables_of_the_file_are_described_at_its_beginning() -> None:
    text = COMPOSE.read_text()
    described = text[: text.index("\nname: ")]
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", text[text.index("\nname: ") :]))
    assert {variable for variable in used if variable not in described} == set()


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - END_BY_THEMSELVES))
def test_long_running_service_has_a_health_check_and_is_restarted(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", sorted(OURS.keys() - {"migrate"}))
def test_own_services_start_after_schema_and_servers(name: str) -> None:
    conditions = {other: dependency["condition"] for other, dependency in OURS[name]["depends_on"].items()}
    assert conditions == {
        "migrate": "service_completed_successfully",
        "redis": "service_healthy",
        "postgres": "service_healthy",
    }


@pytest.mark.parametrize("name", sorted(OURS))
def test_own_services_have_existing_settings_and_the_same_folders(name: str) -> None:
    known = {f"ANALYZE_{setting.upper()}" for setting in Settings.model_fields}
    files = {f"ANALYZE_{setting}_URL_FILE" for setting in ("DATABASE", "QUERY_DATABASE", "REDIS")}
    assert OURS[name]["environment"].keys() <= known | files
    assert OURS[name]["volumes"] == ["data:/data", "${DATASETS:-./datasets}:/datasets:ro"]


def test_gpu_worker_reserves_devices() -> None:
    (device,) = SERVICES["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert (device["driver"], device["count"]) == ("nvidia", "all")
    assert "gpu" in device["capabilities"]
    assert "utility" in device["capabilities"]  # nvidia-smi
    assert SERVICES["worker-gpu"]["profiles"] == ["gpu"]


def test_workers_are_given_time_to_stop() -> None:
    for name in ("worker-gpu", "worker-cpu"):
        assert float(SERVICES[name]["stop_grace_period"].removesuffix("s")) > STOP_SECONDS


def test_postgres_volume_is_at_the_path_of_version_18() -> None:
    assert "postgres:18." in SERVICES["postgres"]["image"]
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]


def test_one_service_builds_the_image() -> None:
    assert [name for name, service in SERVICES.items() if "build" in service] == ["migrate"]
    assert {service["pull_policy"] for service in OURS.values()} == {"never"}


# --- Commands ------------------------------------------------------------------------------------


def with_defaults(argument: str) -> str:
    """Replace ``${NAME:-default}`` by ``default``."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", argument)


def analyze_commands() -> dict[str, list[str]]:
    """Return the arguments of each ``analyze`` command by location, including those in comments."""
    commands = {}
    for name, service in OURS.items():
        commands[name] = [with_defaults(argument) for argument in service["command"]]
        if "healthcheck" in service:
            kind, program, *arguments = service["healthcheck"]["test"]
            assert (kind, program) == ("CMD", "python" if name in ("metrics", "gallery") else "analyze")
            if program == "analyze":
                commands[f"{name} healthcheck"] = arguments
    for line in re.findall(r"# +docker compose run --rm cli (.*)", COMPOSE.read_text()):
        commands[line] = shlex.split(line)
    return commands


def run_parser(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> str | None:
    """Return the command line's error for the arguments, without running the command."""
    monkeypatch.setattr(click.Command, "invoke", lambda command, context: None)
    result = CliRunner().invoke(cli, arguments)
    return result.output + str(result.exception) if result.exit_code else None


@pytest.mark.parametrize("where", analyze_commands())
def test_every_command_exists(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_parser(monkeypatch, analyze_commands()[where]) is None


@pytest.mark.parametrize("name", ["worker-gpu", "worker-cpu"])
def test_worker_names_devices_and_queues_that_exist(name: str) -> None:
    arguments = analyze_commands()[name]
    options = dict(zip(arguments[1::2], arguments[2::2], strict=True))
    assert parse_devices(options["--devices"]).devices
    assert set(options["--queues"].split(",")) <= set(QUEUES)


@pytest.mark.parametrize("wrong", ["wrk --devices all", "worker --device-list all", "db up", "doctor --silent"])
def test_command_check_refuses_unknown_commands_and_options(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No such" in (run_parser(monkeypatch, wrong.split()) or "")


# --- Dockerfile ----------------------------------------------------------------------------------


def test_exporter_is_checked_at_the_address_that_it_serves() -> None:
    command = analyze_commands()["metrics"]
    assert command == ["metrics", "--port", "9464", "--address", "0.0.0.0"]  # noqa: S104
    assert SERVICES["metrics"]["expose"] == ["9464"]
    (code,) = SERVICES["metrics"]["healthcheck"]["test"][3:]
    compile(code, "healthcheck", "exec")
    assert "http://127.0.0.1:9464/metrics" in code


def copied() -> set[str]:
    """Return the paths that the Dockerfile copies from the repository."""
    lines = re.findall(r"^COPY (.*) \S+$", DOCKERFILE, re.MULTILINE)
    return {source for line in lines for source in line.split()}


def test_dockerfile_copies_every_package_and_the_build_files() -> None:
    packages = {file.parent.name for file in ROOT.glob("*/__init__.py")} - {"tests", "benchmarks"}
    assert packages == {"unitscope", "producer", "shared", "worker", "migrations"}
    assert copied() == packages | {"pyproject.toml", "constraints.txt", "README.md", "LICENSE"}
    assert [name for name in copied() if not (ROOT / name).exists()] == []


def test_dockerfile_installs_under_the_constraints() -> None:
    installs = re.findall(r"pip install (.*)$", DOCKERFILE, re.MULTILINE)
    assert installs[0] == '--constraint constraints.txt ${index:+--extra-index-url "$index"} .'
    assert all("--no-deps" in install for install in installs[1:])  # otherwise it would upgrade pinned packages


def test_image_runs_analyze_as_an_ordinary_user() -> None:
    assert 'ENTRYPOINT ["analyze"]' in DOCKERFILE
    assert "STOPSIGNAL SIGTERM" in DOCKERFILE
    assert DOCKERFILE.index("\nUSER 1000:1000\n") < DOCKERFILE.index("\nENTRYPOINT")
    assert [name for name, service in OURS.items() if "entrypoint" in service or "user" in service] == []


@pytest.mark.parametrize(
    ("torch", "code", "installs"),
    [
        ("cuda", 0, "--constraint constraints.txt ."),
        ("cpu", 0, "--constraint constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu ."),
        ("gpu", 2, ""),
        ("", 2, ""),
    ],
)
def test_build_argument_chooses_pytorch(torch: str, code: int, installs: str, tmp_path: Path) -> None:
    """The step of the Dockerfile is run with a pip that prints its arguments."""
    (tmp_path / "pip").write_text('#!/bin/sh\nshift; echo "$@"\n')
    (tmp_path / "pip").chmod(0o755)
    (step,) = re.findall(r"^ARG TORCH=cuda\nRUN (.*?[^\\])$", DOCKERFILE, re.MULTILINE | re.DOTALL)
    environment = {"PATH": f"{tmp_path}:{os.defpath}", "TORCH": torch}
    done = subprocess.run(["sh", "-c", step], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (code, installs)


def test_versions_of_images_are_exact() -> None:
    """PYTHON_IMAGE has the same default in both files."""
    image = SERVICES["migrate"]["build"]["args"]["PYTHON_IMAGE"]
    (default,) = re.findall("^ARG PYTHON_IMAGE=(.*)$", DOCKERFILE, re.MULTILINE)
    assert image == f"${{PYTHON_IMAGE:-{default}}}"
    assert re.fullmatch(r"python:3\.[0-9]+\.[0-9]+-slim-\w+", default)
    assert re.findall("^FROM (.*)$", DOCKERFILE, re.MULTILINE) == ["${PYTHON_IMAGE}"]


def test_dockerignore_includes_only_copied_paths() -> None:
    """In particular, it excludes .git, .venv and .env."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    assert {pattern[1:] for pattern in patterns if pattern.startswith("!")} == copied()
    assert "**/__pycache__" in patterns
