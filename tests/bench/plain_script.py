"""
One night as a plain script: the same flights, candidates, model files and drift report, no gates.

What a careful person would write in one file; it shares the user's own functions (prepare and
pipeline) and nothing else with Evergreen. Arguments: raw folder, MLflow address, as_of date.
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
from scipy.stats import loguniform
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.model_selection import RandomizedSearchCV, TimeSeriesSplit
from sklearn.pipeline import Pipeline

from evergreen.spec import load_spec
from evergreen.spec.policy import Range
from models.flight_delay import pipeline
from models.flight_delay.prepare import prepare

SPEC = load_spec("flight_delay")
INPUTS = list(SPEC.examples.features)


def examples(raw: Path, first: date, end: date) -> pd.DataFrame:
    days = [first + timedelta(days=n) for n in range((end - first).days)]
    return pd.concat([one_day(raw, day) for day in days], ignore_index=True)


def one_day(raw: Path, day: date) -> pd.DataFrame:
    weather = [
        pd.read_parquet(raw / f"weather/{d}.parquet") for d in (day - timedelta(days=1), day)
    ]
    flights = pd.read_parquet(raw / f"flights/{day}.parquet")
    return prepare({"flights": flights, "weather": pd.concat(weather)}, day)


def known(frame: pd.DataFrame, as_of: date) -> pd.DataFrame:
    rows = frame[frame["known_at"] <= pd.Timestamp(as_of, tz="UTC")]
    return rows.assign(is_late=rows["is_late"].astype(bool))


def measure(model: Pipeline, rows: pd.DataFrame) -> dict[str, float]:
    scores = model.predict_proba(rows[INPUTS])[:, 1]
    late = rows["is_late"]
    return {
        "roc_auc": roc_auc_score(late, scores),
        "average_precision": average_precision_score(late, scores),
        "brier": brier_score_loss(late, scores),
        "log_loss": log_loss(late, scores),
    }


def fit(name: str, train: pd.DataFrame, validation: pd.DataFrame) -> tuple[Pipeline, dict]:
    search = SPEC.candidates[name].search if name in SPEC.candidates else None
    model = getattr(pipeline, "linear" if name == "baseline" else name)(SPEC.examples, seed=0)
    if search:
        space = {
            key: loguniform(of.low, of.high) if isinstance(of, Range) else list(of)
            for key, of in search.space.items()
        }
        found = RandomizedSearchCV(
            model, space, n_iter=search.trials, cv=TimeSeriesSplit(search.folds),
            scoring="roc_auc", refit=False, random_state=0,
        ).fit(train[INPUTS], train["is_late"])  # fmt: skip
        model.set_params(**found.best_params_)
    reached = measure(model.fit(train[INPUTS], train["is_late"]), validation)
    everything = pd.concat([train, validation])
    return model.fit(everything[INPUTS], everything["is_late"]), reached


def main(raw: Path, mlflow_uri: str, as_of: date) -> None:
    frame = examples(raw, as_of - timedelta(days=68), as_of)
    frame = known(frame, as_of)
    day = frame["event_time"].dt.date
    train = frame[day < as_of - timedelta(days=16)]
    validation = frame[(day >= as_of - timedelta(days=15)) & (day < as_of - timedelta(days=8))]
    test = frame[day >= as_of - timedelta(days=7)]
    mlflow.set_tracking_uri(mlflow_uri)
    mlflow.set_experiment("plain")
    fitted = {}
    for name in (*SPEC.candidates, "baseline"):
        with mlflow.start_run(run_name=name) as run:
            model, reached = fit(name, train, validation)
            mlflow.log_metrics(reached)
            mlflow.sklearn.log_model(
                model, name="model", input_example=train[INPUTS].head(5),
                skops_trusted_types=skops.io.get_untrusted_types(data=skops.io.dumps(model)),
                pip_requirements=["scikit-learn", "pandas", "skops"],
            )  # fmt: skip
            fitted[name] = (reached["roc_auc"], model, run.info.run_id)
    _, best, run_id = max(fitted.values(), key=lambda found: found[0])
    print(measure(best, test), measure(fitted["baseline"][1], test))
    version = mlflow.register_model(f"runs:/{run_id}/model", "plain")
    mlflow.MlflowClient().set_registered_model_alias("plain", "champion", version.version)
    columns = DataDefinition(
        numerical_columns=list(SPEC.examples.numeric),
        categorical_columns=list(SPEC.examples.categorical),
    )
    reference, current = (
        Dataset.from_pandas(f[INPUTS].sample(5000, random_state=0), data_definition=columns)
        for f in (pd.concat([train, validation]), test)
    )
    report = Report([DataDriftPreset()]).run(current, reference)
    report.save_html(str(raw.parent / f"plain-{as_of}.html"))
    report.save_json(str(raw.parent / f"plain-{as_of}.json"))
    today = one_day(raw, as_of)
    today.assign(score=best.predict_proba(today[INPUTS])[:, 1]).to_parquet(
        raw.parent / f"plain-{as_of}.parquet"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], date.fromisoformat(sys.argv[3]))
