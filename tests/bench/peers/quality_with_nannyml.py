"""
NannyML's quality of the census employment set that it brings: CBPE, and the realised ROC-AUC.

Both with its defaults, in chunks of 5,000 rows; a share of the labels is flipped at random.
``python quality_with_nannyml.py folder`` writes ``folder/census.parquet`` (every row with
``chunk``, -1 in the reference, ``score``, and the labels ``flipped_0`` to ``flipped_30``) and
``folder/verdicts.json``: the estimate of each chunk, whether it is an alert, per share of flips
whether the realised value is one, and the ``seconds`` of each.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from nannyml import CBPE, PerformanceCalculator
from nannyml.datasets import load_us_census_ma_employment_data

CHUNK = 5_000
FLIPS = (0, 10, 20, 30)
SCORE, ANSWER, LABEL = "predicted_probability", "prediction", "employed"


def main(folder: Path) -> None:
    """Write the rows and NannyML's verdicts."""
    warnings.simplefilter("ignore")
    reference, analysis, targets = load_us_census_ma_employment_data()
    analysis = analysis.iloc[: len(analysis) // CHUNK * CHUNK].merge(targets, on="id")
    common = {
        "metrics": ["roc_auc"],
        "y_pred_proba": SCORE,
        "y_pred": ANSWER,
        "y_true": LABEL,
        "problem_type": "classification_binary",
        "chunk_size": CHUNK,
    }
    started = time.process_time()
    estimated = CBPE(**common).fit(reference).estimate(analysis.drop(columns=LABEL))
    verdicts = {
        **_found(estimated, "estimated", "estimated_alerts"),
        "estimate_seconds": time.process_time() - started,
        "realised_alerts": {},
        "realised_seconds": {},
    }
    rows = [_rows(reference, dict.fromkeys(FLIPS, reference[LABEL]), -1)]
    labels = {share: _flipped(analysis[LABEL], share) for share in FLIPS}
    rows.append(_rows(analysis, labels, np.arange(len(analysis)) // CHUNK))
    for share, label in labels.items():
        started = time.process_time()
        realised = PerformanceCalculator(**common).fit(reference)
        found = realised.calculate(analysis.assign(**{LABEL: label}))
        verdicts["realised_alerts"][share] = _found(found, "", "alerts")["alerts"]
        verdicts["realised_seconds"][share] = time.process_time() - started
    pd.concat(rows, ignore_index=True).to_parquet(folder / "census.parquet")
    (folder / "verdicts.json").write_text(json.dumps(verdicts))


def _found(result: object, values: str, alerts: str) -> dict[str, list]:
    found = result.filter(period="analysis").to_df()["roc_auc"]
    return {
        values: [float(one) for one in found["value"]],
        alerts: [bool(one) for one in found["alert"]],
    }


def _flipped(labels: pd.Series, percent: int) -> pd.Series:
    is_flipped = np.random.default_rng(percent).random(len(labels)) < percent / 100
    return labels.where(~is_flipped, 1 - labels)


def _rows(rows: pd.DataFrame, labels: dict[int, pd.Series], chunk: object) -> pd.DataFrame:
    found = pd.DataFrame({"chunk": chunk, "score": rows[SCORE].to_numpy()}, index=rows.index)
    return found.assign(**{f"flipped_{share}": of for share, of in labels.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
