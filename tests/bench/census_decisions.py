"""
Measure the estimate and the decline of quality on NannyML's census employment set, beside NannyML.

The rows are real: is a person of Massachusetts employed, 2015 as the reference and the years after
it in chunks of 5,000 rows. They have no days, so each chunk is taken as a week of seven days of
equal size, and the last two weeks of the reference as the version's test days.
``make bench-decisions PARTS=quality``.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from tests.bench.peers.environments import PeerMissingError, run_peer, title
from tests.bench.rates import Mean, Rate

from evergreen.modeling.metrics import Labels
from evergreen.monitoring.performance_estimation import calibrated, expected_metrics
from evergreen.monitoring.quality_decline import decline_of, skill_and_error
from evergreen.receipts.monitoring import Decline
from evergreen.spec import ModelSpec, load_spec

DATA, PEER = "census employment", "nannyml"
DAYS_OF_CHUNK = 7
FLIPS = (0, 10, 20, 30)


def labels_of(values: np.ndarray) -> Labels:
    """Return 0 and 1 as the labels of a binary problem."""
    return Labels(problem="binary", values=values.astype(bool))


def days_of(rows: int, days: int) -> np.ndarray:
    """Return the number of the day of each row, *days* of equal size in order."""
    return np.arange(rows) * days // rows


def is_red(found: Decline | None, spec: ModelSpec) -> bool:
    """Return whether a decline is red in the monitor."""
    return found is not None and found.lower > 0 and found.drop > spec.quality.max_drop


def estimates(spec: ModelSpec, reference: pd.DataFrame, chunks: list[pd.DataFrame]) -> list[float]:
    """Return the estimated ROC-AUC of each chunk, calibrated on as many rows as the monitor."""
    known = reference.sample(n=spec.drift.sample_rows, random_state=spec.seed)
    truth, before = labels_of(known["flipped_0"].to_numpy()), known["score"].to_numpy()
    found = []
    for chunk in chunks:
        scores = chunk["score"].to_numpy()
        chances = calibrated(truth, before, to=scores)
        value = expected_metrics(scores, chances, problem="binary")["roc_auc"]
        found.append(float("nan") if value is None else value)
    return found


def declines(
    spec: ModelSpec, reference: pd.DataFrame, chunks: list[pd.DataFrame], label: str
) -> list[Decline | None]:
    """Return the decline of each chunk with the labels of column *label*."""
    rows = 2 * len(chunks[0])
    tests, days = reference.iloc[-rows:], days_of(rows, 2 * DAYS_OF_CHUNK)
    truth = labels_of(tests["flipped_0"].to_numpy())
    promised, _ = skill_and_error(truth, tests["score"].to_numpy(), days, metric="roc_auc")
    return [
        decline_of(
            spec,
            labels_of(chunk[label].to_numpy()),
            chunk["score"].to_numpy(),
            days_of(len(chunk), DAYS_OF_CHUNK),
            version="1",
            on_test_days=promised,
        )
        for chunk in chunks
    ]


def rows() -> Iterator[Rate | Mean]:
    """Yield the errors of the estimates, and how often a chunk is red, of both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            theirs = run_peer(PEER, folder, script="quality_with_nannyml.py")
        except PeerMissingError as error:
            yield Rate("quality", DATA, title(PEER), 0, 0, 0.0, note=str(error))
            return
        census = pd.read_parquet(folder / "census.parquet")
    spec = load_spec("flight_delay")
    reference = census[census["chunk"] < 0]
    chunks = [rows for _, rows in census[census["chunk"] >= 0].groupby("chunk")]
    started = time.process_time()
    ours = estimates(spec, reference, chunks)
    spent = time.process_time() - started
    actual = [roc_auc_score(chunk["flipped_0"], chunk["score"]) for chunk in chunks]
    yield _error("Evergreen", ours, actual, spent)
    yield _error(title(PEER), theirs["estimated"], actual, theirs["estimate_seconds"])
    yield from _red(spec, reference, chunks, theirs)
    alerts = theirs["estimated_alerts"]
    what = "the estimate alone is an alert, labels as they are"
    yield Rate(what, DATA, title(PEER), len(alerts), sum(alerts), 0.0)


def _error(method: str, estimated: list[float], actual: list[float], spent: float) -> Mean:
    errors = np.abs(np.subtract(estimated, actual))
    error = float(errors.std(ddof=1) / np.sqrt(len(errors)))
    what = "absolute error of the estimated ROC-AUC of a chunk"
    return Mean(what, DATA, method, len(errors), float(errors.mean()), error, spent)


def _red(
    spec: ModelSpec, reference: pd.DataFrame, chunks: list[pd.DataFrame], theirs: dict
) -> Iterator[Rate]:
    for flips in FLIPS:
        how = f"{flips} % of the labels flipped" if flips else "labels as they are"
        started = time.process_time()
        found = declines(spec, reference, chunks, f"flipped_{flips}")
        spent = time.process_time() - started
        fell = sum(one is not None and one.lower > 0 for one in found)
        red = sum(is_red(one, spec) for one in found)
        yield Rate(f"a chunk is red, {how}", DATA, "Evergreen", len(found), red, spent)
        yield Rate(f"a chunk is amber or red, {how}", DATA, "Evergreen", len(found), fell, 0.0)
        alerts = theirs["realised_alerts"][str(flips)]
        seconds = theirs["realised_seconds"][str(flips)]
        what = f"the realised ROC-AUC of a chunk is an alert, {how}"
        yield Rate(what, DATA, title(PEER), len(alerts), sum(alerts), seconds)
