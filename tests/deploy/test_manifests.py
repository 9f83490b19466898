"""What compose, Kubernetes and systemd are told agrees with the server: settings, routes, metrics, limits and paths."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.dockerfile import read, stages
from voicebot.observe.families import Families
from voicebot.server.lifecycle import END_LIMIT_S
from voicebot.server.serve import AFTERMATH_S
from voicebot.settings import Settings, read_settings
from voicebot.store.opening import data_folder

DEPLOY = Path(__file__).parents[2] / "deploy"
VARIABLE = re.compile(r"\b(?:VOICEBOT|TWILIO|OPENAI|OTEL)_[A-Z_]+\b")
SETTINGS = {str(field.validation_alias): field for field in Settings.model_fields.values()}
SECRET = {
    *("OPENAI_API_KEY", "TWILIO_AUTH_TOKEN", "VOICEBOT_SECRET", "VOICEBOT_API_TOKEN", "VOICEBOT_API_TOKENS"),
    *("VOICEBOT_WEBHOOK_SECRET", "VOICEBOT_RECEIVER_SECRETS", "VOICEBOT_RECORDING_KEY"),
}
# From the drain limit on: calls are handed over, those left are ended, the last words are said, the server is closed.
AFTER_THE_DRAIN_S = 3 * END_LIMIT_S + AFTERMATH_S + 1.0
FINAL = stages(read(DEPLOY / "docker" / "Dockerfile"))[""]
OF_IMAGE = {step.name: step.words for step in FINAL}


def yaml_files() -> list[Path]:
    return sorted(path for path in DEPLOY.rglob("*") if path.suffix in (".yaml", ".yml"))


def documents(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def one_of(kind: str) -> dict[str, Any]:
    """The manifest of a kind; of several, the first one."""
    found = (one for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for one in documents(path))
    return next(one for one in found if one.get("kind") == kind)


def seconds(text: str) -> float:
    """A time as compose and systemd write it."""
    found = re.fullmatch(r"(\d+)s?", text)
    assert found is not None
    return float(found[1])


def words(value: object) -> Iterator[str]:
    """All strings in a document."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield str(key)
            yield from words(one)
    elif isinstance(value, list):
        for one in value:
            yield from words(one)
    else:
        yield str(value)


# ---- every file ------------------------------------------------------------------------------------------------------


def texts() -> dict[str, str]:
    """All files that are used as they are, by their path; lock files and pictures are not."""
    kinds = (".yaml", ".yml", ".service", ".conf", ".example", ".json", "")
    found = (path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and path.suffix in kinds)
    return {str(path.relative_to(DEPLOY)): path.read_text(encoding="utf-8") for path in found}


@pytest.mark.parametrize("path", [pytest.param(path, id=path.name) for path in yaml_files()])
def test_yaml_file_can_be_read(path: Path) -> None:
    assert all(isinstance(one, dict) for one in documents(path))


@pytest.mark.parametrize("name", texts())
def test_every_setting_that_a_file_names_exists(name: str) -> None:
    assert set(VARIABLE.findall(texts()[name])) - SETTINGS.keys() == set()


@pytest.mark.parametrize("name", [*texts(), "docker/requirements.txt", "docker/requirements-build.txt"])
def test_file_names_no_place_of_somebodys(name: str) -> None:
    """No index, no registry, no folder of whoever wrote it."""
    text = (DEPLOY / name).read_text(encoding="utf-8")
    assert not re.search(r"--(?:(?:extra-)?index(?:-url)?\b|find-links|trusted-host)|://\S*/simple\b", text)
    assert "://" not in text or not name.startswith("docker/requirements")
    assert not re.search(r"/(?:root|home)/\w|/tmp/\w", text.replace("--home-dir", ""))


# ---- compose ---------------------------------------------------------------------------------------------------------

COMPOSE = documents(DEPLOY / "compose" / "compose.yaml")[0]
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
INSTANCES = {name: one for name, one in SERVICES.items() if one["image"] == "voicebot"}


def example_file() -> dict[str, str]:
    lines = (DEPLOY / "compose" / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def filled_in(given: Mapping[str, str]) -> dict[str, str]:
    """Settings with what a person fills in."""
    mine = {
        "OPENAI_API_KEY": "sk-example",
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": "0" * 32,
        "VOICEBOT_SECRET": "s" * 32,
        "VOICEBOT_API_TOKEN": "t" * 32,
        "VOICEBOT_API_TOKENS": "prometheus=read:" + "r" * 32,
        "VOICEBOT_WEBHOOK_URL": "https://crm.example.com/voicebot",
        "VOICEBOT_WEBHOOK_SECRET": "whsec_" + "c2Vj" * 10,
        "VOICEBOT_RECORDING_KEY": "AAAA" * 10 + "AAA=",
        "VOICEBOT_STORE": "redis://redis:6379/0",
    }
    return {name: value or mine[name] for name, value in given.items()}


def test_compose_has_two_instances_that_differ_by_name_only() -> None:
    apart = []
    for name, one in INSTANCES.items():
        assert one["environment"]["VOICEBOT_INSTANCE"] == name
        environment = {key: value for key, value in one["environment"].items() if key != "VOICEBOT_INSTANCE"}
        apart.append({**one, "environment": environment, "networks": one["networks"].keys()})
    first, second = apart
    assert first == second


def test_nginx_knows_the_instances_of_compose() -> None:
    text = (DEPLOY / "nginx" / "instances.conf").read_text(encoding="utf-8")
    port = OF_IMAGE["EXPOSE"][0]
    assert set(re.findall(r"server (\S+:\d+)", text)) == {f"{name}:{port}" for name in INSTANCES}
    names = {one["environment"]["VOICEBOT_INSTANCE"] for one in INSTANCES.values()}
    assert names <= set(re.findall(r"^\s+(\S+) \S+;$", text, re.MULTILINE))


@pytest.mark.parametrize("name", INSTANCES)
def test_compose_and_its_example_are_settings_that_serve(name: str) -> None:
    settings = read_settings(None, **{**filled_in(example_file()), **INSTANCES[name]["environment"]})
    settings.require_serving()
    assert settings.secret_texts
    assert seconds(INSTANCES[name]["stop_grace_period"]) >= settings.drain_s + AFTER_THE_DRAIN_S


def test_secrets_stand_in_no_file_that_is_kept() -> None:
    assert {one for one in words(COMPOSE) if one in SECRET} == set()
    given = {name: value for name, value in example_file().items() if name in SECRET}
    assert given == dict.fromkeys(given, "")
    assert set(one_of("ConfigMap")["data"]) & SECRET == set()
    assert set(one_of("Secret")["stringData"].values()) == {""}


def test_compose_takes_folders_of_the_image() -> None:
    for one in INSTANCES.values():
        targets = [volume.split(":")[1] for volume in one["volumes"]]
        assert OF_IMAGE["VOLUME"][0] in targets
        (workdir,) = OF_IMAGE["WORKDIR"]
        assert f"{workdir}/flows" in targets
        assert OF_IMAGE["VOLUME"][0] == f"{workdir}/{data_folder(one['environment']['VOICEBOT_STORE'])}"
        build = one["build"]
        folder = DEPLOY / "compose" / build["context"]
        assert (folder / build["dockerfile"]).samefile(DEPLOY / "docker" / "Dockerfile")


def test_compose_mounts_files_that_there_are() -> None:
    made_by_hand = {"./tls"}
    for one in SERVICES.values():
        sources = {volume.split(":")[0] for volume in one["volumes"]}
        for source in {source for source in sources if source.startswith(".")} - made_by_hand:
            assert (DEPLOY / "compose" / source).exists(), source
        assert {source for source in sources if not source.startswith(".")} <= COMPOSE["volumes"].keys()


def test_redis_of_compose_loses_nothing() -> None:
    command = SERVICES["redis"]["command"]
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert {volume.split(":")[1] for volume in SERVICES["redis"]["volumes"]} == {"/data"}
    assert COMPOSE["networks"]["back"] == {"internal": True}
    assert SERVICES["redis"]["networks"] == ["back"]
    assert "ports" not in SERVICES["redis"]


def test_only_nginx_of_compose_is_reached_from_outside_and_believed() -> None:
    assert [name for name, one in SERVICES.items() if "ports" in one] == ["nginx"]
    nginx = SERVICES["nginx"]["networks"]["front"]["ipv4_address"]
    for one in INSTANCES.values():
        assert one["environment"]["VOICEBOT_TRUSTED_PROXIES"] == nginx
    assert seconds(SERVICES["nginx"]["stop_grace_period"]) >= max(
        seconds(one["stop_grace_period"]) for one in INSTANCES.values()
    )


@pytest.mark.parametrize("name", SERVICES)
def test_service_of_compose_is_confined(name: str) -> None:
    one = SERVICES[name]
    assert one["read_only"] is True
    assert one["cap_drop"] == ["ALL"]
    assert one["security_opt"] == ["no-new-privileges:true"]
    assert one["restart"] == "unless-stopped"
    assert one["logging"]["options"].keys() == {"max-size", "max-file"}
    assert "healthcheck" in one or one["image"] == "voicebot"  # the image has its own


# ---- Kubernetes ------------------------------------------------------------------------------------------------------

DEPLOYMENT = one_of("Deployment")
POD = DEPLOYMENT["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]


def settings_of_pods() -> Settings:
    return read_settings(None, **filled_in({**one_of("ConfigMap")["data"], **one_of("Secret")["stringData"]}))


def test_pods_have_settings_that_serve() -> None:
    settings_of_pods().require_serving()
    named = [kind["name"] for source in CONTAINER["envFrom"] for kind in source.values()]
    assert named == [one_of("ConfigMap")["metadata"]["name"], one_of("Secret")["metadata"]["name"]]
    assert {one["name"] for one in CONTAINER["env"]} <= SETTINGS.keys()


def test_pods_have_time_to_drain() -> None:
    _, before = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
    grace = POD["terminationGracePeriodSeconds"]
    assert grace >= float(before) + settings_of_pods().drain_s + AFTER_THE_DRAIN_S
    assert DEPLOYMENT["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_probes_ask_for_routes_that_there_are() -> None:
    from voicebot.server.status_routes import StatusRoutes

    routes = {route.path for route in StatusRoutes(calls=None, store=None).routes()}  # type: ignore[arg-type]
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert CONTAINER[name]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert "/healthz" in routes


def test_ports_agree_all_the_way() -> None:
    (port,) = CONTAINER["ports"]
    (service,) = one_of("Service")["spec"]["ports"]
    assert OF_IMAGE["EXPOSE"] == OF_IMAGE["CMD"][-1:] == [str(port["containerPort"])]
    assert service["targetPort"] == port["name"]
    for ingress in documents(DEPLOY / "kubernetes" / "ingress.yaml"):
        (rule,) = ingress["spec"]["rules"]
        assert f"https://{rule['host']}" == settings_of_pods().public_url
        assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]]
        backend = rule["http"]["paths"][0]["backend"]["service"]
        assert backend == {"name": one_of("Service")["metadata"]["name"], "port": {"name": service["name"]}}
    policy = one_of("NetworkPolicy")["spec"]
    assert policy["ingress"][0]["ports"] == [{"protocol": "TCP", "port": port["containerPort"]}]
    health = OF_IMAGE["HEALTHCHECK"]
    assert f":{port['containerPort']}/healthz" in " ".join(health)


def test_labels_select_the_pods() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == labels
    assert one_of("Service")["spec"]["selector"] == labels
    assert one_of("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert one_of("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    for spread in POD["topologySpreadConstraints"]:
        assert spread["labelSelector"]["matchLabels"] == labels


def test_pods_run_as_the_user_of_the_image_and_write_where_it_may() -> None:
    uid, gid = OF_IMAGE["USER"][0].split(":")
    context = POD["securityContext"]
    assert (context["runAsUser"], context["runAsGroup"], context["fsGroup"]) == (int(uid), int(gid), int(gid))
    assert context["runAsNonRoot"] is True
    own = CONTAINER["securityContext"]
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    mounts = {one["mountPath"]: one["name"] for one in CONTAINER["volumeMounts"]}
    assert mounts.keys() == {*OF_IMAGE["VOLUME"], "/tmp"}
    assert set(mounts.values()) == {volume["name"] for volume in POD["volumes"]}


def test_autoscaler_goes_by_a_metric_of_ours_within_what_pods_carry() -> None:
    scaler = one_of("HorizontalPodAutoscaler")["spec"]
    pods = next(one["pods"] for one in scaler["metrics"] if one["type"] == "Pods")
    (rule,) = documents(DEPLOY / "kubernetes" / "prometheus-adapter.yaml")[0]["rules"]["custom"]
    name = pods["metric"]["name"]
    assert name in {family.name for family in Families().own}
    assert rule["name"]["as"] == name
    assert rule["seriesQuery"].startswith(name + "{")
    assert scaler["scaleTargetRef"]["name"] == DEPLOYMENT["metadata"]["name"]
    assert scaler["minReplicas"] >= 2  # there must be another one
    assert "replicas" not in DEPLOYMENT["spec"]
    each = settings_of_pods().max_calls / scaler["maxReplicas"]
    assert float(pods["target"]["averageValue"]) < each == 90


def test_kustomization_lists_the_manifests() -> None:
    listed = documents(DEPLOY / "kubernetes" / "kustomization.yaml")[0]["resources"]
    by_hand = {"kustomization.yaml", "secret.example.yaml", "prometheus-adapter.yaml"}
    assert {*listed, *by_hand} == {path.name for path in (DEPLOY / "kubernetes").iterdir()}
    assert documents(DEPLOY / "kubernetes" / "kustomization.yaml")[0]["images"][0]["name"] == CONTAINER["image"]


# ---- systemd ---------------------------------------------------------------------------------------------------------

UNIT = DEPLOY / "systemd" / "voicebot.service"


def unit() -> dict[str, dict[str, list[str]]]:
    """The unit's sections: what each directive is given, one after the other."""
    found: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            section.setdefault(name, []).append(value)
    return found


def test_unit_gives_settings_that_serve_and_time_to_drain() -> None:
    service = unit()["Service"]
    given = dict(one.split("=", 1) for one in service["Environment"])
    ours = {name: value for name, value in given.items() if name in SETTINGS}
    example = {name: value for name, value in example_file().items() if name not in ours}
    settings = read_settings(None, **{**filled_in(example), **ours})
    settings.require_serving()
    assert seconds(service["TimeoutStopSec"][0]) >= settings.drain_s + AFTER_THE_DRAIN_S
    assert service["KillMode"] == ["mixed"]
    home = Path("/var/lib") / service["StateDirectory"][0]
    assert settings.data_folder == home == Path(service["WorkingDirectory"][0])


def test_unit_starts_a_command_that_there_is() -> None:
    from typer.main import get_command

    from voicebot.cli import app

    _, command, *options = unit()["Service"]["ExecStart"][0].split()
    known = get_command(app).commands[command]  # type: ignore[attr-defined]
    names = {name for parameter in known.params for name in parameter.opts}
    assert set(options[::2]) <= names
    assert options[1::2] == ["127.0.0.1", "8080", "2"]


def analyzed(verb: str, folder: Path, *options: str) -> str | None:
    """What systemd says of the unit; None where there is no systemd, which only adds to the tests above."""
    if (program := shutil.which("systemd-analyze")) is None:
        return None
    # The program that it starts is in no place of ours, and systemd looks whether it is there.
    text = UNIT.read_text(encoding="utf-8").replace("/opt/voicebot/bin/voicebot", sys.executable)
    (folder / UNIT.name).write_text(text, encoding="utf-8")
    command = [program, verb, *options, str(folder / UNIT.name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    told = analyzed("verify", tmp_path)
    assert told is None or UNIT.name not in told


def test_systemd_finds_the_unit_confined(tmp_path: Path) -> None:
    told = analyzed("security", tmp_path, "--offline=true", "--no-pager")
    assert told is None or re.search(r"exposure level for voicebot.service: [01]\.\d", told)
