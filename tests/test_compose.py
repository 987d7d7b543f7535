"""docker-compose.yaml keeps its own rules; no Docker engine is asked (DESIGN 10)."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from prometheus_client import generate_latest

from evergreen.errors import StackError
from evergreen.serving.metrics import ServerMetrics
from evergreen_airflow.production import make_secrets
from tests.support.production import COMPOSE, compose

ROOT = COMPOSE.parent
DEPLOY = ROOT / "include" / "deploy"
#: What people's browsers and clients reach, and nobody else's.
FRONT = {"api-server", "mlflow", "gateway", "grafana"}
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|_KEY|PASSWORDS")


@pytest.fixture(scope="module")
def secrets(tmp_path_factory) -> dict[str, str]:
    return make_secrets(tmp_path_factory.mktemp("env") / ".env")


@pytest.fixture(scope="module")
def services(secrets) -> dict[str, dict]:
    return compose(secrets)["services"]


WRITTEN = yaml.safe_load(COMPOSE.read_text())["services"]
NAMES = tuple(WRITTEN)
BUILT = tuple(name for name in NAMES if "build" in WRITTEN[name])


def test_it_is_what_the_published_schema_allows():
    command = [
        Path(sys.executable).with_name("check-jsonschema"),
        "--builtin-schema",
        "vendor.compose-spec",
        COMPOSE,
    ]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_an_image_is_built_here_or_has_one_version(services, name):
    service = services[name]

    if service["image"].startswith("evergreen-"):
        assert (ROOT / the_build_of(services, service["image"])["dockerfile"]).is_file()
        assert service["pull_policy"] == "never"
    else:
        assert "build" not in service
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-[a-z]+)?$", service["image"]), service["image"]


def the_build_of(services: dict[str, dict], image: str) -> dict:
    """Return how *image* is built: once, however many services run from it."""
    (build,) = [s["build"] for s in services.values() if s["image"] == image and "build" in s]
    return build


@pytest.mark.parametrize("name", NAMES)
def test_a_service_starts_as_a_user_by_number_without_any_capability(services, name):
    """Root without capabilities cannot become another user, as entrypoints of images do."""
    assert re.fullmatch(r"[1-9]\d*:\d+", services[name]["user"])
    assert "cap_add" not in services[name]


@pytest.mark.parametrize("name", BUILT)
def test_what_is_built_runs_as_the_user_of_its_image(services, name):
    file = ROOT / services[name]["build"]["dockerfile"]

    assert re.findall(r"^USER (.+)$", file.read_text(), re.MULTILINE) == [services[name]["user"]]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_from_the_environment_is_readable_without_an_owner(services, name):
    """With an owner, Docker looks the service's user up on the machine, where there is none."""
    for one in services[name].get("secrets", []) + services[name].get("configs", []):
        assert not {"uid", "gid"} & set(one)
        assert one["mode"] & 0o444 == 0o444


@pytest.mark.parametrize("name", BUILT)
def test_every_build_passes_its_commit(secrets, name):
    commit = {"GIT_SHA": "0" * 40, "GIT_DIRTY": "no"}
    service = compose(secrets | commit)["services"][name]
    file = (ROOT / service["build"]["dockerfile"]).read_text()

    assert service["build"]["args"] == commit
    for variable in commit:
        assert f"\nARG {variable}=\n" in file
        assert f"{variable}=${variable}" in file


def test_a_port_moves_with_its_address(secrets):
    moved = {"AIRFLOW_PORT": "1", "MLFLOW_PORT": "2", "SERVING_PORT": "3", "GRAFANA_PORT": "4"}
    services = compose(secrets | moved)["services"]

    fronts = ("api-server", "mlflow", "gateway", "grafana")
    ports = [services[name]["ports"][0].split(":")[1] for name in fronts]
    assert ports == ["1", "2", "3", "4"]
    environment = services["scheduler"]["environment"]
    assert environment["AIRFLOW__API__BASE_URL"] == "http://localhost:1"
    assert "http://localhost:2" in environment["AIRFLOW_CONN_MLFLOW_DEFAULT"]
    assert services["mlflow"]["command"][-1].endswith(",localhost:2")


@pytest.mark.parametrize("name", NAMES)
def test_a_service_is_watched_restarted_limited_and_has_few_rights(services, name):
    service = services[name]
    limits = service["deploy"]["resources"]["limits"]

    assert set(limits) == {"cpus", "memory"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"]["max-size"]
    assert "privileged" not in service
    if name == "setup":  # ends
        assert service["restart"] == "no"
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"]


@pytest.mark.parametrize("name", NAMES)
def test_only_front_ports_are_open_and_only_to_this_machine(services, name):
    ports = services[name].get("ports", [])

    assert bool(ports) == (name in FRONT)
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_no_secret_has_a_default_and_each_is_made():
    text = COMPOSE.read_text()
    found = re.findall(r"\$\{(\w+)(:-[^}]*)?", text) + [
        (name, "") for name in re.findall(r"environment: (\w+)}", text)
    ]

    secret = {name for name, _ in found if SECRET.search(name)}
    assert len(secret) >= 10
    assert not [name for name, default in found if name in secret and default]


def test_every_variable_has_a_default_or_is_a_secret_that_is_made(secrets):
    compose(secrets)  # a missing one is a KeyError

    without_default = set(re.findall(r"\$\{(\w+)(?:\}|:\?)", COMPOSE.read_text()))
    assert without_default <= set(secrets)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_waited_for_exists_and_can_be_healthy(services, name):
    for other, condition in services[name].get("depends_on", {}).items():
        assert other in services
        if condition["condition"] == "service_healthy":
            assert services[other]["healthcheck"]
        else:
            assert services[other]["restart"] == "no"


@pytest.mark.parametrize("name", NAMES)
def test_every_mounted_file_and_volume_is_there(services, secrets, name):
    whole = compose(secrets)
    for volume in services[name].get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (ROOT / source).exists(), source
            assert volume.endswith(":ro")
        else:
            assert source in whole["volumes"]
    for kind in ("configs", "secrets"):
        for one in services[name].get(kind, []):
            assert one["source"] in whole[kind]


@pytest.mark.parametrize("file", sorted(DEPLOY.glob("*.Dockerfile")), ids=lambda p: p.name)
def test_an_image_is_of_the_lock_and_does_not_run_as_root(file):
    text = file.read_text()

    assert re.search(r"^FROM python:3\.\d+\.\d+-slim-\w+$", text, re.MULTILINE)
    assert "--require-hashes -r /tmp/requirements.txt" in text
    assert re.findall(r"^USER (\d+):\d+$", text, re.MULTILINE)[-1] != "0"
    sources = [message.split()[0] for message in re.findall(r"^COPY (.+)$", text, re.MULTILINE)]
    assert sources
    assert all((ROOT / source).exists() for source in sources)


@pytest.mark.parametrize("file", sorted(DEPLOY.glob("*.Dockerfile")), ids=lambda p: p.name)
def test_an_image_holds_its_code_compiled_as_who_runs_it_may_not_write(file):
    copied, _, after = file.read_text().rpartition("\nCOPY ")

    assert "RUN python -m compileall -q /opt/evergreen\n" in after
    assert "RUN pip install" in copied  # pip compiles what it installs


def test_secrets_are_private_random_and_never_made_twice(tmp_path):
    file = tmp_path / ".env"
    one, other = make_secrets(file), make_secrets(tmp_path / "other.env")

    assert file.stat().st_mode & 0o777 == 0o600
    assert not set(one.values()) & set(other.values())
    assert all(len(value) >= 32 for value in one.values())
    before = file.read_bytes()
    with pytest.raises(StackError, match="was left as it is"):
        make_secrets(file)
    assert file.read_bytes() == before


def expressions() -> dict[str, str]:
    """Return every PromQL expression of the dashboards and alert rules, by where it stands."""
    found = {}
    for file in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                found[f"{file.stem}: {panel['title']}, {target['refId']}"] = target["expr"]
    for group in yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["annotations"]["what_to_do"]
            found[f"alert {rule['alert']}"] = rule["expr"]
    return found


@pytest.fixture(scope="module")
def metrics() -> set[str]:
    """The names that Prometheus gets: of our server's own page, and what Airflow sends."""
    models, watched = SimpleNamespace(followers={}, removed={}), SimpleNamespace(instants={})
    log = SimpleNamespace(dropped=0)
    page = generate_latest(ServerMetrics(models, watched, log).registry).decode()
    served = set(re.findall(r"^# TYPE (\w+) ", page, re.MULTILINE))
    measures = (ROOT / "plugins" / "evergreen_airflow" / "task_metrics.py").read_text()
    monitors = (ROOT / "include" / "evergreen" / "monitoring" / "monitors.py").read_text()
    ours = [
        *re.findall(r'"(evergreen\.\w+)"', measures),
        *(f"evergreen.{name}" for name in re.findall(r'yield "(\w+)", ', monitors)),
    ]
    airflow = {f"airflow_{name.replace('.', '_')}" for name in ours}
    theirs = {
        "airflow_ti_failures_total",
        "airflow_pool_running_slots",
        "airflow_pool_queued_slots",
        "airflow_scheduler_heartbeat_total",
    }
    return served | airflow | theirs


@pytest.mark.parametrize("place", expressions())
def test_a_query_asks_for_what_is_measured(place, metrics):
    names = set(re.findall(r"\b((?:evergreen|airflow)_\w+)", expressions()[place]))

    assert names
    known = metrics | {f"{name}{end}" for name in metrics for end in ("_total", "_bucket")}
    assert names <= known, names - known


def test_alerts_and_scraping_are_yaml_that_prometheus_reads():
    scrape = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())

    assert scrape["rule_files"] == ["/etc/prometheus/alerts.yml"]
    assert scrape["scrape_configs"][0]["dns_sd_configs"][0]["port"] == 8088
