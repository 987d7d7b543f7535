"""A version is loaded and asked in a process of its own before anything moves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from evergreen import artefacts, probing
from evergreen.errors import ArtefactError

pytestmark = [pytest.mark.integration, pytest.mark.real_probe]


def in_store(mlflow_artifacts: Path, challenger) -> Path:
    found = list(mlflow_artifacts.rglob(f"{challenger.model_id}/artifacts/{artefacts.ARTEFACT}"))
    assert len(found) == 1
    return found[0].parent


@pytest.fixture
def registered(new_history, trained, mlflow_artifacts, tmp_path):
    """A version, and the folder its files lie in; changes to the files are undone."""
    history = new_history()
    receipt = history.version(1)
    folder = in_store(mlflow_artifacts, trained[1].challenger)
    shutil.copytree(folder, tmp_path / "kept")
    yield history, history.client.get_model_version(history.spec.model, receipt.version), folder
    shutil.copytree(tmp_path / "kept", folder, dirs_exist_ok=True)


def test_a_sound_version_answers_from_another_process(registered, monkeypatch):
    history, version, _ = registered
    monkeypatch.setattr(probing, "answer_to", pytest.fail)  # not in this process

    answer = probing.probe(history.client, history.spec, version)

    assert answer.rows == 5
    assert answer.load_s > 0


def test_other_predictions_than_in_training_are_refused(registered):
    history, version, folder = registered
    expected = json.loads((folder / artefacts.EXPECTED).read_text())
    (folder / artefacts.EXPECTED).write_text(json.dumps([expected[0] + 0.001, *expected[1:]]))

    with pytest.raises(ArtefactError, match=r"but predicted .* Nothing was moved"):
        probing.probe(history.client, history.spec, version)


def test_changed_bytes_are_refused(registered):
    history, version, folder = registered
    with (folder / artefacts.ARTEFACT).open("ab") as file:
        file.write(b"x")

    with pytest.raises(ArtefactError, match="It was not loaded"):
        probing.probe(history.client, history.spec, version)


def question(history) -> probing.Question:
    return probing.Question(folder=Path("/none"), name="m version 1", sha256="s", spec=history.spec)


def test_a_process_that_dies_is_an_answer(new_history, monkeypatch, tmp_path):
    """As a segmentation fault or the kernel's out-of-memory killer would end it."""
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nkill -SEGV $$\n")
    program.chmod(0o755)
    monkeypatch.setattr(probing.sys, "executable", str(program))

    answer = probing.ask_apart(question(new_history()))

    assert answer.fault is not None
    assert "m version 1 broke its process (-11)" in answer.fault


def test_a_process_that_hangs_is_an_answer(new_history, monkeypatch, tmp_path):
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\nexec {shutil.which('sleep')} 60\n")
    program.chmod(0o755)
    monkeypatch.setattr(probing.sys, "executable", str(program))
    monkeypatch.setattr(probing, "TIMEOUT_S", 0.5)

    answer = probing.ask_apart(question(new_history()))

    assert answer.fault == "m version 1 did not load and predict within 0.5 s."


def test_an_alias_never_moves_to_a_version_whose_process_breaks(new_history, monkeypatch, tmp_path):
    history = new_history()
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    registration = history.version(1)
    monkeypatch.setattr(probing.sys, "executable", str(program))

    with pytest.raises(ArtefactError, match="broke its process"):
        history.deploy(registration)

    assert history.champion() is None
    assert history.ledger().entries == ()
