"""
Properties of every spec: it is refused by a SpecError, or all its DAGs can be built and scheduled.

Run more of them by hand with ``EVERGREEN_EXAMPLES=5000`` in the environment.
"""

from __future__ import annotations

import copy
import os
import runpy
import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from zoneinfo import available_timezones

import pendulum
import pytest
import yaml
from airflow.sdk import DAG
from airflow.sdk.definitions._internal.contextmanager import DagContext
from airflow.serialization.serialized_objects import DagSerialization, LazyDeserializedDAG
from airflow.timetables.base import TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evergreen.errors import SpecError
from evergreen.spec import MODELS_DIR, ModelSpec, find_specs, load_spec
from evergreen.spec.checks import FIRST_DATE, LAST_DATE, checked_time_zone

DAGS = Path(__file__).parents[2] / "dags"
EXAMPLES = int(os.environ.get("EVERGREEN_EXAMPLES", "150"))
#: A spec in which every section is used, so that each of its leaves can be changed.
FULL = yaml.safe_load(
    (MODELS_DIR / "flight_delay" / "model.yaml")
    .read_text()
    .replace("model: flight_delay", "model: churn")
) | yaml.safe_load(
    """
timezone: Europe/Berlin
seed: 3
schedules: {score: "0 7 * * *"}
limits: [Judges New York only.]
window: {train_days: 60, validation_days: 7, gap_days: 1, test_days: 7, label_delay_days: 0}
trusted_types: [numpy.dtype]
engine: {dask: cluster, queue: large, executor: LocalExecutor}
deployment:
  target: server
  mode: canary
  shadow: {minutes: 10}
  canary: {steps: [{share: 0.1, minutes: 10}, {share: 0.5, minutes: 10}]}
  limits: {max_error_rate: 0.01, max_p95_ms: 250, wait_hours: 6}
  approval: {required: true, users: [ann, bob], within_hours: 12}
scoring: {sql: {connection: warehouse, table: public.scores}}
drift: {columns: [hour], weights: {hour: 2}, persistence: [3, 5], cool_down_days: 7}
quality: {window_days: 7, lookback_days: 28, floors: {roc_auc: 0.5}}
service: {p95_ms: 250, max_skew: 0.01}
staleness: {champion_days: 30, max_loss: 0.01}
alerts: {connections: [mail], late_after_hours: 4}
retention: {delete: true, versions: 60, reports_days: 365}
"""
)

CRON_FIELD = st.from_regex(
    r"(\*|L|[0-9]{1,2}|[a-z]{3})(-[0-9]{1,2})?(/[0-9]{1,2})?(#[0-9])?(,[0-9]{1,2})?", fullmatch=True
)
TEXTS = (
    st.text(max_size=20)
    | st.text("x /.:{}@-é\n", max_size=300)
    | st.text(st.characters(exclude_categories=()), max_size=5)
    | st.sampled_from(
        [
            "UTC",
            "utc",
            "Europe",
            "EST5EDT",
            "localtime",
            "GMT+0",
            "@daily",
            "raw/{day}",
            "raw/{day:%Y}",
            "2013-01-01",
            "1e300",
            "nan",
            "-inf",
            "9" * 500,
            "roc_auc",
            "baseline",
            "../x",
            "(",
            "__x__",
            "model_x",
            "0 0 31 2 *",
        ]
    )
    | st.sampled_from(sorted(available_timezones()))
    | st.lists(CRON_FIELD, min_size=5, max_size=5).map(" ".join)
)
NUMBERS = (
    st.integers(-1, 400)
    | st.integers()
    | st.integers(-(10**60), 10**60)
    | st.floats()
    | st.floats(0, 1)
    | st.sampled_from([1e300, 5e-324, 10**18, 2**31, 2**32, 2**63, 0.5])
)
LEAVES = st.none() | st.booleans() | TEXTS | NUMBERS | st.dates() | st.datetimes()
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS | LEAVES, inner, max_size=3),
    max_leaves=8,
)


def places(content: object, at: tuple[object, ...] = ()) -> Iterator[tuple[object, ...]]:
    """Name every value of *content* by the keys that lead to it."""
    children = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for key, child in children:
        yield (*at, key)
        yield from places(child, (*at, key))


PLACES = [at for at in places(FULL) if at != ("model",)]


@st.composite
def mutated(draw: st.DrawFn) -> dict:
    """Give the full spec with one to three of its values replaced, removed or doubled."""
    content = copy.deepcopy(FULL)
    for at in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=3)):
        here = content
        try:
            for key in at[:-1]:
                here = here[key]
            old = here[at[-1]]
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change removed it
        same = (
            NUMBERS if isinstance(old, int | float) else TEXTS if isinstance(old, str) else VALUES
        )
        if isinstance(old, date):
            same = st.dates(FIRST_DATE, LAST_DATE) | VALUES
        if draw(st.booleans()) and isinstance(here, dict):
            del here[at[-1]]
        else:
            here[at[-1]] = draw(same | VALUES)
    return content


def as_yaml(content: object) -> str | None:
    try:
        return yaml.safe_dump(content, allow_unicode=True)
    except (yaml.YAMLError, UnicodeError, ValueError):
        return None


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(MODELS_DIR / "flight_delay", folder / "flight_delay")
    (folder / "churn").mkdir()
    return folder


@pytest.fixture(scope="module")
def workflows() -> dict[str, Callable[[ModelSpec], object]]:
    """Return the real function of each DAG file that builds one DAG of a model."""
    found = {
        p.stem: runpy.run_path(str(p)).get(p.stem)
        for p in sorted(DAGS.glob("*.py"))
        if "build_dags(" in p.read_text()
    }
    assert {"retrain", "score", "monitor"} <= set(found)
    return found


def read(models: Path, data: bytes) -> ModelSpec | None:
    """Write and read a spec beside the good one; return it if it is accepted."""
    (models / "churn" / "model.yaml").write_bytes(data)
    specs, errors = find_specs(models)
    assert "flight_delay" in {spec.model for spec in specs}
    assert len(specs) + len(errors) == 2
    try:
        found = load_spec("churn", models_dir=models)
    except SpecError as error:
        text = str(error)
        assert "churn/model.yaml: " in text
        assert "Input should" not in text
        assert "expected another value" not in text
        assert "cannot be read" not in text  # what no check foresaw
        assert len(text) < 10_000
        text.encode()
        return None
    assert found in specs
    return found


def schedules(dag: DAG) -> None:
    """Send *dag* through all that the DAG processor and the scheduler do before a run starts."""
    dag.validate()
    dag.check_cycle()
    stored = LazyDeserializedDAG(data=DagSerialization.to_dict(dag))
    stored.model_dump_json().encode()
    there = DagSerialization.from_dict(stored.data)
    assert len(there.timetable.description or "") <= 1_000
    restriction = TimeRestriction(earliest=there.start_date, latest=None, catchup=True)
    interval = None
    for _ in range(2):
        info = there.timetable.next_dagrun_info(
            last_automated_data_interval=interval, restriction=restriction
        )
        interval = info.data_interval if info else None
    for task in there.tasks:
        assert len(task.owner) <= 200


def build_all(spec: ModelSpec, workflows: dict[str, Callable[[ModelSpec], object]]) -> None:
    for workflow, build in workflows.items():
        DagContext.autoregistered_dags.clear()
        DagContext.current_autoregister_module_name = __name__
        try:
            build(spec)
            built = [dag for dag, _ in DagContext.autoregistered_dags]
        finally:
            DagContext.current_autoregister_module_name = None
            DagContext.autoregistered_dags.clear()
        assert [dag.dag_id for dag in built] == [f"{spec.model}__{workflow}"]
        schedules(built[0])


SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


def test_the_full_spec_is_accepted_and_built(models, workflows):
    spec = read(models, yaml.safe_dump(FULL).encode())

    assert spec is not None
    build_all(spec, workflows)


@SETTINGS
@given(content=mutated())
def test_a_changed_spec_is_refused_or_can_be_built(models, workflows, content):
    text = as_yaml(content)
    if text is not None and (spec := read(models, text.encode("utf-8", "surrogatepass"))):
        build_all(spec, workflows)


@SETTINGS
@given(
    text=st.text()
    | st.text("[]{}&*!?|>-:,#'\"<%@ \n\ta1", max_size=60)
    | st.binary().map(lambda data: data.decode("latin-1"))
    | VALUES.map(as_yaml).filter(bool)
)
def test_any_text_is_refused(models, text):
    assert read(models, text.encode("utf-8", "surrogatepass")) is None


@SETTINGS
@given(data=st.binary(), at=st.integers(0, 3_000))
def test_a_damaged_file_is_refused_or_read(models, data, at):
    good = yaml.safe_dump(FULL).encode()

    read(models, good[:at] + data + good[at + len(data) :])


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../flight_delay", "a\0b", "\ud800", "/etc", "A b"]
)
def test_a_name_that_is_none_is_a_spec_error(models, name):
    with pytest.raises(SpecError):
        load_spec(name, models_dir=models)


def test_every_time_zone_that_is_accepted_can_be_scheduled():
    """By Airflow, from the first to the last day that a spec may start."""
    zones, refused = sorted(available_timezones()), set()
    for zone in zones:
        try:
            checked_time_zone(zone)
        except ValueError:
            refused.add(zone)
            continue
        timetable = CronDataIntervalTimetable("30 2 * * *", timezone=zone)
        for day in (FIRST_DATE, date(2026, 3, 29), LAST_DATE):
            start = pendulum.datetime(day.year, day.month, day.day, tz=zone)
            restriction = TimeRestriction(earliest=start, latest=None, catchup=True)
            assert timetable.next_dagrun_info(
                last_automated_data_interval=None, restriction=restriction
            )

    assert refused <= {"Factory", "localtime", "posixrules"}
    assert len(zones) > 400
