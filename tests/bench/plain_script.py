"""
One night as a plain script: what a careful person writes in one file, with the same libraries.

The flights of the trailing days joined with weather, checked, one boosting model, measured on the
newest week, logged and registered in MLflow, loaded again, the day scored, Evidently's drift report
written. It shares the user's own functions (prepare and pipeline) with Evergreen and nothing else.
MLflow's dependency inference is off, as it is in Evergreen.

``python plain_script.py raw-folder mlflow-address as_of [flights-folder]``
"""

from __future__ import annotations

import sys
from datetime import date, timedelta
from pathlib import Path

import mlflow
import pandas as pd
import skops.io
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
from models.night import pipeline
from models.night.prepare import prepare
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.pipeline import Pipeline

from evergreen.spec import load_spec

SPEC = load_spec("night")
INPUTS = list(SPEC.examples.features)
LABEL = SPEC.examples.label
#: As in the spec's window: days before the test week, a gap for late labels, the test week.
DAYS = SPEC.window.train_days + SPEC.window.gap_days
TEST_DAYS = SPEC.window.test_days
NAME = "plain"


def one_day(raw: Path, day: date, *, flights: str = "flights") -> pd.DataFrame:
    def table(folder: str) -> pd.DataFrame:
        days = (day - timedelta(days=1), day)
        return pd.concat(pd.read_parquet(raw / f"{folder}/{d}.parquet") for d in days)

    return prepare({"flights": table(flights), "weather": table("weather")}, day)


def read(raw: Path, as_of: date, *, flights: str = "flights") -> pd.DataFrame:
    first = as_of - timedelta(days=DAYS + TEST_DAYS)
    days = [first + timedelta(days=n) for n in range((as_of - first).days)]
    frame = pd.concat([one_day(raw, day, flights=flights) for day in days], ignore_index=True)
    known = frame[frame["known_at"] <= pd.Timestamp(as_of, tz="UTC")]
    return known.assign(is_late=known["is_late"].astype(bool))


def check(frame: pd.DataFrame) -> pd.DataFrame:
    keys = list(SPEC.examples.entity_key)
    assert not frame.duplicated(keys).any()
    assert frame["distance"].between(1, 6000).all()
    assert frame["hour"].between(0, 23).all()
    assert set(frame["origin"]) <= {"EWR", "JFK", "LGA"}
    return frame


def split(frame: pd.DataFrame, as_of: date) -> tuple[pd.DataFrame, pd.DataFrame]:
    day = frame["event_time"].dt.date
    gap = timedelta(days=TEST_DAYS + SPEC.window.gap_days)
    return frame[day < as_of - gap], frame[day >= as_of - timedelta(days=TEST_DAYS)]


def fit(train: pd.DataFrame) -> Pipeline:
    return pipeline.boosting(SPEC.examples, seed=0).fit(train[INPUTS], train[LABEL])


def measure(model: Pipeline, rows: pd.DataFrame) -> dict[str, float]:
    scores = model.predict_proba(rows[INPUTS])[:, 1]
    late = rows[LABEL]
    return {
        "roc_auc": roc_auc_score(late, scores),
        "average_precision": average_precision_score(late, scores),
        "brier": brier_score_loss(late, scores),
        "log_loss": log_loss(late, scores),
    }


def log_model(mlflow_uri: str, model: Pipeline, example: pd.DataFrame, reached: dict) -> str:
    mlflow.set_tracking_uri(mlflow_uri)
    mlflow.set_experiment(NAME)
    with mlflow.start_run() as run:
        mlflow.log_params({"candidate": "boosting"})
        mlflow.log_metrics(reached)
        mlflow.sklearn.log_model(
            model,
            name="model",
            input_example=example,
            skops_trusted_types=skops.io.get_untrusted_types(data=skops.io.dumps(model)),
            pip_requirements=["scikit-learn", "pandas", "skops"],
        )
    return run.info.run_id


def register(mlflow_uri: str, run_id: str) -> None:
    mlflow.set_tracking_uri(mlflow_uri)
    version = mlflow.register_model(f"runs:/{run_id}/model", NAME)
    mlflow.MlflowClient().set_registered_model_alias(NAME, "champion", version.version)


def score(mlflow_uri: str, rows: pd.DataFrame, to: Path) -> None:
    mlflow.set_tracking_uri(mlflow_uri)
    model = mlflow.sklearn.load_model(f"models:/{NAME}@champion")
    rows.assign(score=model.predict_proba(rows[INPUTS])[:, 1]).to_parquet(to)


def report(train: pd.DataFrame, test: pd.DataFrame, to: Path) -> None:
    columns = DataDefinition(
        numerical_columns=list(SPEC.examples.numeric),
        categorical_columns=list(SPEC.examples.categorical),
    )
    reference, current = (
        Dataset.from_pandas(
            f[INPUTS].sample(min(len(f), 5000), random_state=0), data_definition=columns
        )
        for f in (train, test)
    )
    found = Report([DataDriftPreset()]).run(current, reference)
    found.save_html(f"{to}.html")
    found.save_json(f"{to}.json")


def main(raw: Path, mlflow_uri: str, as_of: date, flights: str = "flights") -> None:
    train, test = split(check(read(raw, as_of, flights=flights)), as_of)
    model = fit(train)
    run_id = log_model(mlflow_uri, model, train[INPUTS].head(5), measure(model, test))
    register(mlflow_uri, run_id)
    to = raw.parent / "plain"
    to.mkdir(exist_ok=True)
    score(mlflow_uri, one_day(raw, as_of, flights=flights), to / f"{as_of}.parquet")
    report(train, test, to / str(as_of))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], date.fromisoformat(sys.argv[3]), *sys.argv[4:])
