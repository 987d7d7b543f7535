"""Talk to the embedded Airflow as a person's browser would: with a login, over REST."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx

from evergreen.errors import StackError
from evergreen_airflow.embedded.settings import Settings

FINISHED = ("success", "failed")


class AirflowApi:
    """A logged-in session with Airflow's REST API."""

    def __init__(self, settings: Settings, *, password: str) -> None:
        self.url = settings.airflow_url
        login = {"username": "admin", "password": password}
        token = _accepted(httpx.post(f"{self.url}/auth/token", json=login, timeout=60))
        headers = {"Authorization": f"Bearer {token.json()['access_token']}"}
        self.http = httpx.Client(base_url=f"{self.url}/api/v2", headers=headers, timeout=60)

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON at *path*."""
        return _accepted(self.http.get(path, params=query)).json()

    def ensure_pool(self, name: str, *, slots: int, description: str) -> None:
        """Create the pool *name* unless it is there; a size that somebody changed is kept."""
        body = {"name": name, "slots": slots, "description": description}
        answer = self.http.post("/pools", json=body)
        if answer.status_code != httpx.codes.CONFLICT:
            _accepted(answer)

    def has_dag(self, dag_id: str) -> bool:
        """Return whether the DAG processor has read *dag_id* yet."""
        return self.http.get(f"/dags/{dag_id}").status_code == httpx.codes.OK

    def import_errors(self) -> list[str]:
        """Return what could not be parsed."""
        return [str(e["stack_trace"]) for e in self.get("/importErrors")["import_errors"]]

    def trigger(self, dag_id: str, *, run_id: str, conf: dict[str, Any]) -> None:
        """Start a run of *dag_id*, unpausing it first: a paused DAG would never begin."""
        _accepted(self.http.patch(f"/dags/{dag_id}", json={"is_paused": False}))
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        _accepted(self.http.post(f"/dags/{dag_id}/dagRuns", json=body))

    def state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        return str(self.get(f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run, mapped ones included."""
        found = self.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=500)
        return list(found["task_instances"])

    def receipt(
        self, dag_id: str, run_id: str, task_id: str, map_index: int = -1
    ) -> dict[str, Any]:
        """Return what a task handed on."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        value = self.get(path, map_index=map_index, deserialize=True)["value"]
        found: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
        return found

    def clear(self, dag_id: str, run_id: str) -> None:
        """Make every task of a run start again."""
        body = {"dry_run": False, "only_failed": False}
        _accepted(self.http.post(f"/dags/{dag_id}/dagRuns/{run_id}/clear", json=body))

    def log(self, dag_id: str, run_id: str, task: dict[str, Any]) -> Iterator[str]:
        """Yield the lines of a task's newest log."""
        path = (
            f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task['task_id']}"
            f"/logs/{task['try_number']}"
        )
        query = {"map_index": task["map_index"], "full_content": True}
        answer = self.http.get(path, params=query, headers={"Accept": "application/json"})
        for line in _accepted(answer).json()["content"]:
            if isinstance(line, dict):
                detail = "".join(
                    f"\n{e['exc_type']}: {e['exc_value']}" for e in line.get("error_detail") or ()
                )
                yield f"{line.get('event', '')}{detail}"
            else:
                yield str(line)


def _accepted(answer: httpx.Response) -> httpx.Response:
    """Return *answer* if it is a success, else raise an error with Airflow's text."""
    if answer.is_success:
        return answer
    request = answer.request
    raise StackError(
        f"Airflow answered {answer.status_code} to {request.method} {request.url.path}: "
        f"{answer.text[:500]}"
    )
