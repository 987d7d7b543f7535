from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta, timezone

import pytest

from evergreen import digests
from evergreen.digests import (
    code_digest,
    git_state,
    image_commit,
    prepare_digest,
    spec_digest,
    version_key,
)

SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path):
    model = tmp_path / "m"
    model.mkdir()
    (model / "prepare.py").write_text(
        "from models.m.clean import tidy\nfrom models.m import codes\n"
    )
    for name in ("clean", "codes", "pipeline", "feed"):
        (model / f"{name}.py").write_text(f"# {name}\n")
    return model


@pytest.mark.parametrize(
    ("file", "changes"),
    [("prepare", True), ("clean", True), ("codes", True), ("pipeline", False), ("feed", False)],
)
def test_only_what_prepare_imports_prepares_days_again(folder, file, changes):
    before = prepare_digest("m", models_dir=folder.parent)

    path = folder / f"{file}.py"
    path.write_text(path.read_text() + "# changed\n")

    assert (prepare_digest("m", models_dir=folder.parent) != before) is changes


def test_any_file_of_the_model_makes_another_version(folder):
    before = code_digest("m", models_dir=folder.parent)

    (folder / "pipeline.py").write_text("# changed")

    assert code_digest("m", models_dir=folder.parent) != before


def test_every_value_of_the_spec_counts(spec):
    assert spec_digest(spec.model_copy(update={"seed": 1})) != spec_digest(spec)


@pytest.mark.parametrize("key", sorted(digests.DECIDES_NOTHING))
def test_what_decides_nothing_keeps_the_digest(spec, key):
    other = {
        "description": "Other words",
        "owner": "somebody-else",
        "tags": ("new",),
        "alerts": spec.alerts.model_copy(update={"late_after_hours": 9}),
        "retention": spec.retention.model_copy(update={"predictions_days": 9}),
        "engine": spec.engine.model_copy(update={"dask": "cluster"}),
    }[key]
    changed = spec.model_copy(update={key: other})

    assert changed != spec
    assert spec_digest(changed) == spec_digest(spec)


def test_the_spec_is_no_file_of_the_code(folder):
    (folder / "model.yaml").write_text("description: one\n")
    before = (
        code_digest("m", models_dir=folder.parent),
        prepare_digest("m", models_dir=folder.parent),
    )

    (folder / "model.yaml").write_text("description: another one\n")

    assert before == (
        code_digest("m", models_dir=folder.parent),
        prepare_digest("m", models_dir=folder.parent),
    )


def test_the_place_of_the_models_does_not_matter(folder):
    before = code_digest("m", models_dir=folder.parent)

    shutil.copytree(folder.parent, folder.parent.with_name("elsewhere"))

    assert code_digest("m", models_dir=folder.parent.with_name("elsewhere")) == before


def test_a_key_is_the_same_in_every_zone():
    utc = datetime(2013, 7, 1, tzinfo=UTC)
    elsewhere = utc.astimezone(timezone(timedelta(hours=5)))

    assert version_key("a", "b", as_of=utc) == version_key("a", "b", as_of=elsewhere)
    assert version_key("ab", "", as_of=utc) != version_key("a", "b", as_of=utc)


@pytest.mark.parametrize(
    ("said", "dirty"), [("yes", True), ("no", False), ("", None), ("perhaps", None)]
)
def test_an_image_tells_its_commit_and_whether_files_differed(said, dirty):
    assert image_commit({"GIT_SHA": SHA, "GIT_DIRTY": said}, git_commit="") == (SHA, dirty)


def test_an_image_that_does_not_know_its_commit_says_why():
    built, dirty = image_commit({"GIT_SHA": "", "GIT_DIRTY": "no"}, git_commit="no git here")

    assert dirty is None
    assert built == ("unknown: the image was built without GIT_SHA; make compose-build gives it")


def test_a_folder_without_a_commit_says_what_git_says(tmp_path, monkeypatch):
    monkeypatch.delenv("GIT_SHA", raising=False)
    monkeypatch.setattr(digests, "PACKAGE_DIR", tmp_path)
    git_state.cache_clear()

    sha, dirty = git_state()

    git_state.cache_clear()
    assert dirty is None
    assert sha.startswith("unknown: GIT_SHA is not set, and git says: fatal: not a git repository")


def test_without_git_the_reason_is_that_there_is_none(tmp_path, monkeypatch):
    monkeypatch.delenv("GIT_SHA", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    git_state.cache_clear()

    sha, _ = git_state()

    git_state.cache_clear()
    assert sha.startswith("unknown: GIT_SHA is not set, and git says: ")
    assert "No such file" in sha
