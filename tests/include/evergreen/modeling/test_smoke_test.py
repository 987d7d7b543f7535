"""A version is loaded and asked in a process of its own before anything moves."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest

from evergreen.errors import ArtifactError
from evergreen.modeling import artifacts, smoke_test


@pytest.fixture
def registered(new_history, mlflow_artifacts):
    """A version, and the folder of its files, which no other version shares."""
    history = new_history()
    logged, folder = history.copied(mlflow_artifacts)
    receipt = history.version(1, logged=logged)
    return history, history.client.get_model_version(history.spec.model, receipt.version), folder


def test_a_sound_version_answers_from_another_process(registered, monkeypatch):
    history, version, _ = registered
    here, real = os.getpid(), smoke_test.run_smoke_test
    monkeypatch.setattr(
        smoke_test,
        "run_smoke_test",
        lambda q: pytest.fail("here") if os.getpid() == here else real(q),
    )

    answer = smoke_test.smoke_test(history.client, history.spec, version)

    assert answer.rows == 5
    assert answer.load_s > 0


def test_a_worker_of_celery_may_ask(registered, monkeypatch):
    """Its processes are daemons, and multiprocessing refuses those a child."""
    history, version, _ = registered
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)

    assert smoke_test.smoke_test(history.client, history.spec, version).rows == 5


def test_other_predictions_than_in_training_are_refused(registered):
    history, version, folder = registered
    expected = json.loads((folder / artifacts.EXPECTED).read_text())
    (folder / artifacts.EXPECTED).write_text(json.dumps([expected[0] + 0.001, *expected[1:]]))

    with pytest.raises(ArtifactError, match=r"but predicted .* Nothing was moved"):
        smoke_test.smoke_test(history.client, history.spec, version)


def test_changed_bytes_are_refused(registered):
    history, version, folder = registered
    with (folder / artifacts.ARTIFACT).open("ab") as file:
        file.write(b"x")

    with pytest.raises(ArtifactError, match="It was not loaded"):
        smoke_test.smoke_test(history.client, history.spec, version)


def smoke_test_of(history) -> smoke_test.SmokeTest:
    return smoke_test.SmokeTest(
        folder=Path("/none"), name="m version 1", sha256="s", spec=history.spec
    )


def test_a_process_that_dies_is_an_answer(new_history, monkeypatch, request):
    """As a segmentation fault would end it, though Airflow handles the signal in a task."""
    before = signal.signal(signal.SIGSEGV, lambda *_: None)
    request.addfinalizer(lambda: signal.signal(signal.SIGSEGV, before))
    monkeypatch.setattr(
        smoke_test, "run_smoke_test", lambda _: os.kill(os.getpid(), signal.SIGSEGV)
    )

    answer = smoke_test.run_in_subprocess(smoke_test_of(new_history()))

    assert answer.error == "m version 1 broke its process (-11)."


def test_a_process_that_hangs_is_an_answer_and_is_ended(new_history, monkeypatch):
    monkeypatch.setattr(smoke_test, "run_smoke_test", lambda _: time.sleep(60))
    monkeypatch.setattr(smoke_test, "TIMEOUT_S", 0.5)
    asked = smoke_test_of(new_history())
    started, before = time.monotonic(), set(psutil.Process().children())

    answer = smoke_test.run_in_subprocess(asked)

    assert answer.error == "m version 1 did not load and predict within 0.5 s."
    assert time.monotonic() - started < 30
    assert set(psutil.Process().children()) == before


def test_an_error_nobody_foresaw_is_an_answer(new_history, monkeypatch):
    monkeypatch.setattr(smoke_test, "run_smoke_test", lambda _: 1 / 0)

    assert "ZeroDivisionError" in smoke_test.run_in_subprocess(smoke_test_of(new_history())).error


def test_what_this_process_did_to_the_users_code_is_unknown_there(new_history, monkeypatch):
    """A patched or stale module of the user must not make a version look sound."""
    monkeypatch.setitem(sys.modules, "models.patched", SimpleNamespace())
    seen = "models.patched in sys.modules"
    monkeypatch.setattr(
        smoke_test,
        "run_smoke_test",
        lambda _: smoke_test.SmokeTestResult(rows=int("models.patched" in sys.modules)),
    )

    assert smoke_test.run_in_subprocess(smoke_test_of(new_history())).rows == 0, seen


def test_threads_that_worked_here_do_not_hang_it(registered):
    """OpenMP's threads do not survive a fork: boosting has used them in this process."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    history, version, _ = registered
    rows = np.random.default_rng(0).normal(size=(2000, 4))
    HistGradientBoostingClassifier(max_iter=5).fit(rows, rows[:, 0] > 0)

    assert smoke_test.smoke_test(history.client, history.spec, version).rows == 5


def test_an_alias_never_moves_to_a_version_whose_process_breaks(new_history, monkeypatch):
    history = new_history()
    registration = history.version(1)
    monkeypatch.setattr(smoke_test, "run_smoke_test", lambda _: os._exit(3))

    with pytest.raises(ArtifactError, match="broke its process"):
        history.deploy(registration)

    assert history.champion() is None
    assert history.ledger().entries == ()
