"""Addresses of what a task made: its page inside Airflow, and its run and version in MLflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote, urlsplit

from airflow.sdk import BaseOperatorLink, conf

from evergreen.receipts.release import RegistrationReceipt
from evergreen.release.registration import EVIDENCE
from evergreen.storage.layout import EVIDENCE_PAGE

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey


class _FoundLink(BaseOperatorLink):
    """A button to an address that the operator left in one of its attributes."""

    attribute: ClassVar[str]

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address the operator found, or nothing before it did."""
        return str(getattr(operator, self.attribute, ""))


class EvidenceLink(_FoundLink):
    """To the evidence pack that a person decides by."""

    name = "Evidence"
    attribute = "evidence_url"


class MlflowRunLink(_FoundLink):
    """To the run that holds a candidate's parameters, metrics and artifacts."""

    name = "MLflow run"
    attribute = "run_url"


class MlflowVersionLink(_FoundLink):
    """To the registered version with its tags and aliases."""

    name = "MLflow version"
    attribute = "version_url"


def page_url(context: Context, task_id: str | None = None) -> str:
    """
    Return where Airflow shows the report of a task of this run, behind its login.

    :param task_id: The task; None is the one that asks.
    """
    ti = context["ti"]
    base = str(conf.get("api", "base_url", fallback="http://localhost:8080")).rstrip("/")
    run, task = quote(ti.run_id, safe=""), quote(task_id or ti.task_id, safe="")
    return f"{base}/dags/{quote(ti.dag_id, safe='')}/runs/{run}/tasks/{task}/plugin/report"


def evidence_url(ui_url: str, registration: RegistrationReceipt) -> str:
    """Return where MLflow shows the pack of a version in another environment."""
    at = run_url(ui_url, experiment_id=registration.experiment_id, run_id=registration.run_id)
    return f"{at}/artifacts/{EVIDENCE}/{EVIDENCE_PAGE}"


def run_url(ui_url: str, *, experiment_id: str, run_id: str) -> str:
    """Return where MLflow shows a run."""
    return f"{_front(ui_url)}/experiments/{quote(experiment_id)}/runs/{quote(run_id)}"


def version_url(ui_url: str, *, model: str, version: str) -> str:
    """Return where MLflow shows a registered version."""
    return f"{_front(ui_url)}/models/{quote(model)}/versions/{quote(version)}"


def _front(ui_url: str) -> str:
    """Return the front door of MLflow's pages; a password in *ui_url* is left out."""
    parts = urlsplit(ui_url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}/#"
