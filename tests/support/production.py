"""
The services of docker-compose.yaml, started natively: same commands, same environment, other hosts.

PostgreSQL and Redis are the machine's own programs on ports of the test's own, moto's server stands
in for SeaweedFS; Airflow, MLflow and the model server are what the file says they are.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psutil
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)

from evergreen.storage.s3 import BucketStore
from evergreen_airflow.embedded.api import AirflowApi
from evergreen_airflow.embedded.settings import MARK
from evergreen_airflow.production import make_secrets
from tests.conftest import ROOT, free_port, wait_until
from tests.support.postgres import USER, make_cluster, wait_for_postgres
from tests.support.run import register_session
from tests.support.s3 import CONFIG, boto3

COMPOSE = ROOT / "docker-compose.yaml"
#: What listens where inside the compose network.
INSIDE = {
    "postgres": 5432,
    "redis": 6379,
    "seaweedfs": 8333,
    "mlflow": 5000,
    "api-server": 8080,
    "model-server": 8088,
    "prometheus": 9090,
}
#: A default may hold variables of its own.
VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:[-?])((?:[^{}]|\$\{[^{}]*\})*))?\})")


def compose(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return docker-compose.yaml with the variables of *environ* in it, as Compose would."""

    def fill(found: re.Match) -> str:
        escaped, name, kind, default = found.groups()
        if escaped:
            return "$"
        if kind == ":-":
            return environ.get(name) or VARIABLE.sub(fill, default)
        return environ[name]  # KeyError: Compose would refuse it, or warn and leave it empty

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: walk(value) for key, value in node.items()}
        if isinstance(node, list):
            return [walk(value) for value in node]
        return VARIABLE.sub(fill, node) if isinstance(node, str) else node

    return walk(yaml.safe_load(COMPOSE.read_text()))


class Production:
    """The running services, by their names in the file; a second worker is ``worker-2``."""

    def __init__(self, project: Path) -> None:
        # Not below pytest's own folder: root may enter that one, PostgreSQL's user may not.
        self.home = Path(tempfile.mkdtemp(prefix="eg-"))
        self.home.chmod(0o711)
        self.project = project
        self.ports = {name: free_port() for name in INSIDE}
        self.secrets = make_secrets(self.home / ".env")
        self.file = compose(self.secrets | {"HEARTBEAT_TIMEOUT": "20", "OTEL_ON": "True"})
        self.processes: dict[str, subprocess.Popen] = {}
        self.metrics: dict[str, set[str]] = {}
        self.lineage = self.home / "lineage.jsonl"
        self._receiver = Receiver(self.ports["prometheus"], self.metrics)

    def url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports[service]}"

    @property
    def store(self) -> BucketStore:
        found = boto3.client(
            "s3",
            endpoint_url=self.url("seaweedfs"),
            config=CONFIG,
            region_name="us-east-1",
            aws_access_key_id=self.secrets["S3_ACCESS_KEY"],
            aws_secret_access_key=self.secrets["S3_SECRET_KEY"],
        )
        return BucketStore("s3://evergreen/store", found)

    def native(self, text: str) -> str:
        """Return *text* with the hosts and folders of a container replaced by those of here."""
        for name, port in INSIDE.items():
            for host in (name, "localhost"):
                text = text.replace(f"{host}:{port}", f"127.0.0.1:{self.ports[name]}")
        text = text.replace("/opt/evergreen", str(self.project))
        text = text.replace("/var/cache/evergreen", str(self.home / "serving"))
        return text.replace("/opt/airflow", str(self.home / "airflow")).replace(
            "0.0.0.0", "127.0.0.1"
        )

    def environ_of(self, service: str, **more: str) -> dict[str, str]:
        """Return the environment the file gives a service, and what its image would."""
        given = {k: self.native(str(v)) for k, v in self._service(service)["environment"].items()}
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "AWS"))}
        return (
            inherited
            | {
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "AIRFLOW_HOME": str(self.home / "airflow"),
                "PYTHONPATH": f"{self.project}/include:{self.project}/plugins",
                MARK: str(self.home),
            }
            | given
            | more
        )

    def start(self, name: str, *more: str, service: str | None = None, **environ: str) -> None:
        """Start a service as the file says, with *more* on its command line."""
        command = [self.native(str(word)) for word in self._service(service or name)["command"]]
        for flag, port in (("--port", "api-server"), ("--port=5000", "mlflow")):
            if name == port:
                at = command.index(flag)
                if "=" in flag:
                    command[at] = f"--port={self.ports[port]}"
                else:
                    command[at + 1] = str(self.ports[port])
        self.spawn(name, [*command, *more], self.environ_of(service or name, **environ))

    def spawn(self, name: str, command: list[str], environ: dict[str, str], **more: Any) -> None:
        log = (self.home / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            command,
            env=environ,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd="/",
            **more,
        )
        register_session(self.processes[name].pid)

    def check(self, service: str, **environ: str) -> subprocess.CompletedProcess:
        """Run a service's own health check once."""
        message = [self.native(word) for word in self._service(service)["healthcheck"]["test"][1:]]
        return subprocess.run(
            message, env=self.environ_of(service, **environ), capture_output=True, text=True
        )

    def kill(self, name: str) -> None:
        """Take a service and all it started away at once, as a machine that loses its power."""
        for process in self._family(name):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        self.processes.pop(name).wait()

    def commands(self, name: str) -> Iterator[str]:
        """Name what a service and all it started run; what ends meanwhile is left out."""
        for process in self._family(name):
            with suppress(psutil.NoSuchProcess):
                yield " ".join(process.cmdline())

    def _family(self, name: str) -> list[psutil.Process]:
        leader = psutil.Process(self.processes[name].pid)
        return [leader, *leader.children(recursive=True)]

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(errors="replace")

    def up(self) -> None:
        """Bring everything up in the order the file gives."""
        self._start_postgres()
        redis = ["--port", str(self.ports["redis"]), "--bind", "127.0.0.1"]
        self.start("redis", *redis)
        s3 = [sys.executable, "-m", "tests.support.s3", str(self.ports["seaweedfs"])]
        paths = os.pathsep.join([str(ROOT), str(ROOT / "include")])
        self.spawn("seaweedfs", s3, os.environ | {"PYTHONPATH": paths})
        self._wait("seaweedfs", "/moto-api/")
        self._prepare_home()
        self.start("setup")
        assert self.processes.pop("setup").wait(timeout=300) == 0, self.log("setup")
        for name in ("mlflow", "api-server", "scheduler", "dag-processor", "triggerer"):
            self.start(name, **self._log_ports())
        self._wait("mlflow", "/health")
        self._wait("api-server", "/api/v2/version")
        for name in ("worker", "worker-2"):
            self.start_worker(name)

    def start_worker(self, name: str) -> None:
        lineage = {"type": "file", "log_file_path": str(self.lineage), "append": True}
        more = self._log_ports() | {"AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(lineage)}
        self.start(name, "--celery-hostname", f"{name}@%h", service="worker", **more)

    def start_model_server(self) -> None:
        port = str(self.ports["model-server"])
        self.start("model-server", EVERGREEN_SERVING_PORT=port)
        self._wait("model-server", "/v2/health/live")

    def down(self) -> None:
        for process in psutil.process_iter():
            try:
                is_ours = process.environ().get(MARK) == str(self.home)
                leads = any(process.pid == one.pid for one in self.processes.values())
                session = os.getsid(process.pid) in {p.pid for p in self.processes.values()}
            except (psutil.Error, OSError):
                continue
            if is_ours or leads or session:
                process.kill()
        for process in self.processes.values():
            process.wait()
        self._receiver.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def _service(self, name: str) -> dict[str, Any]:
        return {"environment": {}} | self.file["services"][name]

    def _log_ports(self) -> dict[str, str]:
        return {
            f"AIRFLOW__LOGGING__{name}_LOG_SERVER_PORT": str(free_port())
            for name in ("WORKER", "TRIGGER")
        }

    def _prepare_home(self) -> None:
        home = self.home / "airflow"
        (home / "config").mkdir(parents=True)
        shutil.copy(ROOT / "plugins/evergreen_airflow/airflow_local_settings.py", home / "config")
        (home / "passwords.json").write_text(self.secrets["AIRFLOW_PASSWORDS"])

    def _start_postgres(self) -> None:
        given, port = self._service("postgres")["environment"], self.ports["postgres"]
        assert given["POSTGRES_USER"] == USER
        command, runs_as = make_cluster(
            self.home / "postgres", port=port, password=given["POSTGRES_PASSWORD"]
        )
        self.spawn("postgres", command, dict(os.environ), user=runs_as)
        wait_for_postgres(port)
        reach = (
            os.environ
            | given
            | {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGPASSWORD": given["POSTGRES_PASSWORD"]}
        )
        script = ROOT / "include/deploy/postgres.sh"
        subprocess.run(["sh", script], env=reach, check=True, capture_output=True)

    def _wait(self, name: str, path: str) -> None:
        def answers() -> bool:
            assert self.processes[name].poll() is None, self.log(name)
            try:
                return httpx.get(self.url(name) + path, timeout=5).is_success
            except httpx.HTTPError:
                return False

        wait_until(answers, within_s=180, what=name)


class Receiver:
    """Stands in for Prometheus: takes what OpenTelemetry sends, and keeps names and labels."""

    def __init__(self, port: int, results: dict[str, set[str]]) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", port), _Otlp)
        self.server.results = results
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Otlp(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        assert self.path == "/api/v1/otlp/v1/metrics", self.path
        for metric in metrics_in(body):
            labels = self.server.results.setdefault(metric.name, set())
            for kind in ("gauge", "sum", "histogram", "exponential_histogram"):
                for point in getattr(metric, kind).data_points:
                    labels |= {one.key for one in point.attributes}
        self.send_response(200)
        self.end_headers()


def metrics_in(body: bytes) -> Iterator[Any]:
    for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
        for scope in resource.scope_metrics:
            yield from scope.metrics


@contextmanager
def running_production(project: Path) -> Iterator[Production]:
    """Run the services on *project*, and leave nothing behind."""
    found = Production(project)
    try:
        found.up()
        yield found
    finally:
        found.down()


def stack_of(production: Production) -> SimpleNamespace:
    """Return what :class:`tests.acceptance.conftest.Workflow` asks of a stack."""
    settings = SimpleNamespace(
        airflow_url=production.url("api-server"), mlflow_url=production.url("mlflow")
    )
    password = json.loads(production.secrets["AIRFLOW_PASSWORDS"])["admin"]
    return SimpleNamespace(
        settings=settings, api=AirflowApi(settings, password=password), page=None
    )
