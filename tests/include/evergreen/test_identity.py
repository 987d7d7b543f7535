from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from evergreen.identity import code_digest, prepare_digest, spec_digest, version_key


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


def test_a_key_is_the_same_in_every_zone():
    utc = datetime(2013, 7, 1, tzinfo=UTC)
    elsewhere = utc.astimezone(timezone(timedelta(hours=5)))

    assert version_key("a", "b", as_of=utc) == version_key("a", "b", as_of=elsewhere)
    assert version_key("ab", "", as_of=utc) != version_key("a", "b", as_of=utc)
