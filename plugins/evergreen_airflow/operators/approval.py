"""Ask a person."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowSkipException

from evergreen.receipts.release import ApprovalReceipt, RegistrationReceipt, registration_in
from evergreen.release.approval import question
from evergreen.release.deployment import reason_not_to_promote
from evergreen.reporting.evidence import EvidencePack
from evergreen.spec import ModelSpec
from evergreen.storage.layout import EVIDENCE_DATA, EVIDENCE_PAGE
from evergreen.storage.records import load_document
from evergreen_airflow.alerts import alert
from evergreen_airflow.links import EvidenceLink, evidence_url, page_url
from evergreen_airflow.operators.base import ModelOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

APPROVE, REJECT = "Approve", "Reject"
WORDS = Param(
    "",
    type="string",
    maxLength=1000,
    title="Comment",
    description="Why; kept in the ledger with your name.",
    source="task",
)


class ApprovePromotionOperator(ModelOperator, HITLOperator):
    """
    Wait for a person's approval of a version that passed its gates.

    The task waits without a worker slot. No answer in time means no. No one is asked about a
    version that may not serve anyway. Safe to retry: cleared, it asks again.

    :param registration: Receipt of ``register_model`` or ``promote_model``; pass its ``.output``.
        (templated)
    :param environment: Where the version shall serve, for the question; None is this environment.
        (templated)
    :return: An :class:`~evergreen.receipts.release.ApprovalReceipt` as a plain dict.
    """

    template_fields: Sequence[str] = (
        "model",
        "store_conn_id",
        "registry_conn_id",
        "registration",
        "environment",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"registration": "json"}
    operator_extra_links = (EvidenceLink(),)
    ui_color = "#fff2b8"

    def __init__(
        self, *, registration: dict[str, Any], environment: str | None = None, **kwargs: Any
    ) -> None:
        kwargs.pop("params", None)  # the run's own, which Airflow adds; this form has only WORDS
        super().__init__(
            subject="Promote this version?",  # the real question is known when the task runs
            options=[APPROVE, REJECT],
            defaults=REJECT,
            params={"message": WORDS},
            **kwargs,
        )
        self.registration = registration
        self.environment = environment

    def execute(self, context: Context) -> dict[str, Any]:
        """Ask, unless the answer could change nothing."""
        with self.task(context):
            registration = registration_in(self.registration)
            if registration is None:
                raise AirflowSkipException(
                    "Dry run: nothing was registered, so no approval is requested."
                )
            self.evidence_url = self._evidence(context, registration)
            reason = reason_not_to_promote(
                self.workspace,
                registration=registration,
                now=datetime.now(UTC),
                dry_run=bool(context["params"].get("dry_run", False)),
            )
            if reason is not None:
                self.log.info(
                    "No approval is requested for version %s: %s", registration.version, reason
                )
                return self._receipt(registration, actor="none", message=reason)
            key = registration.evidence.removesuffix(EVIDENCE_PAGE) + EVIDENCE_DATA
            pack = load_document(self.store, key, EvidencePack)
            self.subject, self.body = question(
                pack, evidence_url=self.evidence_url, environment=self.environment
            )
            self.log.info("%s\n%s", self.subject, self.body)
            link = self.generate_link_to_ui(task_instance=context["ti"])
            alert(context, self.spec, title=self.subject, body=f"{self.body}\n\n[Answer]({link})")
        super().execute(context)
        raise RuntimeError("Airflow did not wait for an answer")  # pragma: no cover

    def execute_complete(self, context: Context, event: dict[str, Any]) -> dict[str, Any]:
        """Say who answered what; a time-out is a rejection."""
        registration = registration_in(self.registration)
        if registration is None:
            raise ValueError("registration is the receipt of a dry run; no approval was requested")
        self.evidence_url = self._evidence(context, registration)
        answer = super().execute_complete(context, event)
        person = answer["responded_by_user"]
        is_yes = answer["chosen_options"] == [APPROVE] and person is not None
        hours = self.spec.deployment.approval.within_hours
        receipt = self._receipt(
            registration,
            asked=True,
            approved=is_yes,
            actor=person["name"] if person else f"timeout, after {hours:g} hours without an answer",
            message=str(answer["params_input"].get("message") or "").strip(),
        )
        verdict = "approved" if receipt["approved"] else "rejected"
        self.log.info(
            "Version %s was %s by %s: %s",
            receipt["version"],
            verdict,
            receipt["actor"],
            receipt["message"] or "no comment",
        )
        return receipt

    def _evidence(self, context: Context, registration: RegistrationReceipt) -> str:
        """Return where the evidence is: of another environment in MLflow there, else here."""
        if self.environment is not None:
            return evidence_url(self.registry_url, registration)
        return page_url(context, "register_model")

    def _receipt(self, registration: RegistrationReceipt, **verdict: Any) -> dict[str, Any]:
        answer = {"asked": False, "approved": False} | verdict
        return ApprovalReceipt(
            model=registration.model,
            as_of=registration.as_of,
            version=registration.version,
            compared_with=registration.compared_with,
            **answer,
        ).model_dump(mode="json")


def approve_promotion(
    spec: ModelSpec, *, registration: Any, **where: Any
) -> ApprovePromotionOperator | None:
    """
    Return the task ``approve_promotion`` of the current DAG; None if the spec requires no approval.

    :param registration: The ``.output`` of the task that registers the version.
    :param where: Further arguments of the operator: connections, ``environment``.
    """
    ask = spec.deployment.approval
    if not ask.required:
        return None
    return ApprovePromotionOperator(
        task_id="approve_promotion",
        model=spec.model,
        registration=registration,
        assigned_users=[{"id": name, "name": name} for name in ask.users] or None,
        response_timeout=timedelta(hours=ask.within_hours),
        **where,
    )
