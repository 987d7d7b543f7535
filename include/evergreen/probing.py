"""
Load a version and predict its example in a process of its own, as a server would.

The process that trained a model may hold what makes it work: imports, globals, other versions of a
module. ``python -m evergreen.probing`` has nothing but the files and the reviewed list of types,
and a model that hangs or kills its process takes nobody with it.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from evergreen import registry
from evergreen.artefacts import (
    ARTEFACT,
    EXAMPLE,
    EXPECTED,
    download,
    load_artefact,
    read_example,
)
from evergreen.errors import ArtefactError
from evergreen.spec import ModelSpec
from evergreen.values import Frozen

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from sklearn.pipeline import Pipeline

log = logging.getLogger(__name__)

#: A version that takes longer to load and predict a few rows would take a server down.
TIMEOUT_S = 120
#: Predictions may differ by this much between two processors, as a share.
TOLERANCE = 1e-6


class Question(Frozen):
    """Which files to load, and what is known of them."""

    folder: Path
    name: str
    sha256: str
    spec: ModelSpec


class Answer(Frozen):
    """What happened: the time it took, or why the version must not serve."""

    rows: int = 0
    load_s: float = 0.0
    predict_ms: float = 0.0
    fault: str | None = None


def probe(client: MlflowClient, spec: ModelSpec, version: ModelVersion) -> Answer:
    """
    Load *version* in a fresh process and compare what it predicts for its example.

    :raises ArtefactError: If it cannot be loaded, crashes, hangs, or predicts something else than
        it did when it was trained.
    """
    name = f"{spec.model} version {version.version}"
    model_id = registry.tag(version, registry.TAG_MODEL_ID)
    with tempfile.TemporaryDirectory() as folder:
        for file in (ARTEFACT, EXAMPLE, EXPECTED):
            download(client, model_id, file, folder=Path(folder))
        sha256 = registry.tag(version, registry.TAG_SHA256)
        answer = ask_apart(Question(folder=Path(folder), name=name, sha256=sha256, spec=spec))
    if answer.fault is not None:
        raise ArtefactError(f"{answer.fault} Nothing was moved; the champion stays.")
    log.info("%s was loaded in a process of its own in %.1f s and predicted %d rows in %.1f ms",
             name, answer.load_s, answer.rows, answer.predict_ms)  # fmt: skip
    return answer


def ask_apart(question: Question) -> Answer:
    """Ask *question* in a new process; one that dies or hangs has answered too."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "evergreen.probing"],
            input=question.model_dump_json(),
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        return Answer(fault=f"{question.name} did not load and predict within {TIMEOUT_S} s.")
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Answer(fault=f"{question.name} broke its process ({done.returncode}): {last}.")
    return Answer.model_validate_json(done.stdout.splitlines()[-1])


def answer_to(question: Question) -> Answer:
    """Load, predict and compare, in this process."""
    return load_and_probe(question)[1]


def load_and_probe(question: Question) -> tuple[Pipeline | None, Answer]:
    """Return the model if it predicts what it did when it was trained, and how that went."""
    import numpy as np

    from evergreen.prediction import are_sound, predict

    spec, started = question.spec, time.perf_counter()
    try:
        model = load_artefact(
            (question.folder / ARTEFACT).read_bytes(),
            name=question.name, sha256=question.sha256, trusted=spec.trusted_types,
        )  # fmt: skip
    except ArtefactError as error:
        return None, Answer(fault=str(error))
    rows = read_example(question.folder / EXAMPLE, spec=spec.examples)
    loaded = time.perf_counter()
    said = predict(model, rows, spec=spec.examples)
    predicted = time.perf_counter()
    expected = np.asarray(json.loads((question.folder / EXPECTED).read_bytes()))
    if not are_sound(said, spec=spec.examples):
        return None, Answer(
            fault=f"{question.name} predicts {said.tolist()} for its example, expected "
            "finite numbers, and probabilities where there are classes."
        )
    if said.shape != expected.shape or not np.allclose(said, expected, rtol=TOLERANCE, atol=0):
        return None, Answer(
            fault=f"{question.name} predicts {said.tolist()} for its example, but predicted "
            f"{expected.tolist()} when it was trained."
        )
    milliseconds = 1000 * (predicted - loaded)
    return model, Answer(rows=len(rows), load_s=loaded - started, predict_ms=milliseconds)


if __name__ == "__main__":
    sys.stdout.write(answer_to(Question.model_validate_json(sys.stdin.read())).model_dump_json())
