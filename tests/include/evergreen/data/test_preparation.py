from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from tests.conftest import AS_OF

from evergreen.data import examples
from evergreen.data.preparation import load_examples, load_training, prepare_window
from evergreen.data.validation import validate_window
from evergreen.data.window import start_of, training_window
from evergreen.errors import CandidateError, DataContractError
from evergreen.modeling.candidates import fit_candidate, fit_for
from evergreen.receipts.data import ExamplesReceipt
from evergreen.spec.data import Examples
from evergreen.spec.modeling import BASELINE

LAST = AS_OF.date() - timedelta(days=1)


@pytest.fixture
def prepare(store, spec):
    def run(as_of: datetime = AS_OF) -> ExamplesReceipt:
        window = training_window(as_of, spec.window)
        validation = validate_window(store, spec, as_of=as_of, days=window.days)
        return prepare_window(store, spec, window=window, validation=validation)

    return run


def test_days_are_prepared_once(prepare, store):
    first = prepare()
    before = {key: store.get(key) for key in store.list("examples/")}
    second = prepare()

    assert first.days_prepared == first.days > 0
    assert second.days_prepared == 0
    assert second.digest == first.digest
    assert {key: store.get(key) for key in store.list("examples/")} == before


def test_the_next_night_prepares_one_new_day(prepare):
    prepare()

    # Gap days move through the window, so with one gap day each side two more days become used.
    assert prepare(AS_OF + timedelta(days=1)).days_prepared <= 3


def test_a_corrected_day_is_prepared_again_and_alone(prepare, rewrite):
    before = prepare()
    rewrite("flights", LAST, lambda f: f.iloc[30:])

    after = prepare()

    assert after.days_prepared == 1
    assert after.digest != before.digest


def test_a_corrected_day_is_prepared_again_with_the_day_that_looks_back_at_it(
    prepare, rewrite, store, spec
):
    """The sample's flights are read with the day before, and so both days have other inputs."""
    before = prepare()
    kept = {key: store.get(key) for key in store.list("examples/")}
    rewrite("flights", LAST - timedelta(days=1), lambda f: f.assign(dep_delay=f["dep_delay"] + 60))

    after = prepare()

    made = {key.split("/")[2] for key in store.list("examples/") if key not in kept}
    assert after.days_prepared == 2
    assert made == {"windows", str(LAST - timedelta(days=1)), str(LAST)}
    assert after.digest != before.digest


def test_flights_in_the_air_have_no_label_yet(prepare, store, spec):
    receipt = prepare()
    rows = load_examples(store, spec, receipt=receipt, segments=("test",))

    assert rows["known_at"].max() <= AS_OF
    assert rows["event_time"].max() < AS_OF
    assert rows["is_late"].dtype == bool


def capped(spec, most: int):
    window = spec.window.model_copy(update={"max_train_rows": most})
    return spec.model_copy(update={"window": window})


def test_a_window_that_is_too_large_is_thinned_out_evenly_and_says_so(prepare, store, spec, caplog):
    receipt = prepare()
    caplog.set_level("INFO")
    all_rows = sum(receipt.labelled[s] for s in ("fit", "validation"))

    some, _ = load_training(store, capped(spec, 2_000), receipt=receipt)
    every, _ = load_training(store, spec, receipt=receipt)

    shares = some["event_time"].dt.date.value_counts() / every["event_time"].dt.date.value_counts()
    assert len(every) == all_rows > 10_000
    assert abs(len(some) - 2_000) <= 20
    assert shares.max() - shares.min() < 0.01
    assert some["event_time"].is_monotonic_increasing
    assert f"of {all_rows}: window.max_train_rows is 2000" in caplog.text


def test_the_baseline_alone_is_bounded_by_its_gate(prepare, store, spec, caplog):
    receipt = prepare()
    caplog.set_level("INFO")
    baseline = spec.gates.baseline.model_copy(update={"max_rows": 2_000})
    bounded = spec.model_copy(
        update={"gates": spec.gates.model_copy(update={"baseline": baseline})}
    )

    def rows_for(candidate: str, of=bounded) -> int:
        _, frame = fit_for(
            store, of, candidate=candidate, examples=receipt, search=None, params=None
        )
        return len(frame)

    assert abs(rows_for(BASELINE) - 2_000) <= 20
    assert "gates.baseline.max_rows is 2000" in caplog.text
    assert rows_for("linear") == rows_for("linear", of=spec) > 10_000
    assert abs(rows_for(BASELINE, of=capped(bounded, 1_000)) - 1_000) <= 20


def test_the_same_rows_are_drawn_each_time_and_others_by_another_seed(prepare, store, spec):
    receipt = prepare()

    def drawn(seed: int) -> pd.DataFrame:
        seeded = capped(spec, 2_000).model_copy(update={"seed": seed})
        return load_training(store, seeded, receipt=receipt)[0]

    pd.testing.assert_frame_equal(drawn(0), drawn(0))
    assert not drawn(0).equals(drawn(1))


@pytest.mark.parametrize(("segment", "until"), [("validation", "test"), ("fit", "validation")])
def test_a_label_that_came_after_the_next_days_began_is_not_fitted_on(
    prepare, rewrite, store, spec, caplog, segment, until
):
    """It is known tonight, but a model that was fitted before those days would not have had it."""
    window = training_window(AS_OF, spec.window)
    last = getattr(window, segment).end - timedelta(days=1)
    begins = pd.Timestamp(start_of(getattr(window, until).first))
    late = begins + pd.Timedelta(hours=1)

    def delayed(frame):
        landed = frame["arrived_at"].notna()
        return frame.assign(arrived_at=frame["arrived_at"].mask(landed, late))

    rewrite("flights", last, delayed)
    receipt = prepare()
    caplog.set_level("INFO")
    rows, fit_rows = load_training(store, spec, receipt=receipt)
    seen: list[pd.DataFrame] = []

    class Recorder(LogisticRegression):
        def fit(self, inputs, labels):
            seen.append(rows.loc[inputs.index])
            return super().fit(inputs, labels)

    columns = ColumnTransformer([("distance", "passthrough", ["distance"])])
    columns.set_output(transform="pandas")  # keeps the index, which says which rows they are
    fit_candidate(
        Pipeline([("columns", columns), ("model", Recorder())]),
        rows=rows,
        fit_rows=fit_rows,
        spec=spec,
        is_ranked=True,
    )

    assert receipt.labelled[segment] > 0
    measured, final = seen
    assert measured["known_at"].max() <= pd.Timestamp(start_of(window.validation.first))
    assert final["known_at"].max() <= pd.Timestamp(start_of(window.test.first))
    days = final["event_time"].dt.date
    assert (days == last).any() == (segment == "fit")
    assert ("and are left out" in caplog.text) == (segment == "validation")


def test_test_days_are_never_thinned_out(prepare, store, spec):
    receipt = prepare()
    rows = load_examples(store, capped(spec, 1_000), receipt=receipt, segments=("test",))

    assert len(rows) == receipt.labelled["test"]


def test_what_lands_after_as_of_changes_nothing(prepare, rewrite):
    """The heart of as-of: the future of a row cannot reach a digest of its past."""
    before = prepare()

    def later(frame):
        unknown = frame["arrived_at"].isna() | (frame["arrived_at"] > AS_OF)
        assert unknown.sum() > 10
        return frame.assign(
            arr_delay=frame["arr_delay"].mask(unknown & frame["arr_delay"].notna(), 99)
        )

    rewrite("flights", LAST, later)

    assert prepare().digest == before.digest


def test_what_was_known_changes_the_digest(prepare, rewrite):
    before = prepare()

    def earlier(frame):
        known = frame["arrived_at"] <= AS_OF
        return frame.assign(arr_delay=frame["arr_delay"].mask(known, 99))

    rewrite("flights", LAST, earlier)

    assert prepare().digest != before.digest


@pytest.mark.parametrize(
    ("table", "how", "says"),
    [
        ("flights", {"arr_delay": 0.0}, "label 'is_late' in the fit days: all"),
        ("weather", {"visib": 10.0}, "input 'visib': constant 10.0 in all"),
        ("flights", {"minute": 0}, "input 'minute': constant 0.0 in all"),
    ],
)
def test_examples_that_teach_nothing_are_refused(prepare, rewrite, store, spec, table, how, says):
    window = training_window(AS_OF, spec.window)
    for day in [window.days.first - timedelta(days=1), *window.days]:
        rewrite(table, day, lambda f: f.assign(**how))

    with pytest.raises(DataContractError, match=says):
        prepare()

    assert list(store.list(f"examples/{spec.model}/windows/")) == []


SMALL = Examples(entity_key=["id"], label="y", numeric=["x"], categorical=["c"])
MIDNIGHT = pd.Timestamp(start_of(LAST))


@pytest.fixture
def good() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": [2, 1, 3],
            "event_time": MIDNIGHT + pd.to_timedelta([2, 1, 3], "h"),
            "known_at": [MIDNIGHT + pd.Timedelta(hours=9), None, MIDNIGHT + pd.Timedelta(days=2)],
            "y": [True, None, False],
            "x": [1, 2, 3],
            "c": ["a", None, "b"],
        }
    ).astype({"known_at": "datetime64[us, UTC]"})


def test_examples_are_put_in_canonical_form(good):
    frame = examples.checked(good.iloc[::-1], spec=SMALL, day=LAST).frame

    assert frame["id"].tolist() == [1, 2, 3]
    assert frame["x"].dtype == "float64"
    assert frame["y"].isna().tolist() == [True, False, False]
    assert frame["c"].isna().tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.drop(columns="x"), "column 'x' is missing"),
        (lambda f: f.assign(arr_delay=1), "column 'arr_delay' is not in the spec"),
        (lambda f: f.assign(x=["1", "2", "3"]), "'x' has type"),
        (lambda f: f.assign(x=[1.0, float("inf"), 2.0]), "1 of 3 rows: 'x' is infinite"),
        (lambda f: f.assign(id=1), "2 of 3 rows: repeats the entity key"),
        (lambda f: f.assign(id=[1.0, None, 2.0]), "1 of 3 rows: null in the entity key"),
        (lambda f: f.assign(known_at=f["event_time"]), "1 of 3 rows: 'y' but no 'known_at'"),
        (
            lambda f: f.assign(known_at=f["known_at"] - pd.Timedelta(days=3)),
            "2 of 3 rows: label known before",
        ),
        (
            lambda f: f.assign(event_time=f["event_time"] - pd.Timedelta(days=1)),
            "3 of 3 rows: 'event_time' outside the day",
        ),
        (
            lambda f: f.assign(event_time=f["event_time"].dt.tz_localize(None)),
            "'event_time' has type .*, expected datetime with UTC",
        ),
        (lambda f: f.to_dict(), "prepare returned a dict"),
    ],
)
def test_a_wrong_frame_of_the_users_is_explained(good, change, says):
    with pytest.raises(CandidateError, match=says):
        examples.checked(change(good), spec=SMALL, day=LAST)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(
    as_of_h=st.integers(0, 48),
    rows=st.lists(st.tuples(st.integers(0, 23), st.integers(0, 48), st.booleans()), max_size=12),
    extra=st.lists(st.tuples(st.integers(0, 23), st.integers(0, 48), st.booleans()), max_size=12),
)
def test_rows_of_the_future_never_change_the_digest(as_of_h, rows, extra):
    """Property: add rows that happen at or after as_of, or become known after it; nothing moves."""
    as_of = MIDNIGHT + pd.Timedelta(hours=as_of_h)
    future = [(e, k, y) for e, k, y in extra if e >= as_of_h or e + k > as_of_h]

    assert _digest(rows, as_of) == _digest([*rows, *future], as_of)


def _digest(rows, as_of) -> str:
    frame = pd.DataFrame(
        {
            "id": range(len(rows)),
            "event_time": [MIDNIGHT + pd.Timedelta(hours=e) for e, _, _ in rows],
            "known_at": [MIDNIGHT + pd.Timedelta(hours=e + k) for e, k, _ in rows],
            "y": [y for _, _, y in rows],
            "x": 1.0,
            "c": "a",
        }
    ).astype({"event_time": "datetime64[us, UTC]", "known_at": "datetime64[us, UTC]"})
    frame["y"] = frame["y"].astype("boolean")
    ordered = frame.sort_values(["event_time", "id"], kind="stable", ignore_index=True)
    known = examples.known(ordered, spec=SMALL, as_of=as_of)
    return examples.labelled(known.drop(columns="id").assign(id=0), spec=SMALL).digest
