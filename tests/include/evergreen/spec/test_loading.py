from __future__ import annotations

import json

import pytest
import yaml

from evergreen.errors import SpecError
from evergreen.spec import MODELS_DIR, ModelSpec, find_specs, load_spec, loading

MINIMAL = """
model: churn
description: Who leaves?
owner: growth
start_date: 2026-01-01
source: {files: {customers: "raw/customers/{day}.parquet"}}
examples: {entity_key: [customer], label: has_left, numeric: [age]}
candidates: [linear]
"""


@pytest.fixture
def write(tmp_path):
    """Write a spec, the minimal one with changes, and return the folder of models."""

    def to_disk(changes: dict | None = None, *, text: str | None = None, model: str = "churn"):
        content = yaml.safe_load(MINIMAL)
        for key, value in (changes or {}).items():
            *path, last = key.split(".")
            at = content
            for part in path:
                at = at.setdefault(part, {})
            at[last] = value
        folder = tmp_path / model
        folder.mkdir(exist_ok=True)
        (folder / "model.yaml").write_text(text if text is not None else yaml.safe_dump(content))
        return tmp_path

    return to_disk


def test_a_first_model_needs_under_forty_lines(write):
    spec = load_spec("churn", models_dir=write())

    assert len(MINIMAL.strip().splitlines()) < 40
    assert spec.candidate_names == ("linear", "baseline")
    assert spec.source.files["customers"].lookback_days == 0


def test_every_gate_is_on_by_default(write):
    gates = load_spec("churn", models_dir=write()).gates

    assert gates.baseline.trivial > 0
    assert gates.sanity.shuffles > 0
    assert gates.champion.confidence == 0.975
    assert gates.min_test_rows > 0


@pytest.mark.parametrize(
    ("changes", "key", "remedy"),
    [
        ({"ownr": "x"}, "ownr: unknown key", "did you mean 'owner'?"),
        ({"gates.champoin": {}}, "gates.champoin: unknown key", "did you mean 'champion'?"),
        (
            {"source.files": {"customers": {"path": "raw/{day}.parquet", "lookback": 1}}},
            "source.files.customers.lookback: unknown key",
            "did you mean 'lookback_days'?",
        ),
        ({"window.train_days": 3}, "window: train_days 3", "at least 1 is needed"),
        ({"window.train_days": "many"}, "window.train_days: found 'many'", "integer"),
        ({"examples.numeric": ["has_left"]}, "examples: inputs must not contain", "predicts"),
        ({"examples.numeric": []}, "examples: name at least one input", "categorical"),
        ({"source.files": {"c": "raw/today.parquet"}}, "source.files.c", "{day}"),
        ({"source": {}}, "source: give either files or sql", "table"),
        ({"candidates": ["baseline"]}, "candidates: the name 'baseline' is taken", "added"),
        ({"contract": {"orders": {}}}, "contract: ['orders'] are not tables", "customers"),
        (
            {"contract": {"customers": {"columns": {"age": {"type": "number", "pattern": "x"}}}}},
            "contract.customers.columns.age: categories and pattern are for strings",
            "number",
        ),
        ({"gates.slices": {"columns": ["town"]}}, "gates.slices.columns: ['town']", "inputs"),
        ({"schedule": "nightly"}, "schedule: schedule must be five cron fields", "0 6 * * *"),
        ({"drift.persistence": [5, 3]}, "drift: persistence is [N, M]", "[5, 3]"),
        ({"deployment.mode": "canary"}, "deployment: mode canary needs canary.steps", "share"),
        (
            {
                "deployment": {
                    "mode": "canary",
                    "canary": {
                        "steps": [{"share": 0.5, "minutes": 1}, {"share": 0.1, "minutes": 1}]
                    },
                }
            },
            "deployment.canary: canary.steps must rise",
            "[0.5, 0.1]",
        ),
        (
            {"deployment": {"mode": "shadow", "target": "batch"}},
            "deployment: mode shadow is done by the model server",
            "write mode direct",
        ),
        (
            {"deployment": {"mode": "shadow", "shadow": {"minutes": 0}}},
            "deployment: mode shadow needs shadow.minutes above 0",
            "above 0",
        ),
        (
            {"deployment": {"target": "sagemaker"}},
            "deployment: target sagemaker and a section sagemaker belong together",
            "section sagemaker",
        ),
        (
            {"inputs": {"body": {"columns": ["weight"]}}},
            "inputs: ['weight'] are not inputs",
            "of the model",
        ),
        (
            {"inputs": {"a": {"columns": ["age"]}, "b": {"columns": ["age"]}}},
            "inputs: ['age'] are named more than once",
            "keep one group",
        ),
        (
            {"inputs": {"body": {"columns": ["age"], "personal": True}}},
            "inputs.body: ['age'] are declared personal",
            "write purpose",
        ),
        (
            {"inputs": {"body": {"columns": ["age"], "purpose": "pricing"}}},
            "inputs.body: purpose is for personal data",
            "personal: true",
        ),
        (
            {
                "contract.customers": {"columns": {"age": {"type": "number", "personal": True}}},
                "examples.numeric": ["age"],
            },
            "contract.customers.columns: ['age'] are inputs",
            "declare it in both",
        ),
        (
            {
                "inputs": {"body": {"columns": ["age"], "personal": True, "purpose": "pricing"}},
                "gates.slices": {"columns": ["age"]},
            },
            "gates.slices.columns: ['age'] are personal data",
            "leave them out",
        ),
        ({"tests.unit": ["tests/test_a.py"]}, "tests.unit", "text of the form"),
    ],
)
def test_an_error_names_file_key_value_and_remedy(write, changes, key, remedy):
    folder = write(changes)

    with pytest.raises(SpecError) as error:
        load_spec("churn", models_dir=folder)

    assert str(folder / "churn" / "model.yaml") in str(error.value)
    assert key in str(error.value)
    assert remedy in str(error.value)


def test_a_query_that_does_not_ask_for_one_day_is_refused(write):
    """It would read the whole table for every day."""
    query = "select * from t where placed_at >= :start"
    sql = {"source": {"sql": {"t": {"query": query}}, "connection": "db"}}

    with pytest.raises(SpecError, match=":end not found"):
        load_spec("churn", models_dir=write(sql))


def test_days_of_a_database_lie_where_the_model_alone_writes(write):
    query = "select * from t where placed_at >= :start and placed_at < :end"
    sql = {"source": {"sql": {"t": {"query": query}}, "connection": "db"}}
    spec = load_spec("churn", models_dir=write(sql))

    assert spec.raw_tables["t"].path == "raw/churn/t/{day}.parquet"


def test_a_key_given_twice_is_an_error(write):
    """YAML would keep the last one, and nobody would know."""
    with pytest.raises(SpecError, match="'owner' is given twice"):
        load_spec("churn", models_dir=write(text=MINIMAL + "owner: other\n"))


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "\x00"])
def test_a_file_that_is_no_spec_is_an_error(write, text):
    with pytest.raises(SpecError, match=r"churn/model\.yaml"):
        load_spec("churn", models_dir=write(text=text))


def test_folder_and_model_must_agree(write):
    with pytest.raises(SpecError, match="found 'churn', expected the folder's name 'other'"):
        load_spec("other", models_dir=write(model="other"))


def test_an_unknown_model_lists_the_known_ones(write):
    with pytest.raises(SpecError, match="Known models: churn"):
        load_spec("chrun", models_dir=write())


def test_one_bad_spec_hides_no_other(write):
    write(text="a: [", model="bad")

    specs, errors = find_specs(write())

    assert [spec.model for spec in specs] == ["churn"]
    assert len(errors) == 1


def test_a_file_that_goes_while_specs_are_found_is_an_error(write, monkeypatch):
    write(model="other")
    folder = write()
    monkeypatch.setattr(loading, "_folders", lambda models_dir: (["churn", "gone"], []))

    specs, errors = find_specs(folder)

    assert [spec.model for spec in specs] == ["churn"]
    assert "No spec at" in str(errors[0])


@pytest.mark.parametrize("accident", [OSError(5, "no answer"), MemoryError(), RecursionError()])
def test_a_file_that_cannot_be_read_now_is_read_again(write, monkeypatch, accident):
    """A network drive that was away for a second must not hide a model until it is edited."""
    folder = write()

    def fail(path):
        raise accident

    with monkeypatch.context() as patch:
        patch.setattr(loading, "read_text", fail)
        assert "cannot be read" in str(find_specs(folder)[1][0])

    assert [spec.model for spec in find_specs(folder)[0]] == ["churn"]


def test_a_spec_is_read_again_after_it_was_written(write):
    first = find_specs(write())[0][0]

    assert find_specs(write())[0][0] == first
    assert find_specs(write({"owner": "finance"}))[0][0].owner == "finance"


def test_keys_may_be_shared_by_an_alias(write):
    text = MINIMAL.replace(
        "candidates: [linear]",
        "candidates: {one: &c {function: f}, two: {<<: *c, function: g}, three: {<<: [*c]}}",
    )

    found = load_spec("churn", models_dir=write(text=text)).candidates

    assert [candidate.function for candidate in found.values()] == ["f", "g", "f"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"candidates": ["a", "a"]}, "candidates: named more than once: ['a']; keep one of each."),
        ({"owner": None}, "owner: found nothing; expected text; put it in quotes. See line 11."),
        ({"seed": -1}, "seed: found -1; expected a number of at least 0. See line"),
        ({"retention.delete": "x"}, "retention.delete: found 'x'; expected true or false. See"),
        ({"drift.persistence": [1]}, "drift.persistence.1: missing; add it. See line"),
        (
            {"candidates": {"a": {"search": {"space": {"x": 5}}}}},
            "candidates.a.search.space.x: found 5; expected keys with values, for example "
            "{key: value}; or a list, for example [5]. See line",
        ),
        ({"deployment.mode": "fast"}, "deployment.mode: found 'fast'; expected one of 'direct', "),
    ],
)
def test_an_error_is_in_plain_words(write, changes, told):
    with pytest.raises(SpecError) as error:
        load_spec("churn", models_dir=write(changes))

    assert f"model.yaml: {told}" in str(error.value)


@pytest.mark.parametrize(
    "schedule",
    ["0 6 * * *", "@daily", "15 8 * * mon-fri", "0 0 1 1 *", "0 0 29 2 *", "0 0 L * *"],
)
def test_a_schedule_that_airflow_can_run_by_is_accepted(write, schedule):
    assert load_spec("churn", models_dir=write({"schedule": schedule})).schedule == schedule


def test_the_sample_is_valid():
    specs, errors = find_specs(MODELS_DIR)

    assert errors == []
    assert "flight_delay" in {spec.model for spec in specs}


def test_the_schema_for_editors_is_the_one_of_the_code():
    """Regenerate with make docs."""
    stored = json.loads((MODELS_DIR.parents[1] / "docs" / "model.schema.json").read_text())

    assert stored == ModelSpec.model_json_schema()
