"""Train one candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowSkipException

from evergreen.receipts.data import ExamplesReceipt
from evergreen.receipts.modeling import CandidateReceipt
from evergreen.spec.modeling import BASELINE
from evergreen_airflow.links import MlflowRunLink, run_url
from evergreen_airflow.operators.base import StageOperator
from evergreen_airflow.run_context import identity_of
from evergreen_airflow.task_log import log_table

if TYPE_CHECKING:
    from airflow.sdk import Context

#: Where a Dask scheduler listens unless the variable says otherwise.
DASK_PORT = 8786


class TrainCandidateOperator(StageOperator):
    """
    Fit one candidate on the training days and log it to MLflow. Mapped over the candidates.

    Safe to retry: work that is done already is found by its key and taken as it is.

    :param candidate: Name of the candidate. (templated)
    :param examples: Receipt of ``prepare_examples``; pass its ``.output``. (templated)
    :return: A :class:`~evergreen.receipts.modeling.CandidateReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = ("model", "candidate", "examples")
    template_fields_renderers: ClassVar[dict[str, str]] = {"examples": "json"}
    operator_extra_links = (MlflowRunLink(),)
    ui_color = "#e6f0fa"

    def __init__(self, *, candidate: str, examples: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.candidate = candidate
        self.examples = examples

    def run_stage(self, context: Context) -> CandidateReceipt:
        """Train unless the run's form left this candidate out, then show what it reached."""
        from evergreen.modeling.training import train_candidate  # heavy: scikit-learn

        chosen = context["params"].get("candidates", list(self.spec.candidates))
        if self.candidate not in (*chosen, BASELINE):
            raise AirflowSkipException(f"{self.candidate} was left out of this run's candidates.")
        receipt = train_candidate(
            self.workspace,
            candidate=self.candidate,
            examples=ExamplesReceipt.model_validate(self.examples),
            tags=identity_of(context),
            engine=self._engine(),
        )
        self.run_url = run_url(
            self.registry_url,
            experiment_id=self.client.get_run(receipt.run_id).info.experiment_id,
            run_id=receipt.run_id,
        )
        reached = receipt.validation.get(self.spec.metric)
        self.log.info(
            "%s: %s",
            receipt.candidate,
            "fitted once, for nothing is ranked against it"
            if reached is None
            else f"{self.spec.metric} {reached:.4f} on the validation days",
        )
        rows = [
            *(("validation " + name, value) for name, value in receipt.validation.items()),
            *receipt.params.items(),
            (
                "artifact",
                f"{receipt.artifact_bytes / 1e6:.2f} MB, sha256 {receipt.artifact_sha256[:12]}",
            ),
            ("MLflow run", receipt.run_id),
        ]
        log_table(self.log, f"Candidate {receipt.candidate}", ("what", "value"), rows)
        return receipt

    def _engine(self) -> str | None:
        """Return the address of the cluster that the spec requires."""
        conn_id = self.spec.engine.dask
        if conn_id is None:
            return None
        found = BaseHook.get_connection(conn_id)
        return f"tcp://{found.host}:{found.port or DASK_PORT}"
