"""What a person is asked before a promotion, and what their answer is worth."""

from __future__ import annotations

from evergreen.receipts.release import ApprovalReceipt, RegistrationReceipt
from evergreen.reporting.evidence import EvidencePack


def question(
    pack: EvidencePack, *, evidence_url: str, environment: str | None = None
) -> tuple[str, str]:
    """
    Return a headline and a body in Markdown: the key numbers, and where the whole pack is.

    :param environment: Where the version shall serve; None is the environment that asks.
    """
    place = f" in {environment}" if environment else ""
    who = [name for name in ("challenger", "champion", "linear baseline") if name in pack.metrics]
    names = list(pack.metrics["challenger"])
    before = f"champion version {pack.champion_version}" if pack.champion_version else "no champion"
    unknown = [gate.name for gate in pack.gates if gate.status == "unknown"]
    over = next((g for g in pack.gates if g.name == f"{pack.metric} over the champion"), None)
    lines = [
        f"**{_plain(pack.challenger.candidate)}**, as of {pack.as_of:%Y-%m-%d %H:%M} UTC, passed "
        f"{len(pack.gates) - len(unknown)} gates on {pack.test_rows} rows, beside {before}.",
        "",
        f"| model | {' | '.join(names)} |",
        f"|---|{'---|' * len(names)}",
        *(
            f"| {name} | {' | '.join(_number(pack.metrics[name][m]) for m in names)} |"
            for name in who
        ),
        "",
        f"Over the champion: {over.measured}; required: {over.required}." if over else "",
        f"Unknown: {', '.join(map(_plain, unknown)) or 'nothing'}. "
        f"ML Test Score: {pack.test_score.total:g} of 7.{_libraries(pack)}",
        "",
        f"[The whole evidence pack]({evidence_url})",
        "",
        "Without an answer in time the champion stays.",
    ]
    return f"Promote {pack.model} version {pack.version}{place}?", "\n".join(lines)


def reason_not_approved(
    registration: RegistrationReceipt, approval: ApprovalReceipt | None, *, is_stale: bool
) -> str | None:
    """
    Return why a person's answer does not allow this promotion, or None if it does.

    :param is_stale: Whether another version serves than the one *registration* was compared with.
    """
    if approval is None or not approval.asked:
        return "the spec requires an approval and none was requested; clear approve_promotion"
    if not approval.approved:
        return (
            f"rejected by {approval.actor}: {approval.message}"
            if approval.message
            else (f"rejected by {approval.actor}")
        )
    approved = (approval.version, approval.compared_with)
    if is_stale or approved != (registration.version, registration.compared_with):
        return "the champion changed after the approval, which was given for another comparison"
    return None


def _libraries(pack: EvidencePack) -> str:
    found = pack.comparisons.dependencies
    if found is None or not found.changes:
        return ""
    return f" {len(found.changes)} libraries changed since the champion was made."


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


def _plain(text: str) -> str:
    """Return *text* without what Markdown would act on."""
    return "".join(c if c.isalnum() or c in " _-=.,:" else "·" for c in text)
