"""A setting without an effect is refused by name, and so is a combination that cannot work."""

from __future__ import annotations

import copy
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from evergreen.spec import ModelSpec, load_spec
from evergreen.spec.checks import checked_schedule, hours_between
from evergreen.spec.loading import MODELS_DIR

BASE = """
model: demo
description: A model.
owner: team
start_date: 2026-01-01
source: {files: {orders: "raw/orders/{day}.parquet"}}
examples: {entity_key: [id], label: y, numeric: [x, z]}
candidates: [linear]
"""


def merged(*texts: str) -> dict:
    """Return the base with each of *texts*, YAML that is laid over it."""
    found = yaml.safe_load(BASE)
    for text in texts:
        _lay(found, copy.deepcopy(yaml.safe_load(text)))
    return found


def _lay(under: dict, over: dict) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(key), dict):
            _lay(under[key], value)
        else:
            under[key] = value


#: A setting, what it needs to have an effect, and what the error names.
SETTINGS = [
    (
        "deployment: {approval: {users: [anna]}}",
        "deployment: {approval: {required: true}}",
        "deployment.approval.users",
    ),
    (
        "deployment: {approval: {within_hours: 3}}",
        "deployment: {approval: {required: true}}",
        "deployment.approval.within_hours",
    ),
    ("deployment: {shadow: {minutes: 5}}", "deployment: {mode: shadow}", "deployment.shadow"),
    ("deployment: {limits: {max_p95_ms: 9}}", "deployment: {mode: shadow}", "deployment.limits"),
    (
        "deployment: {canary: {steps: [{share: 0.1, minutes: 5}]}}",
        "deployment: {mode: canary}",
        "deployment.canary",
    ),
    ("service: {p95_ms: 9}", "deployment: {target: server}", None),
    ("staleness: {max_loss: 0.1}", "staleness: {champion_days: 9}", None),
    ("gates: {slices: {min_rows: 50}}", "gates: {slices: {columns: [x]}}", "gates.slices.min_rows"),
    (
        "contract: {orders: {fresh_within_hours: 6}}",
        "contract: {orders: {event_time: at, columns: {at: {type: datetime}}}}",
        "contract.orders.fresh_within_hours",
    ),
    ("drift: {weights: {x: 2}, columns: [z]}", "drift: {columns: [x, z]}", "drift.weights"),
]


@pytest.mark.parametrize(("setting", "needed", "named"), SETTINGS)
def test_a_setting_is_accepted_with_what_it_needs_and_refused_without(setting, needed, named):
    ModelSpec.model_validate(merged(setting, needed))

    if named:
        with pytest.raises(ValidationError, match=named.replace(".", r"\.")):
            ModelSpec.model_validate(merged(setting))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{service: {p95_ms: 9}, deployment: {target: batch}}", "service has no effect"),
        ("{staleness: {champion_days: 9, data_days: 9, max_loss: 1}}", "staleness.max_loss"),
        ("{examples: {problem: regression, positive_class: 1}}", "examples.positive_class"),
        ("{examples: {problem: multiclass, negative_class: a}}", "examples.negative_class"),
        ("{deployment: {approval: {required: true, within_hours: 1000}}}", "1000 hours"),
        ("{drift: {persistence: [3, 1000000]}}", "drift.persistence looks at 1000000 days"),
        ("{examples: {entity_key: [id, y]}}", "label 'y' is also in entity_key"),
        ("{examples: {entity_key: [id, id]}}", "named more than once among the entity_key"),
        ("{examples: {event_time: y}}", "label 'y' is also"),
        ("{gates: {champion: {confidence: 0.9999999}}}", "less than or equal to 0.9999"),
        ("{schedule: '@hourly'}", "five cron fields"),
        ("{schedule: '0 6,18 * * *'}", "due more than once a day"),
        ("{schedule: '*/5 6 * * *'}", "due more than once a day"),
        ("{drift: {columns: []}}", "at least 1 item"),
        ("{contract: {orders: {history_days: 3}}}", "greater than or equal to 7"),
        ("{contract: {orders: {columns: {c: {type: string, categories: []}}}}}", "at least 1 item"),
        (
            "{contract: {orders: {event_time: t, columns: {t: {type: datetime, nullable: true}}}}}",
            "event_time t is nullable",
        ),
        ("{candidates: {linear: false}}", "valid dictionary"),
        ("{candidates: {linear: {function: 'my fit'}}}", "expected the name of a function"),
        ('{examples: {label: "y\\nz"}}', "expected the name of a column"),
        ("{source: {files: {windows: 'raw/w/{day}.parquet'}}}", "windows and examples are taken"),
        ("{quality: {metrics: [roc_auc]}}", "quality.metrics"),
    ],
)
def test_what_cannot_work_is_refused(text, named):
    with pytest.raises(ValidationError) as raised:
        ModelSpec.model_validate(merged(text))
    assert named in str(raised.value)


SQL = """
source:
  files: {}
  connection: shop
  sql: {orders: {query: "QUERY", refresh_days: DAYS}}
contract: {orders: {columns: {y: {type: boolean, known_later: true}}}}
"""
GOOD_QUERY = "select 1 where at >= :start and at < :end"


def _sql(query: str, days: int) -> dict:
    return merged("source: null", SQL.replace("QUERY", query).replace("DAYS", str(days)))


@pytest.mark.parametrize(
    ("query", "days", "named"),
    [
        (GOOD_QUERY, 1, "labels may come 1 days later"),
        ("select 1 where at >= :start -- and at < :end", 3, ":end not found"),
        ("select 1 where at >= :start_date and at < :end", 3, ":start not found"),
    ],
)
def test_a_table_that_would_miss_its_labels_or_its_bounds_is_refused(query, days, named):
    ModelSpec.model_validate(_sql(GOOD_QUERY, 3))

    with pytest.raises(ValidationError) as raised:
        ModelSpec.model_validate(_sql(query, days))
    assert named in str(raised.value)


@settings(max_examples=60, deadline=None)
@given(
    minute=st.integers(0, 59),
    hour=st.integers(0, 23),
    rest=st.sampled_from(["* * *", "* * 1-5", "* * 0", "1 * *", "L * *", "*/2 * *", "29 2 *"]),
)
def test_a_schedule_of_one_time_a_day_is_accepted_and_its_gap_is_whole_days(minute, hour, rest):
    schedule = checked_schedule(f"{minute} {hour} {rest}")

    least, most = hours_between(schedule)
    assert 24 <= least <= most
    assert least % 24 == most % 24 == 0


def test_the_sample_has_no_useless_setting():
    assert load_spec("flight_delay", models_dir=MODELS_DIR).model == "flight_delay"


@pytest.mark.parametrize(("setting", "needed", "named"), SETTINGS)
def test_a_spec_that_was_stored_whole_is_read_again(setting, needed, named):
    """A stored spec names every key, also those whose default has no effect."""
    spec = ModelSpec.model_validate(merged(setting, needed))

    assert ModelSpec.model_validate(spec.model_dump(mode="json")) == spec


MANY = [f"n{n}" for n in range(30_000)]
LISTS = {
    "candidates": MANY,
    "tags": MANY,
    "limits": MANY,
    "examples.numeric": MANY,
    "examples.categorical": MANY,
    "examples.entity_key": MANY,
    "examples.constant_allowed": MANY,
    "gates.slices.columns": MANY,
    "drift.columns": MANY,
    "contract.orders.columns": {name: {"type": "string"} for name in MANY},
    "contract.orders.duplicate_key": MANY,
    "inputs.all.columns": MANY,
    "deployment.approval.users": MANY,
    "alerts.connections": MANY,
    "source.closed.dates": ["2026-01-01"] * 30_000,
}


@pytest.mark.parametrize("key", LISTS)
def test_a_list_of_any_length_is_refused_soon(key):
    """Checks that compare each name with each other took minutes, and with them all DAGs."""
    value = LISTS[key]
    for name in reversed(key.split(".")):
        value = {name: value}
    spec = merged(yaml.safe_dump({"gates": {}}))
    _lay(spec, value)
    started = time.process_time()

    with pytest.raises(ValidationError):
        ModelSpec.model_validate(spec)

    assert time.process_time() - started < 5
