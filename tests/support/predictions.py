"""Frames of predictions of two models for the same rows, as somebody could hand them in."""

from __future__ import annotations

import numpy as np
import pandas as pd

CLASSES = ("late", "lost", "on time")
#: What else compare_predictions needs to know about the frames below.
NAMED = {"label": "label", "day": "day"}


def two_models(
    problem: str = "binary",
    *,
    rows: int = 600,
    days: int = 10,
    seed: int = 0,
    noise: tuple[float, float] = (2.0, 0.8),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the frames of a champion and a challenger; *noise* is that of each of them."""
    rng = np.random.default_rng(seed)
    base = pd.DataFrame(
        {
            "id": np.arange(rows),
            "day": pd.Timestamp("2013-03-01", tz="UTC")
            + pd.to_timedelta(np.arange(rows) % days, unit="D")
            + pd.to_timedelta(rng.integers(0, 86_400, rows), unit="s"),
        }
    )
    if problem == "multiclass":
        codes = np.arange(rows) // days % 3
        base["label"] = np.array(CLASSES)[codes]
        known = np.eye(3)[codes]
    else:
        known = np.arange(rows) // days % 2 if problem == "binary" else rng.normal(size=rows)
        base["label"] = known == 1 if problem == "binary" else known
    return tuple(base.assign(**_predicted(problem, known, rng=rng, noise=n)) for n in noise)


def _predicted(problem: str, known: np.ndarray, *, rng: np.random.Generator, noise: float):
    raw = known + rng.normal(0, noise, known.shape)
    if problem == "regression":
        return {"prediction": raw}
    if problem == "binary":
        return {"prediction": 1 / (1 + np.exp(0.5 - raw))}
    shares = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    return {f"prediction_{name}": shares[:, n] for n, name in enumerate(CLASSES)}
