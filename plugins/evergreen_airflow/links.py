"""The ways from a task into MLflow: buttons whose addresses are known once the task has run."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote, urlsplit

from airflow.sdk import BaseOperatorLink

from evergreen.receipts.release import RegistrationReceipt
from evergreen.release.registration import EVIDENCE
from evergreen.storage.layout import EVIDENCE_PAGE

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
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


def evidence_url(ui_url: str, registration: RegistrationReceipt) -> str:
    """Return where MLflow shows the pack."""
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
