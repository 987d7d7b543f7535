"""
An embedded stack for all promises that are shown through Airflow, with a model for each.

It runs a copy of the project whose models are the sample with a small window, so that a night
takes seconds; everything else is as it is shipped, and schedules are off. tests/services has the
stacks that take longer.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import psycopg2
import pytest
import yaml
from mlflow import MlflowClient
from rich.console import Console

from evergreen.operations.invariants import check_invariants
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.spec import load_spec
from evergreen.spec.model import ModelSpec
from evergreen.storage.folder import FolderStore
from evergreen.workspace import Workspace
from evergreen_airflow.embedded import database
from evergreen_airflow.embedded.api import FINISHED
from evergreen_airflow.embedded.runs import run_dag
from evergreen_airflow.embedded.settings import ensure_secrets
from evergreen_airflow.embedded.stack import variables
from tests.support.few_inputs import CATEGORICAL, NUMERIC, copy_sample
from tests.support.hooks import listening, pager_to
from tests.support.past import make_nights
from tests.support.project import copy_code
from tests.support.servers import wait_until as wait_until_true
from tests.support.stack import Stack, running_stack

MODELS = (
    "known",
    "looped",
    "replayed",
    "killed",
    "returned",
    "asked",
    "waited",
    "refused",
    "greedy",
    "seen",
)
#: A question to Airflow's API takes 25 to 50 ms of a processor, which the tasks need as well.
wait_until = partial(wait_until_true, every_s=0.7)
#: A column and a category that would run script in Airflow's name where nobody is careful.
HOSTILE = "</script><script>top.owned=1</script><img src=x onerror=top.owned=1>"
#: A run that fails at once has ended long before this, even on a busy machine.
LATE_AFTER_S = 72
#: What is different about some of them.
SPECS = {
    "asked": {
        "deployment": {"target": "batch", "approval": {"required": True, "users": ["admin"]}},
        "alerts": {"connections": ["pager", "nowhere"]},
    },
    "waited": {
        "deployment": {
            "target": "batch",
            "approval": {"required": True, "users": ["boss"], "within_hours": 0.006},
        }
    },
    "refused": {"alerts": {"connections": ["pager"], "late_after_hours": LATE_AFTER_S / 3600}},
    "greedy": {"candidates": [f"slow_{n}" for n in range(6)]},
    "seen": {
        "deployment": {"target": "batch", "approval": {"required": True}},
        "examples": {"numeric": [*NUMERIC, HOSTILE], "categorical": [*CATEGORICAL, "dest"]},
    },
}
#: The first night of every model, and how many nights have data.
FIRST, NIGHTS = datetime(2013, 3, 1, 6, tzinfo=UTC), 14
WINDOW = {"train_days": 12, "validation_days": 3, "gap_days": 1, "test_days": 4}
#: A candidate that is clearly worse: it sees the hour and nothing else.
POOR = '''

def poor(examples: Examples, *, seed: int) -> Pipeline:
    """Logistic regression on the hour."""
    columns = ColumnTransformer([("hour", StandardScaler(), ["hour"])])
    return Pipeline([("columns", columns), ("model", LogisticRegression(random_state=seed))])
'''

#: A candidate whose fit waits until a test makes the file ``release`` in the project.
HELD = '''

def held(examples: Examples, *, seed: int) -> Pipeline:
    """The poor one, as soon as it may."""
    import time
    from pathlib import Path

    while not (Path(__file__).parents[3] / "release").exists():
        time.sleep(0.05)
    return poor(examples, seed=seed)
'''

#: What is appended to the ``pipeline.py`` of some of them.
PIPELINE = {
    "greedy": HELD + "\n\nslow_0 = slow_1 = slow_2 = slow_3 = slow_4 = slow_5 = held\n",
}

#: What is appended to the ``prepare.py`` of some of them.
PREPARE = {
    "seen": f"""

plain = prepare


def prepare(raw: dict[str, pd.DataFrame], day: date) -> pd.DataFrame:
    \"\"\"Return the sample's examples with a hostile column and a hostile category.\"\"\"
    examples = plain(raw, day).assign(**{{{HOSTILE!r}: lambda rows: rows["hour"] % 5.0}})
    return examples.assign(dest=examples["dest"].replace("ATL", {HOSTILE!r}))
"""
}

#: Deadlines of failed runs; each is dealt with once its callback has ended.
DEADLINES = """
SELECT count(*), count(*) FILTER (WHERE callback.state NOT IN ('success', 'failed'))
FROM deadline JOIN callback ON callback.id = deadline.callback_id
JOIN dag_run ON dag_run.id = deadline.dagrun_id
WHERE dag_run.dag_id LIKE %s AND dag_run.state = 'failed'
"""

TOKEN_OF = """
import sys
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
user = SimpleAuthManagerUser(username="guest", role=sys.argv[1] or None)
print(SimpleAuthManager().generate_jwt(user))
"""


def night(number: int) -> datetime:
    """Return the ``as_of`` of a night, counted from 1; the schedule is daily at 06:00."""
    return FIRST + timedelta(days=number - 1)


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """One model of the stack, and what a person asks about it."""

    stack: Stack
    project: Path
    model: str

    @property
    def store(self) -> FolderStore:
        return FolderStore(self.stack.settings.store)

    @property
    def client(self) -> MlflowClient:
        url = self.stack.settings.mlflow_url
        return MlflowClient(url, url)

    def release(self) -> None:
        """Let the candidates go on that are held (see HELD)."""
        (self.project / "release").touch()

    def past(self, *nights: tuple[int, str]) -> list[dict]:
        """Make nights with one candidate each without a scheduler; return their deployments."""
        return make_nights(
            self.project,
            self.model,
            [(night(n), [candidate]) for n, candidate in nights],
            store=self.store.uri,
            mlflow=self.stack.settings.mlflow_url,
        )

    @property
    def spec(self) -> ModelSpec:
        return load_spec(self.model, models_dir=self.project / "include" / "models")

    def run(self, workflow: str, run_id: str, **conf) -> str:
        """Trigger a run, wait for its end, return its id; a red run raises."""
        page = Console(file=self.stack.page, width=200)
        run_dag(self.stack.api, f"{self.model}__{workflow}", run_id=run_id, conf=conf, console=page)
        return run_id

    def start(self, workflow: str, run_id: str, **conf) -> None:
        """Trigger a run as soon as its DAG is there, and go on."""
        dag_id = f"{self.model}__{workflow}"
        wait_until(lambda: self.stack.api.has_dag(dag_id), within_s=120, what=dag_id)
        self.stack.api.trigger(dag_id, run_id=run_id, conf=conf)

    def wait_for(self, workflow: str, run_id: str) -> None:
        """Wait for the end of a run, which must be green."""
        dag_id = f"{self.model}__{workflow}"
        try:
            wait_until(
                lambda: self.stack.api.state(dag_id, run_id) in FINISHED,
                within_s=300,
                what=run_id,
            )
        except AssertionError as error:
            states = {t["task_id"]: t["state"] for t in self.tasks(workflow, run_id)}
            raise AssertionError(f"{error}; its tasks: {states}") from None
        assert self.stack.api.state(dag_id, run_id) == "success"

    def retrain(self, number: int, *, run_id: str | None = None, **conf) -> str:
        as_of = night(number).isoformat()
        return self.run("retrain", run_id or f"night-{number}", as_of=as_of, **conf)

    def airflow(self, *arguments: str) -> str:
        """Run Airflow's own command line against the stack; it must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "evergreen_airflow", "airflow", *arguments],
            env=self.stack.environ,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def airflow_token(self, *, role: str | None) -> str:
        """Return a token of Airflow's own for somebody with *role*; None has no rights at all."""
        done = subprocess.run(
            [sys.executable, "-c", TOKEN_OF, role or ""],
            env=self.stack.environ | variables(self.stack.settings),
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[-1]

    def backfill(self, workflow: str, first: int, last: int, *options: str) -> None:
        """Backfill nights *first* to *last* with the real command, and wait for their end."""
        self.start_backfill(workflow, first, last, *options)
        self.wait_for_backfill(workflow)

    def start_backfill(self, workflow: str, first: int, last: int, *options: str) -> None:
        # Airflow marks a backfill as ended on a timer, and allows one at a time.
        wait_until(
            lambda: all(b["completed_at"] for b in self._backfills(workflow)),
            within_s=180,
            what="the backfill before this one",
        )
        # A scheduled run's logical date is the start of its interval, a day before its as_of.
        dates = [f"{night(n) - timedelta(days=1):%Y-%m-%dT%H:%M:%S+00:00}" for n in (first, last)]
        self.airflow(
            "backfill",
            "create",
            "--dag-id",
            f"{self.model}__{workflow}",
            "--from-date",
            dates[0],
            "--to-date",
            dates[1],
            *options,
        )

    def wait_for_backfill(self, workflow: str) -> None:
        wait_until(
            lambda: {run["state"] for run in self.runs(workflow)} <= set(FINISHED),
            within_s=600,
            what=f"the backfill of {self.model}__{workflow}",
        )
        failed = [r["dag_run_id"] for r in self.runs(workflow) if r["state"] == "failed"]
        assert failed == []

    def can_be_answered(self, run_id: str) -> bool:
        """
        Return whether an answer to the question of a run would be kept.

        Airflow loses an answer that comes before its scheduler has read from the executor that the
        task which asks has ended; then it asks again (docs/gates.md).
        """
        tasks = {t["task_id"]: t["state"] for t in self.tasks("retrain", run_id)}
        log = (self.stack.settings.logs / "scheduler.log").read_text(errors="replace")
        events = [line for line in log.splitlines() if "executor event with state success" in line]
        key = f"dag_id='{self.model}__retrain', task_id='approve_promotion', run_id='{run_id}'"
        return tasks.get("approve_promotion") == "awaiting_input" and any(
            key in line for line in events
        )

    def open_deadlines(self) -> tuple[int, int]:
        """Count the deadlines of failed runs, and how many Airflow has not dealt with yet."""
        settings = self.stack.settings
        password = ensure_secrets(settings)[0]["database_password"]
        with (
            psycopg2.connect(
                host="127.0.0.1",
                port=settings.postgres_port,
                user=database.USER,
                password=password,
                dbname=database.NAME,
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(DEADLINES, [f"{self.model}__%"])
            count, left = cursor.fetchone()
            return count, left

    def _backfills(self, workflow: str) -> list[dict]:
        found = self.stack.api.get("/backfills", dag_id=f"{self.model}__{workflow}")
        return list(found["backfills"])

    def runs(self, workflow: str) -> list[dict]:
        found = self.stack.api.get(f"/dags/{self.model}__{workflow}/dagRuns", limit=100)
        return list(found["dag_runs"])

    def tasks(self, workflow: str, run_id: str) -> list[dict]:
        return self.stack.api.tasks(f"{self.model}__{workflow}", run_id)

    def receipt(self, workflow: str, run_id: str, task_id: str) -> dict:
        return self.stack.api.receipt(f"{self.model}__{workflow}", run_id, task_id)

    def log(self, workflow: str, run_id: str, task_id: str) -> str:
        task = next(t for t in self.tasks(workflow, run_id) if t["task_id"] == task_id)
        return "\n".join(self.stack.api.log(f"{self.model}__{workflow}", run_id, task))

    def champion(self) -> str | None:
        return mlflow_registry.aliases_of(self.client, self.model).get("champion")

    def versions(self) -> dict[str, str]:
        """Return the ``as_of`` of each version, by number."""
        found = mlflow_registry.all_versions(self.client, self.model)
        return {str(v.version): v.tags["evergreen.as_of"] for v in found}

    def version_tags(self) -> dict[str, dict[str, str]]:
        return {
            str(v.version): dict(v.tags)
            for v in mlflow_registry.all_versions(self.client, self.model)
        }

    def reports(self) -> list[str]:
        """Return the days that have an Evidently report."""
        pages = [k for k in self.store.list(f"reports/{self.model}/") if k.endswith(".html")]
        return [key.split("/")[2] for key in pages]

    def bytes_of(self, *folders: str) -> dict[str, bytes]:
        keys = [k for f in folders for k in self.store.list(f"{f}/{self.model}/")]
        return {key: self.store.get(key) for key in keys}

    def ledger(self) -> ledger_store.Ledger:
        return ledger_store.read_ledger(self.store, self.model)

    def errors(self) -> list[str]:
        now = datetime.now(UTC)
        checks = check_invariants(
            Workspace(self.store, self.client, self.spec), now=now, grace=timedelta(0)
        )
        return [f"{check.name}: {check.measured}" for check in checks if check.status != "passed"]


@pytest.fixture(scope="package")
def project(tmp_path_factory) -> Path:
    """A copy of what Airflow reads, with the small models in it."""
    return copy_project(tmp_path_factory.mktemp("project"), {m: SPECS.get(m, {}) for m in MODELS})


def copy_project(root: Path, models: dict[str, dict]) -> Path:
    """Copy what Airflow reads to *root*, with the small models that *models* names and changes."""
    copy_code(root)
    sample = root / "include" / "models" / "flight_delay"
    for model, changes in models.items():
        folder = root / "include" / "models" / model
        spec = yaml.safe_load((sample / "model.yaml").read_text())
        spec["examples"] |= {"numeric": [*NUMERIC], "categorical": [*CATEGORICAL]}
        spec["examples"] |= changes.get("examples", {})
        del spec["inputs"]
        spec |= {"model": model, "window": WINDOW, "candidates": ["linear", "poor"]}
        # Four test days leave three degrees of freedom: at the default confidence a night would
        # need a gain that is seldom there. What is tested here is what follows from a verdict.
        spec["gates"] = {
            "slices": {"columns": ["origin"]},
            "baseline": {"linear": -1, "confidence": 0.8},
            "champion": {"confidence": 0.8, "false_promotions_per_year": None},
        }
        spec |= {"deployment": {"target": "batch"}} | changes | {"examples": spec["examples"]}
        copy_sample(folder, keep=spec["examples"]["categorical"])
        (folder / "model.yaml").write_text(yaml.safe_dump(spec))
        with (folder / "pipeline.py").open("a") as code:
            code.write(POOR + PIPELINE.get(model, ""))
        with (folder / "prepare.py").open("a") as code:
            code.write(PREPARE.get(model, ""))
    return root


@pytest.fixture(scope="package")
def hook(network) -> Iterator[tuple[int, list[dict]]]:
    """A web hook that people's alerts go to: its port, and what it heard."""
    with listening() as results:
        yield results


@pytest.fixture(scope="package")
def stack(airflow_services, project, hook) -> Iterator[Stack]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_PAGER", pager_to(hook[0]))
        yield from stack_of(project, EVERGREEN_SERVING="on")


def stack_of(project: Path, *, more_days: int = 0, **environ: str) -> Iterator[Stack]:
    """Run a stack on *project*, with the flights of every night's window landed, and more."""
    from models.flight_delay import feed

    with running_stack(EVERGREEN_PROJECT=str(project), **environ) as running:
        if not database.choose(running.settings).is_postgres:
            pytest.skip("no PostgreSQL programs on this machine; backfills are refused on SQLite")
        first: date = night(1).date() - timedelta(days=WINDOW["train_days"] + 8 + more_days)
        days = [first + timedelta(days=n) for n in range((night(NIGHTS).date() - first).days)]
        feed.land_days(FolderStore(running.settings.store), days, replace=frozenset())
        yield running


@pytest.fixture(scope="package")
def workflow(stack, project):
    """Return a model of the stack by its name."""
    return lambda model: Workflow(stack=stack, project=project, model=model)
