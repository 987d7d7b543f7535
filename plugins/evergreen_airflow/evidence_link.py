"""The way from a task to the evidence pack of its version."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from airflow.sdk import BaseOperatorLink

from evergreen.evidence import PAGE
from evergreen.receipts import RegistrationReceipt
from evergreen.registration import EVIDENCE

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class EvidenceLink(BaseOperatorLink):
    """A button on the task; its address is known once the task has run."""

    name = "Evidence"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address the operator found, or nothing before it did."""
        return str(getattr(operator, "evidence_url", ""))


def evidence_url(tracking_uri: str, registration: RegistrationReceipt) -> str:
    """Return where MLflow shows the pack; a password in *tracking_uri* is left out."""
    parts = urlsplit(tracking_uri)
    host = parts.netloc.rpartition("@")[2]
    return (
        f"{parts.scheme}://{host}{parts.path.rstrip('/')}/#/experiments/"
        f"{quote(registration.experiment_id)}/runs/{quote(registration.run_id)}/artifacts/"
        f"{EVIDENCE}/{PAGE}"
    )
