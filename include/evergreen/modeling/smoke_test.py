"""
Load a version and predict its example in a process of its own, as a server would.

A model that hangs or kills its process takes nobody with it. The process is a fork: it has this
one's libraries, which take seconds to import, but not its user code (``models.*`` is read again),
and a task that probes has trained nothing.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from threadpoolctl import threadpool_limits

from evergreen.errors import ArtefactError
from evergreen.modeling.artifacts import (
    ARTEFACT,
    EXAMPLE,
    EXPECTED,
    download,
    load_artefact,
    read_example,
)
from evergreen.processes import die_with_parent
from evergreen.registry import mlflow_registry
from evergreen.spec import ModelSpec
from evergreen.values import Frozen

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion
    from sklearn.pipeline import Pipeline

log = logging.getLogger(__name__)

#: A version that takes longer to load and predict a few rows would take a server down.
TIMEOUT_S = 120
#: What Airflow handles in a task would keep a child of it alive: after a real SIGSEGV for ever.
INHERITED = (signal.SIGSEGV, signal.SIGTERM, signal.SIGINT)
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
    Load *version* in a process of its own and compare what it predicts for its example.

    :raises ArtefactError: If it cannot be loaded, crashes, hangs, or predicts something else than
        it did when it was trained.
    """
    name = f"{spec.model} version {version.version}"
    model_id = mlflow_registry.tag(version, mlflow_registry.TAG_MODEL_ID)
    with tempfile.TemporaryDirectory() as folder:
        for file in (ARTEFACT, EXAMPLE, EXPECTED):
            download(client, model_id, file, folder=Path(folder))
        sha256 = mlflow_registry.tag(version, mlflow_registry.TAG_SHA256)
        answer = ask_apart(Question(folder=Path(folder), name=name, sha256=sha256, spec=spec))
    if answer.fault is not None:
        raise ArtefactError(f"{answer.fault} Nothing was moved; the champion stays.")
    log.info(
        "%s was loaded in a process of its own in %.1f s and predicted %d rows in %.1f ms",
        name,
        answer.load_s,
        answer.rows,
        answer.predict_ms,
    )
    return answer


def ask_apart(question: Question) -> Answer:
    """Ask *question* in a process of its own; one that dies or hangs has answered too."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    # Not multiprocessing.Process: Celery's workers are daemons, and it refuses those a child.
    child = os.fork()
    if not child:
        _answer_in_child(question, theirs)
    theirs.close()  # its end is then closed when the child ends, however it does
    try:
        if not ours.poll(TIMEOUT_S):
            return Answer(fault=f"{question.name} did not load and predict within {TIMEOUT_S} s.")
        answer: Answer = ours.recv()
    except EOFError:
        (_, status), child = os.waitpid(child, 0), 0
        code = os.waitstatus_to_exitcode(status)
        return Answer(fault=f"{question.name} broke its process ({code}).")
    finally:
        ours.close()
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return answer


def _answer_in_child(question: Question, to: Connection) -> NoReturn:
    """Send the answer, or why there is none, and end; no user code of the parent is left."""
    try:
        die_with_parent()
        for number in INHERITED:
            signal.signal(number, signal.SIG_DFL)
        for name in [name for name in sys.modules if name.split(".")[0] == "models"]:
            del sys.modules[name]
        with threadpool_limits(limits=1):  # a team of threads does not survive a fork
            to.send(answer_to(question))
    except Exception as error:  # noqa: BLE001  whatever the model's own code raises
        to.send(Answer(fault=f"{question.name} broke its process: {error!r}."))
    finally:
        os._exit(0)


def answer_to(question: Question) -> Answer:
    """Load, predict and compare, in this process."""
    return load_and_probe(question)[1]


def load_and_probe(question: Question) -> tuple[Pipeline | None, Answer]:
    """Return the model if it predicts what it did when it was trained, and how that went."""
    import numpy as np

    from evergreen.modeling.prediction import are_sound, predict

    spec, started = question.spec, time.perf_counter()
    try:
        model = load_artefact(
            (question.folder / ARTEFACT).read_bytes(),
            name=question.name,
            sha256=question.sha256,
            trusted=spec.trusted_types,
        )
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
