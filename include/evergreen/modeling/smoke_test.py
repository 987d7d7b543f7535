"""
Load a version and predict its example in a process of its own, as a server would.

A hang or a crash of the model cannot affect the task. The process is a fork: it has this
one's libraries, which take seconds to import, but not its user code (``models.*`` is read again),
and a task that probes has trained nothing.
"""

from __future__ import annotations

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

from evergreen.errors import ArtifactError
from evergreen.modeling.artifacts import (
    ARTIFACT,
    EXAMPLE,
    EXPECTED,
    download,
    load_artifact,
    read_example,
    read_expected,
)
from evergreen.processes import exit_with_parent
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
PREDICTION_TOLERANCE = 1e-6


class SmokeTest(Frozen):
    """Which files to load, and what is known of them."""

    folder: Path
    name: str
    sha256: str
    spec: ModelSpec


class SmokeTestResult(Frozen):
    """What happened: the time it took, or why the version must not serve."""

    rows: int = 0
    load_s: float = 0.0
    predict_ms: float = 0.0
    error: str | None = None


def smoke_test(client: MlflowClient, spec: ModelSpec, version: ModelVersion) -> SmokeTestResult:
    """
    Load *version* in a process of its own and compare what it predicts for its example.

    :raises ArtifactError: If it cannot be loaded, crashes, hangs, or predicts something else than
        it did when it was trained.
    """
    name = f"{spec.model} version {version.version}"
    model_id = mlflow_registry.tag(version, mlflow_registry.TAG_MODEL_ID)
    with tempfile.TemporaryDirectory() as folder:
        for file in (ARTIFACT, EXAMPLE, EXPECTED):
            download(client, model_id, file, folder=Path(folder))
        sha256 = mlflow_registry.tag(version, mlflow_registry.TAG_SHA256)
        answer = run_in_subprocess(
            SmokeTest(folder=Path(folder), name=name, sha256=sha256, spec=spec)
        )
    if answer.error is not None:
        raise ArtifactError(f"{answer.error} Nothing was moved; the champion stays.")
    log.info(
        "%s was loaded in a process of its own in %.1f s and predicted %d rows in %.1f ms",
        name,
        answer.load_s,
        answer.rows,
        answer.predict_ms,
    )
    return answer


def run_in_subprocess(test: SmokeTest) -> SmokeTestResult:
    """Ask *test* in a process of its own; one that dies or hangs has answered too."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    # Not multiprocessing.Process: Celery's workers are daemons, and it refuses those a child.
    child = os.fork()
    if not child:
        _answer_in_child(test, theirs)
    theirs.close()  # its end is then closed when the child ends, however it does
    try:
        if not ours.poll(TIMEOUT_S):
            return SmokeTestResult(
                error=f"{test.name} did not load and predict within {TIMEOUT_S} s."
            )
        answer: SmokeTestResult = ours.recv()
    except EOFError:
        (_, status), child = os.waitpid(child, 0), 0
        code = os.waitstatus_to_exitcode(status)
        return SmokeTestResult(error=f"{test.name} broke its process ({code}).")
    finally:
        ours.close()
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return answer


def _answer_in_child(test: SmokeTest, to: Connection) -> NoReturn:
    """Send the answer, or why there is none, and end; no user code of the parent is left."""
    try:
        exit_with_parent()
        for number in INHERITED:
            signal.signal(number, signal.SIG_DFL)
        for name in [name for name in sys.modules if name.split(".")[0] == "models"]:
            del sys.modules[name]
        with threadpool_limits(limits=1):  # a team of threads does not survive a fork
            to.send(run_smoke_test(test))
    except Exception as error:  # noqa: BLE001  whatever the model's own code raises
        to.send(SmokeTestResult(error=f"{test.name} broke its process: {error!r}."))
    finally:
        os._exit(0)


def run_smoke_test(test: SmokeTest) -> SmokeTestResult:
    """Load, predict and compare, in this process."""
    return load_and_smoke_test(test)[1]


def load_and_smoke_test(test: SmokeTest) -> tuple[Pipeline | None, SmokeTestResult]:
    """Return the model if it predicts what it did when it was trained, and how that went."""
    import numpy as np

    from evergreen.modeling.prediction import are_sound, predict

    spec, started = test.spec, time.perf_counter()
    try:
        rows = read_example(test.folder / EXAMPLE, spec=spec.examples)
        expected = read_expected(test.folder / EXPECTED)
        model = load_artifact(
            (test.folder / ARTIFACT).read_bytes(),
            name=test.name,
            sha256=test.sha256,
            trusted=spec.trusted_types,
        )
    except ArtifactError as error:
        return None, SmokeTestResult(error=str(error))
    loaded = time.perf_counter()
    outputs = predict(model, rows, spec=spec.examples)
    predicted = time.perf_counter()
    if not are_sound(outputs, spec=spec.examples):
        return None, SmokeTestResult(
            error=f"{test.name} predicts {outputs.tolist()} for its example, expected "
            "finite numbers, and probabilities where there are classes."
        )
    if outputs.shape != expected.shape or not np.allclose(
        outputs, expected, rtol=PREDICTION_TOLERANCE, atol=0
    ):
        return None, SmokeTestResult(
            error=f"{test.name} predicts {outputs.tolist()} for its example, but predicted "
            f"{expected.tolist()} when it was trained."
        )
    milliseconds = 1000 * (predicted - loaded)
    return model, SmokeTestResult(rows=len(rows), load_s=loaded - started, predict_ms=milliseconds)
