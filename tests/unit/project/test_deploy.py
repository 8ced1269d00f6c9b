"""Static checks of the recipes in deploy/ for Kubernetes and systemd, which need neither."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from shared.kinds.specification import QUEUES
from shared.settings import Settings
from tests.unit.project.test_compose import COMPOSE, FILE, SERVICES, run_parser, with_defaults

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy" / "kubernetes"
SYSTEMD = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
URL_FILES = {f"ANALYZE_{name}_URL_FILE" for name in ("DATABASE", "QUERY_DATABASE", "REDIS")}
SETTINGS = {f"ANALYZE_{setting.upper()}" for setting in Settings.model_fields} | URL_FILES


def documents(file: Path) -> list[dict[str, Any]]:
    return list(YAML(typ="safe").load_all(file))


KUSTOMIZATION = documents(KUBERNETES / "kustomization.yaml")[0]
OBJECTS = {
    (document["kind"], document["metadata"]["name"]): document
    for file in sorted(KUBERNETES.glob("*.yaml"))
    if file.name != "kustomization.yaml"
    for document in documents(file)
}
PODS = {
    name: document["spec"]["template"]
    for (_, name), document in OBJECTS.items()
    if "template" in document.get("spec", {})
}
OURS = sorted(name for name in PODS if name.startswith("unitscope-"))


def container(name: str) -> dict[str, Any]:
    (found,) = PODS[name]["spec"]["containers"]
    return dict(found)


def seconds(text: str) -> float:
    return float(re.sub("s$|min$", "", text)) * (60 if text.endswith("min") else 1)


# --- Kubernetes ----------------------------------------------------------------------------------


def test_objects() -> None:
    """They were checked against the schemas of Kubernetes 1.30 and 1.37 with `kubernetes-validate --strict`."""
    assert PODS.keys() == {
        *("unitscope-worker-cpu", "unitscope-worker-gpu", "unitscope-migrate", "unitscope-metrics"),
        *("postgres", "redis"),
    }
    assert [name for (_, name), document in OBJECTS.items() if "namespace" in document["metadata"]] == []
    files = {file.name for file in KUBERNETES.glob("*.yaml")}
    optional = {"kustomization.yaml", "secret.example.yaml", "servers.yaml"}
    assert set(KUSTOMIZATION["resources"]) == files - optional
    assert "# - servers.yaml" in (KUBERNETES / "kustomization.yaml").read_text()


@pytest.mark.parametrize("name", sorted(PODS))
def test_pod_is_confined(name: str) -> None:
    pod = PODS[name]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False  # ANALYZE_... of a service would be an unknown setting
    context = pod["securityContext"]
    assert context["runAsNonRoot"] is True
    assert isinstance(context["runAsUser"], int)
    assert context["runAsUser"] > 0
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC", "serviceAccountName"}
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    resources = container(name)["resources"]
    assert resources["requests"].keys() == {"cpu", "memory"}
    assert "memory" in resources["limits"]


@pytest.mark.parametrize("name", OURS)
def test_users_are_those_of_the_image(name: str) -> None:
    context = PODS[name]["spec"]["securityContext"]
    user = f"USER {context['runAsUser']}:{context['runAsGroup']}"
    assert user in (ROOT / "Dockerfile").read_text().splitlines()


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_servers_are_those_of_the_compose_file(name: str) -> None:
    """They have its images, users and configurations."""
    assert container(name)["image"] == with_defaults(SERVICES[name]["image"])
    context = PODS[name]["spec"]["securityContext"]
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == SERVICES[name]["user"]
    data = OBJECTS["ConfigMap", f"{name}-configuration"]["data"]
    files = [ROOT / FILE["configs"][config["source"]]["file"] for config in SERVICES[name]["configs"]]
    assert data == {file.name: file.read_text() for file in files}
    assert ("Service", name) in OBJECTS


def test_redis_gets_its_password_as_in_the_compose_file() -> None:
    script, same = container("redis")["command"][2], SERVICES["redis"]["command"][2]
    assert script == same.replace("$$", "$").replace("/etc/redis.conf", "/etc/redis/redis.conf")


@pytest.mark.parametrize("name", sorted(PODS))
def test_volumes_selectors_and_references_exist(name: str) -> None:
    pod = PODS[name]["spec"]
    owner = next(
        document for (_, other), document in OBJECTS.items() if other == name and "template" in document["spec"]
    )
    claims = {claim["metadata"]["name"] for claim in owner["spec"].get("volumeClaimTemplates", [])}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container(name)["volumeMounts"]} == volumes.keys() | claims
    for volume in volumes.values():
        if "configMap" in volume:
            assert ("ConfigMap", volume["configMap"]["name"]) in OBJECTS
        if "persistentVolumeClaim" in volume:
            assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in OBJECTS
    if "selector" in owner["spec"]:
        assert owner["spec"]["selector"]["matchLabels"] == PODS[name]["metadata"]["labels"]


def test_services_select_pods() -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in PODS.items()}
    for (kind, name), service in OBJECTS.items():
        if kind == "Service":
            assert service["spec"]["selector"] == labels[name]
            assert service["spec"].get("type", "ClusterIP") == "ClusterIP"  # not reachable from outside


@pytest.mark.parametrize("name", OURS)
def test_settings_of_pods(name: str) -> None:
    """Passwords come from files of a Secret, and all folders are writable volumes."""
    assert container(name)["envFrom"] == [{"configMapRef": {"name": "unitscope-settings"}}]
    settings = OBJECTS["ConfigMap", "unitscope-settings"]["data"]
    variables = {variable["name"] for variable in container(name).get("env", [])}
    assert settings.keys() | variables - {"NVIDIA_DRIVER_CAPABILITIES"} <= SETTINGS
    mounts = {mount["mountPath"]: mount for mount in container(name)["volumeMounts"]}
    for setting in ("ANALYZE_HOME", "ANALYZE_STORE"):
        assert "readOnly" not in mounts[settings[setting]]
    keys = OBJECTS["Secret", "unitscope"]["stringData"]
    for setting in URL_FILES & settings.keys():
        assert Path(settings[setting]).name in keys
        assert mounts[str(Path(settings[setting]).parent)]["readOnly"] is True
    (secret,) = [volume["secret"] for volume in PODS[name]["spec"]["volumes"] if "secret" in volume]
    assert secret["secretName"] == "unitscope"


@pytest.mark.parametrize("name", ["unitscope-worker-cpu", "unitscope-worker-gpu"])
def test_workers_have_probes_and_time_to_stop(name: str) -> None:
    arguments = container(name)["args"]
    options = dict(zip(arguments[1::2], arguments[2::2], strict=True))
    assert set(options["--queues"].split(",")) <= set(QUEUES)
    assert PODS[name]["spec"]["terminationGracePeriodSeconds"] >= seconds(options["--grace"]) + 20
    for probe in ("readinessProbe", "livenessProbe"):
        assert container(name)[probe]["exec"]["command"] == ["analyze", "doctor", "--quiet"]
        assert container(name)[probe]["timeoutSeconds"] >= 10
    alive = container(name)["livenessProbe"]
    assert alive["periodSeconds"] * alive["failureThreshold"] >= 600  # an upgrade of a server restarts no worker


def test_gpu_worker_gets_one_gpu() -> None:
    assert container("unitscope-worker-gpu")["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "cuda:0" in container("unitscope-worker-gpu")["args"]
    variables = {v["name"]: v["value"] for v in container("unitscope-worker-gpu")["env"]}
    assert "utility" in variables["NVIDIA_DRIVER_CAPABILITIES"].split(",")  # nvidia-smi


def test_images_are_replaced_by_the_kustomization() -> None:
    named = {image["name"] for image in KUSTOMIZATION["images"]}
    assert {container(name)["image"] for name in OURS} == named == {"unitscope-cpu", "unitscope-cuda"}


@pytest.mark.parametrize("name", OURS)
def test_commands_of_pods_exist(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_parser(monkeypatch, container(name)["args"]) is None


# --- systemd -------------------------------------------------------------------------------------


def unit(file: Path) -> dict[str, list[str]]:
    """Return the values of each key of a unit; keys can be repeated."""
    values: dict[str, list[str]] = {}
    for line in file.read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            name, _, value = line.partition("=")
            values.setdefault(name, []).append(value)
    return values


def analyze_commands(file: Path) -> Iterator[list[str]]:
    for name, values in unit(file).items():
        if name.startswith("Exec"):
            for value in values:
                program, *arguments = value.split()
                assert program == "/opt/unitscope/bin/analyze"
                yield arguments


@pytest.mark.parametrize("file", SYSTEMD, ids=lambda file: file.name)
def test_unit_is_valid(file: Path, tmp_path: Path) -> None:
    if not (program := shutil.which("systemd-analyze")):
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / file.name
    copy.write_text(file.read_text().replace("/opt/unitscope/bin/analyze", "/bin/true"))
    done = subprocess.run([program, "verify", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("file", SYSTEMD, ids=lambda file: file.name)
def test_unit_is_confined_and_has_existing_settings(file: Path) -> None:
    values = unit(file)
    assert values["User"] == ["unitscope"]
    for name in ("NoNewPrivileges", "PrivateTmp", "RestrictSUIDSGID", "LockPersonality"):
        assert values[name] == ["yes"]
    assert values["ProtectSystem"] == ["strict"]
    assert values["CapabilityBoundingSet"] == values["AmbientCapabilities"] == [""]
    given = dict(word.split("=") for line in values["Environment"] for word in line.split())
    assert given.keys() <= SETTINGS
    credentials = {credential.partition(":")[0] for credential in values["LoadCredential"]}
    assert {given[name] for name in URL_FILES & given.keys()} == {f"%d/{name}" for name in credentials}
    assert given["ANALYZE_HOME"] == f"/var/lib/{values['StateDirectory'][0]}"


def test_units() -> None:
    assert [file.name for file in SYSTEMD] == ["unitscope-metrics.service", "unitscope-worker.service"]
    worker = unit(SYSTEMD[1])
    store = dict(word.split("=") for line in worker["Environment"] for word in line.split())["ANALYZE_STORE"]
    assert worker["ReadWritePaths"] == [store]
    # With the default, systemd would signal the worker processes, too, which then would not finish their shards.
    assert worker["KillMode"] == ["mixed"]
    assert "PrivateDevices" not in worker  # GPUs
    arguments = worker["ExecStart"][0].split()
    grace = arguments[arguments.index("--grace") + 1]
    assert seconds(worker["TimeoutStopSec"][0]) >= seconds(grace) + 20


@pytest.mark.parametrize("file", SYSTEMD, ids=lambda file: file.name)
def test_commands_of_units_exist(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = list(analyze_commands(file))
    assert commands
    for arguments in commands:
        assert run_parser(monkeypatch, arguments) is None


def test_compose_file_uses_the_recipes() -> None:
    """No file in deploy/compose is left over."""
    used = set(re.findall(r"deploy/compose/([\w-]+\.\w+)", COMPOSE.read_text()))
    assert used == {file.name for file in (ROOT / "deploy" / "compose").iterdir()}
