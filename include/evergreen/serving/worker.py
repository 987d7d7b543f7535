"""
What runs in the process of one version: it loads the model once and predicts batches.

A version that crashes, hangs or holds the interpreter takes no request of another with it.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from evergreen.modeling.smoke_test import SmokeTest, SmokeTestResult, load_and_smoke_test
from evergreen.processes import exit_with_parent
from evergreen.values import Frozen

if TYPE_CHECKING:
    from evergreen.modeling.metrics import Predictions
    from evergreen.serving.inputs import Columns

_loaded: dict[str, Any] = {}


class Loaded(Frozen):
    """What the server must know of a version that is ready, or why it is not."""

    answer: SmokeTestResult
    pid: int
    inputs: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


def load(question: SmokeTest) -> Loaded:
    """Load the version in this process and hold it against its example."""
    from sklearn import set_config

    exit_with_parent()
    # Requests are checked before they come here; scikit-learn need not check them in each step.
    set_config(assume_finite=True, skip_parameter_validation=True)
    model, answer = load_and_smoke_test(question)
    if model is None:
        return Loaded(answer=answer, pid=os.getpid())
    names = getattr(model, "feature_names_in_", question.spec.examples.features)
    inputs = tuple(map(str, names))
    _loaded.update(model=model, spec=question.spec.examples, inputs=inputs)
    return Loaded(
        answer=answer,
        pid=os.getpid(),
        inputs=inputs,
        classes=tuple(map(str, getattr(model, "classes_", ()))),
    )


def predict_batch(columns: Columns) -> tuple[Predictions, float]:
    """
    Return what the loaded model says of *columns*, and the seconds that took.

    :raises ValueError: If a prediction is not finite, or no probability.
    """
    import numpy as np
    import pandas as pd

    from evergreen.modeling.prediction import are_sound, predict

    spec, inputs = _loaded["spec"], _loaded["inputs"]
    started = time.perf_counter()
    # Arrays, not Series, and in the model's own order: half a millisecond of the eight a row takes.
    frame = pd.DataFrame(
        {
            name: np.asarray(columns[name], dtype=np.float64)
            if name in spec.numeric
            else pd.array(columns[name], dtype="str")
            for name in inputs
            if name in columns
        },
        copy=False,
    )
    scores = predict(_loaded["model"], frame, spec=spec)
    if not are_sound(scores, spec=spec):
        raise ValueError("a prediction is not finite, or no probability")
    return scores, time.perf_counter() - started
