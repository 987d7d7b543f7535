"""
Evergreen's stages of one night after the other in one warm process: what Airflow does, without it.

The same gates, evidence pack, ledger and report, one at a time. What a backfill costs beyond this
is orchestration: queueing, forking, parsing, answering, and the servers that do it.

``python stages_script.py store-folder mlflow-address model as_of...``
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from mlflow import MlflowClient

from evergreen.data.preparation import prepare_window
from evergreen.data.validation import validate_window
from evergreen.data.window import training_window
from evergreen.modeling.evaluation import evaluate_challenger
from evergreen.modeling.training import train_candidate
from evergreen.release.deployment import deploy_model
from evergreen.release.registration import register_model
from evergreen.reporting.drift_report import report_drift
from evergreen.spec import ModelSpec, load_spec
from evergreen.storage.base import ObjectStore
from evergreen.storage.folder import FolderStore
from evergreen.workspace import Workspace


def one_night(
    store: ObjectStore, client: MlflowClient, spec: ModelSpec, *, as_of: datetime
) -> None:
    window = training_window(as_of, spec.window)
    valid = validate_window(store, spec, as_of=as_of, days=window.days)
    examples = prepare_window(store, spec, window=window, validation=valid)
    candidates = [
        train_candidate(Workspace(store, client, spec), candidate=name, examples=examples, tags={})
        for name in spec.candidate_names
    ]
    judged = evaluate_challenger(
        Workspace(store, client, spec), candidates=candidates, examples=examples
    )
    drift = report_drift(store, spec, examples=examples)
    version = register_model(
        Workspace(store, client, spec),
        evaluation=judged,
        validation=valid,
        examples=examples,
        drift=drift,
        tags={},
    )
    deploy_model(
        Workspace(store, client, spec),
        registration=version,
        actor="bench",
        now=datetime.now(UTC),
        reevaluate=lambda: version,
    )


def main(folder: Path, mlflow_uri: str, model: str, *nights: str) -> None:
    store, client = FolderStore(folder), MlflowClient(mlflow_uri, mlflow_uri)
    spec = load_spec(model)
    for night in nights:
        one_night(store, client, spec, as_of=datetime.fromisoformat(night))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
