"""The seven tests of the ML Test Score about how a model is developed."""

from __future__ import annotations

import math
from collections.abc import Iterator

from evergreen.digests import is_commit_known
from evergreen.receipts.monitoring import VersionQuality
from evergreen.receipts.release import ScoredTest
from evergreen.registry.health_record import monitor_results, monitored_keys
from evergreen.reporting.readiness import NOT_RUN, Readiness, counted, scored
from evergreen.spec.metrics import METRIC_DEFINITIONS
from evergreen.storage import layout

#: With fewer versions than this no correlation is asked for.
MIN_VERSIONS = 5
#: One-sided, of the lower bound of the correlation.
CONFIDENCE = 0.95


def model_tests(of: Readiness) -> Iterator[ScoredTest]:
    """Yield the tests of the section, in the order of the paper."""
    yield _review(of)
    yield _offline_and_online(of)
    trials = of.evaluation.challenger.trials
    yield scored(
        "All hyperparameters have been tuned",
        1 if trials > 1 else 0,
        f"{of.evaluation.challenger.candidate}: {trials} trials by time-ordered cross-validation"
        if trials > 1
        else f"{NOT_RUN} for {of.evaluation.challenger.candidate}",
    )
    folder = layout.all_of("backtests", of.spec.model)
    backtests = sum(key.endswith(".csv") for key in of.store.list(folder))
    yield counted(
        "The impact of model staleness is known",
        backtests,
        f"{backtests} backtests of this model compare a frozen version with fresh ones",
    )
    yield _simpler_model(of)
    slices = [gate for gate in of.evaluation.gates if gate.name.startswith("slice ")]
    passed = sum(gate.status == "passed" for gate in slices)
    yield scored(
        "Model quality is sufficient on all important data slices",
        1 if slices and passed == len(slices) else 0,
        f"{passed} of {len(slices)} slices are as good as the champion's" if slices else NOT_RUN,
    )
    yield scored(
        "The model has been tested for considerations of inclusion",
        evidence="cannot be scored: no program knows whom the model could treat unfairly. Look at "
        "the slices, and write what you found under limits",
    )


def _review(of: Readiness) -> ScoredTest:
    """Give half a point for a clean commit, and a whole one if CI names who reviewed it."""
    name = "Every model specification is reviewed and checked in"
    identity = of.identity
    if not is_commit_known(identity):
        return scored(name, evidence=f"commit {identity.git_sha}")
    commit = f"commit {identity.git_sha[:12]}"
    if identity.git_dirty is not False:
        return scored(name, evidence=f"{commit}, with changes or none known")
    reviewers = sorted({one for receipt in of.ci_receipts for one in receipt.reviewers})
    if not reviewers:
        return scored(
            name, 0.5, f"made from {commit}, nothing changed; no CI receipt names a reviewer"
        )
    return scored(
        name, 1, f"made from {commit}, nothing changed; reviewed by {', '.join(reviewers)}"
    )


def _simpler_model(of: Readiness) -> ScoredTest:
    name, metric = "A simpler model is not better", of.spec.metric
    ours, line = (
        of.evaluation.metrics.get(who, {}).get(metric) for who in ("challenger", "linear baseline")
    )
    if ours is None or line is None:
        return scored(name)
    is_line_ahead = line < ours if METRIC_DEFINITIONS[metric].lower_is_better else line > ours
    evidence = f"{metric} {ours:.4f}, the linear baseline has {line:.4f}"
    return scored(name, 0 if is_line_ahead else 1, evidence)


def _offline_and_online(of: Readiness) -> ScoredTest:
    """Give the point if versions that were better on test days were better in service too."""
    name = "Offline proxy metrics correlate with online impact"
    pairs = [
        (one.offline, one.realised)
        for one in _measured_versions(of)
        if one.offline is not None and one.realised is not None
    ]
    if len(pairs) < MIN_VERSIONS:
        return scored(
            name,
            evidence=f"cannot be scored yet: {len(pairs)} champions of this model were measured in "
            f"service, {MIN_VERSIONS} are needed",
        )
    import numpy as np

    offline, online = np.array(pairs).T
    if not np.ptp(offline) or not np.ptp(online):
        return scored(name, evidence=f"{len(pairs)} champions, all with the same metric")
    correlation = float(np.corrcoef(offline, online)[0, 1])
    lower = correlation_bound(correlation, len(pairs))
    return scored(
        name,
        1 if lower > 0 else 0,
        f"{of.spec.metric} of {len(pairs)} champions of this model on test days and in service: "
        f"correlation {correlation:.2f}, lower bound {lower:.2f} ({CONFIDENCE:.0%})",
    )


def correlation_bound(correlation: float, number: int) -> float:
    """
    Return the one-sided lower bound of a correlation of *number* pairs, at least 4.

    Fisher, "On the Probable Error of a Coefficient of Correlation Deduced from a Small Sample",
    Metron 1, 1921.
    """
    from scipy import stats

    bounded = min(max(correlation, -1 + 1e-12), 1 - 1e-12)
    reach = float(stats.norm.ppf(CONFIDENCE)) / math.sqrt(number - 3)
    return math.tanh(math.atanh(bounded) - reach)


def _measured_versions(of: Readiness) -> Iterator[VersionQuality]:
    """
    Yield each version that served with what it kept, newest first, by the last page that knows.

    A page knows the versions of ``quality.lookback_days``, so one page in so many days is read.
    """
    known: set[str] = set()
    before = None
    for key in reversed(monitored_keys(of.store, of.spec.model)):
        day = layout.day_of(key)
        if before is not None and (before - day).days < of.spec.quality.lookback_days - 1:
            continue
        before = day
        for one in monitor_results(of.store, key).versions:
            if one.version not in known:
                known.add(one.version)
                yield one
