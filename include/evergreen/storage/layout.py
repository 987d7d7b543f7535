"""
Where every object lies in the store. The only place that spells keys.

A key is ``<kind>/<model>/<what it is about>``, so that one prefix lists all objects of one kind and
one model. ``docs/store.md`` describes the kinds for people.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import PurePosixPath
from typing import Literal, get_args

#: Every first part of a key, but for raw data, whose paths the spec names.
Kind = Literal[
    "backtests",
    "candidates",
    "ci",
    "decisions",
    "distances",
    "doctor",
    "evaluation_levels",
    "evaluations",
    "evidence",
    "examples",
    "extractions",
    "housekeeping",
    "identities",
    "ledger",
    "ledger_checkpoints",
    "monitoring",
    "predictions",
    "quality",
    "quarantine",
    "reports",
    "reproductions",
    "requests",
    "retrain_requests",
    "rollouts",
    "served",
    "servers",
    "service",
    "skew",
    "validation",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

INSTANT = "%Y%m%dT%H%M%S.%fZ"  # within a key
MANIFEST = "manifest.json"
EVIDENCE_PAGE, EVIDENCE_DATA = "evidence.html", "evidence.json"
HEALTH_PAGE, HEALTH_DATA = "health.html", "health.json"


def kind_of(key: str) -> str:
    """Return the kind of the object under *key*."""
    return key.partition("/")[0]


def all_of(kind: Kind, model: str = "") -> str:
    """Return the prefix of every object of *kind* of *model*, or of all models."""
    return f"{kind}/{model}/" if model else f"{kind}/"


def extraction_record(model: str, table: str, day: date | None = None, query: str = "") -> str:
    """Return the key of the record that *query* read *day*, or the prefix of those of the table."""
    return f"extractions/{model}/{table}/" + (f"{day}/{query}" if day else "")


def parsed_extraction(key: str) -> tuple[date, str]:
    """Return the day and the digest of the query that the key of an extraction names."""
    *_, day, query = key.split("/")
    return date.fromisoformat(day), query


def validation_folder(model: str, table: str, day: date) -> str:
    """Return the folder of the verdicts on one partition."""
    return f"validation/{model}/{table}/{day}"


def validated_windows(model: str) -> str:
    """Return the folder of the records of validated windows."""
    return f"validation/{model}/windows"


def quarantine_folder(model: str, table: str, day: date) -> str:
    """Return the folder of the rows of one partition that broke the contract."""
    return f"quarantine/{model}/{table}/{day}"


def examples_folder(model: str, day: date) -> str:
    """Return the folder of the examples of one day."""
    return f"examples/{model}/{day}"


def examples_record(model: str, day: date, cache_key: str) -> str:
    """Return the key of the record of one prepared day."""
    return f"examples/{model}/{day}/{cache_key}.json"


def examples_windows(model: str) -> str:
    """Return the folder of the manifests of whole windows."""
    return f"examples/{model}/windows"


def candidate_record(model: str, key: str) -> str:
    """Return the key of the receipt of one fitted candidate."""
    return f"candidates/{model}/{key}.json"


def ci_folder(commit: str) -> str:
    """Return the folder of the receipts of the CI runs of one commit, of every model."""
    return f"ci/{commit}"


def evaluations_of(model: str, key: str) -> str:
    """Return the prefix of the evaluations of the challenger with *key*."""
    return f"evaluations/{model}/{key}/"


def evaluation_record(model: str, key: str, against: str) -> str:
    """Return the key of the evaluation of a challenger beside one champion."""
    return f"evaluations/{model}/{key}/against-{against}.json"


def evaluation_level(model: str, as_of: datetime, key: str, against: str, level: float) -> str:
    """Return the key of the level of one evaluation. A list of keys gives all levels."""
    what = f"{as_of.astimezone(UTC):{INSTANT}}_{key}_{against}_{level:.6f}"
    return f"evaluation_levels/{model}/{what}.json"


def parsed_level(key: str) -> tuple[datetime, str, str, float]:
    """Return instant, challenger, champion and level that the key of a level names."""
    instant, challenger, against, level = PurePosixPath(key).stem.split("_")
    as_of = datetime.strptime(instant, INSTANT).replace(tzinfo=UTC)
    return as_of, challenger, against, float(level)


def sanity_record(model: str, key: str) -> str:
    """Return the key of the sanity checks of one challenger."""
    return f"evaluations/{model}/{key}/sanity.json"


def identity_record(model: str, key: str) -> str:
    """Return the key of the record of what made a version."""
    return f"identities/{model}/{key}.json"


def evidence_of(model: str, key: str) -> str:
    """Return the prefix of the evidence of the version with *key*."""
    return f"evidence/{model}/{key}/"


def evidence_folder(model: str, key: str, against: str) -> str:
    """Return the folder of the evidence of a version beside one champion."""
    return f"evidence/{model}/{key}/against-{against}"


def ledger_entry(model: str, number: int) -> str:
    """Return the key of entry *number*, counted from 1."""
    return f"ledger/{model}/{number:08d}.json"


def ledger_checkpoint(model: str, number: int) -> str:
    """Return the key of the checkpoint of the first *number* entries."""
    return f"ledger_checkpoints/{model}/{number:08d}.json"


def decision_record(model: str, digest: str) -> str:
    """Return the key of what the run with that *digest* decided."""
    return f"decisions/{model}/{digest}.json"


def predictions_folder(model: str, day: date) -> str:
    """Return the folder of the predictions of one day."""
    return f"predictions/{model}/{day}"


def predictions_manifest(model: str, day: date) -> str:
    """Return the key of the manifest that makes the predictions of a day visible."""
    return f"predictions/{model}/{day}/{MANIFEST}"


def is_manifest(key: str) -> bool:
    """Return whether *key* is one of :func:`predictions_manifest`."""
    return key.endswith(f"/{MANIFEST}")


def joined_day_folder(model: str, day: date) -> str:
    """Return the folder of the predictions of a day joined with their labels."""
    return f"quality/{model}/{day}"


def quality_window(model: str, last: date, cache_key: str) -> str:
    """Return the key of the quality measured on the window that ends with *last*."""
    return f"quality/{model}/{last}/window-{cache_key}.json"


def quality_folder(model: str) -> str:
    """Return the folder of the tables of quality windows."""
    return f"quality/{model}"


def is_quality_window(key: str) -> bool:
    """Return whether *key* is one of :func:`quality_window`."""
    return "/window-" in key


def drift_distances(model: str, day: date, cache_key: str) -> str:
    """Return the key of the distances of one day."""
    return f"distances/{model}/{day}/{cache_key}.json"


def training_reports(model: str, as_of: datetime) -> str:
    """Return the folder of the drift reports of the retrain at *as_of*."""
    return f"reports/{model}/{as_of:%Y-%m-%dT%H%M}"


def monitoring_reports(model: str) -> str:
    """Return the prefix of all drift reports of monitored days."""
    return f"reports/{model}/monitor/"


def monitoring_report(model: str, day: date) -> str:
    """Return the folder of the drift report of a monitored day."""
    return f"reports/{model}/monitor/{day}"


def service_summary(model: str, day: date, cache_key: str) -> str:
    """Return the key of the summary of the requests of one day."""
    return f"service/{model}/{day}/{cache_key}.json"


def requests_folder(model: str, day: date) -> str:
    """Return the folder of the request log of one day."""
    return f"requests/{model}/{day}"


def served_folder(model: str, day: date) -> str:
    """Return the folder of the whole rows that were served for events of one day."""
    return f"served/{model}/{day}"


def skew_record(model: str, day: date) -> str:
    """Return the key of the training-serving skew of one day."""
    return f"skew/{model}/{day}.json"


def health_folder(model: str, day: date) -> str:
    """Return the folder of the health page of one day."""
    return f"monitoring/{model}/{day}"


def health_record(model: str, day: date) -> str:
    """Return the key of what the health page of one day is made of."""
    return f"monitoring/{model}/{day}/{HEALTH_DATA}"


def day_of(key: str) -> date:
    """Return the day that the key ``<kind>/<model>/<day>...`` is about."""
    return date.fromisoformat(key.split("/")[2][:10])


def is_health_record(key: str) -> bool:
    """Return whether *key* is one of :func:`health_record`."""
    return key.endswith(f"/{HEALTH_DATA}")


def retrain_request(model: str, as_of: datetime, kind: str) -> str:
    """Return the key of a request to retrain; *kind* is empty for the first of its instant."""
    return f"retrain_requests/{model}/{as_of:%Y-%m-%dT%H%M%S}{kind}.json"


def stage_observation(model: str, number: int, replica: str = "") -> str:
    """Return the key of what one server counted in the stage of entry *number*, or the prefix."""
    return f"rollouts/{model}/{number:08d}/" + (f"{replica}.json" if replica else "")


def heartbeat(replica: str = "") -> str:
    """Return the key of the heartbeat of one model server, or the prefix of all."""
    return f"servers/{replica}.json" if replica else "servers/"


def reproduction_record(model: str, key: str) -> str:
    """Return the key of the result of reproducing the version with *key*."""
    return f"reproductions/{model}/{key}.json"


def backtest_folder(model: str, span: str) -> str:
    """Return the folder of the table and the plot of one backtest."""
    return f"backtests/{model}/{span}"


def housekeeping_folder(model: str) -> str:
    """Return the folder of the lists of what housekeeping deleted."""
    return f"housekeeping/{model}"


def conformance_prefix(name: str = "") -> str:
    """Return where the conformance check of a store writes; it removes all of it."""
    return f"doctor/{name}" if name else "doctor/"
