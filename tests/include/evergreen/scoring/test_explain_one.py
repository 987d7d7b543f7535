"""One prediction of a scored day, explained from the row as it was read."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta

import pytest
from tests.conftest import AS_OF
from typer.testing import CliRunner

from evergreen.cli import app
from evergreen.data.parquet import from_parquet
from evergreen.data.validation import validate_window
from evergreen.data.window import DayRange, scoring_day
from evergreen.errors import ExplanationError
from evergreen.receipts.data import PredictionsManifest
from evergreen.scoring.explain_one import explain_one
from evergreen.scoring.scoring import score_partition
from evergreen.spec.inputs import InputGroup
from evergreen.storage import layout
from evergreen.storage.folder import FolderStore
from evergreen.storage.records import load_document
from evergreen.workspace import Workspace

LATER = AS_OF + timedelta(days=1)
DAY = scoring_day(LATER)


@pytest.fixture(scope="module")
def scored(serving, tmp_path_factory) -> Workspace:
    """A workspace in which the day after the champion's last is scored."""
    root = tmp_path_factory.mktemp("explained") / "store"
    shutil.copytree(serving.store.root, root)
    workspace = Workspace(FolderStore(root), serving.client, serving.spec)
    days = DayRange(first=DAY, end=DAY + timedelta(days=1))
    verdicts = validate_window(workspace.store, serving.spec, as_of=LATER, days=days)
    score_partition(workspace, as_of=LATER, validation=verdicts)
    return workspace


@pytest.fixture(scope="module")
def predictions(scored):
    key = layout.predictions_manifest(scored.spec.model, DAY)
    manifest = load_document(scored.store, key, PredictionsManifest)
    return from_parquet(scored.store.get(manifest.predictions.key))


def entity_of(predictions, row: int, spec) -> dict[str, str]:
    return {name: str(predictions[name].iloc[row]) for name in spec.examples.entity_key}


def with_personal(scored: Workspace) -> Workspace:
    group = InputGroup(columns=("carrier", "temp"), personal=True, purpose="a test")
    flights = scored.spec.contract["flights"]
    rules = {
        name: rule.model_copy(update={"personal": name in ("carrier", "tailnum")})
        for name, rule in flights.columns.items()
    }
    contract = scored.spec.contract | {"flights": flights.model_copy(update={"columns": rules})}
    spec = scored.spec.model_copy(update={"inputs": {"x": group}, "contract": contract})
    return Workspace(scored.store, scored.client, spec)


def test_a_row_is_explained_from_raw_values_to_what_was_predicted(scored, predictions):
    found = explain_one(scored, day=DAY, row=7)

    stored = predictions["score"].iloc[7]
    assert found.prediction == pytest.approx(stored, abs=1e-12)
    assert found.stored == pytest.approx(stored, abs=1e-12)
    assert found.answer == "probability that is_late is True"
    assert {one.name for one in found.contributions} == set(scored.spec.examples.features)
    assert found.reference_rows == 100
    (flight,) = [one for one in found.as_read if one.table == "flights"]
    assert flight.values["carrier"] == predictions["carrier"].iloc[7]
    assert flight.values["tailnum"]
    assert max(abs(one.contribution) for one in found.contributions) > 0.001


def test_an_entity_is_found_by_its_key_and_by_a_part_that_only_one_row_has(scored, predictions):
    entity = entity_of(predictions, 7, scored.spec)
    part = {name: entity[name] for name in ("carrier", "flight", "scheduled_departure")}

    assert explain_one(scored, day=DAY, entity=entity).row == 7
    assert explain_one(scored, day=DAY, entity=part).row == 7


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "either a row by its number or an entity"),
        ({"row": 1, "entity": {"origin": "JFK"}}, "either a row by its number or an entity"),
        ({"row": -1}, "There is no row -1; the day has rows 0 to"),
        ({"row": 10_000}, "There is no row 10000"),
        ({"entity": {"plane": "N1"}}, r"\['plane'\] are not in the entity key"),
        ({"entity": {"flight": "many"}}, "flight: found 'many', expected"),
        ({"entity": {"origin": "XXX"}}, r"0 of \d+ rows have that key, expected 1\.$"),
        ({"entity": {"origin": "JFK"}}, r"rows have that key, expected 1. Name more of \['carrier"),
    ],
)
def test_a_row_that_is_not_exactly_one_is_refused(scored, asked, says):
    with pytest.raises(ExplanationError, match=says):
        explain_one(scored, day=DAY, **asked)


def test_a_day_without_predictions_is_named(scored):
    with pytest.raises(ExplanationError, match="has no predictions of 2013-01-01"):
        explain_one(scored, day=date(2013, 1, 1), row=0)


def test_personal_values_are_shown_on_request_only(scored):
    workspace = with_personal(scored)

    hidden = explain_one(workspace, day=DAY, row=7)
    shown = explain_one(workspace, day=DAY, row=7, show_personal=True)

    removed = "removed: personal data"
    assert {one.value for one in hidden.contributions if one.name in ("carrier", "temp")} == {
        removed
    }
    assert hidden.entity["carrier"] == removed
    assert hidden.as_read[0].values["tailnum"] == removed
    assert shown.as_read[0].values["tailnum"] not in hidden.model_dump_json()
    assert shown.entity["carrier"] != removed


def test_raw_data_that_is_gone_is_left_out(scored, tmp_path):
    shutil.copytree(scored.store.root, tmp_path / "store")
    store = FolderStore(tmp_path / "store")
    store.delete(f"raw/flights/{DAY}.parquet")

    found = explain_one(Workspace(store, scored.client, scored.spec), day=DAY, row=7)

    assert found.as_read == ()
    assert found.stored is not None


def test_the_command_prints_a_table_or_json(scored, predictions, mlflow_uri):
    options = ["--model", scored.spec.model, "--store", scored.store.uri, "--mlflow", mlflow_uri]
    entity = entity_of(predictions, 7, scored.spec)
    named = [option for name, text in entity.items() for option in ("--entity", f"{name}={text}")]

    text = CliRunner().invoke(app, ["explain-one", *options, "--day", str(DAY), *named])
    as_json = CliRunner().invoke(
        app, ["explain-one", *options, "--day", str(DAY), *named, "--json"]
    )
    wrong = CliRunner().invoke(app, ["explain-one", *options, "--day", str(DAY), "--entity", "x"])

    assert text.exit_code == 0, text.output
    assert "As read from flights:" in text.stdout
    assert "do not sum to the prediction" in text.stdout
    assert json.loads(as_json.stdout)["row"] == 7
    assert (wrong.exit_code, "expected name=value" in wrong.stderr) == (1, True)
