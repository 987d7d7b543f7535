"""Days without data, and days with too few or too many rows, in a shop that no sample is like."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evergreen.data.available_days import landed_days
from evergreen.data.day_validation import DayVerdict
from evergreen.data.partitions import CLOSED_MARK, needed
from evergreen.data.preparation import load_examples, prepare_window
from evergreen.data.validation import MIN_VOLUME_DAYS, validate_window, volume_check
from evergreen.data.window import SEGMENTS, DayRange, training_window
from evergreen.errors import CandidateError, DataContractError
from evergreen.spec import ModelSpec
from evergreen.spec.data import TableContract
from evergreen.storage.folder import FolderStore

FIRST = date(2026, 1, 5)  # a Monday
DAYS = [FIRST + timedelta(days=n) for n in range(60)]
SUNDAY = 6
_numbers = itertools.count()
PREPARE = (
    "def prepare(raw, day):\n    return raw['orders'][raw['orders']['event_time'].dt.date == day]\n"
)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A function that returns the spec of a shop, with changes to its source."""
    name = f"shop_{next(_numbers)}"
    code = tmp_path / "code" / "models" / name
    code.mkdir(parents=True)
    (code / "prepare.py").write_text(PREPARE)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))

    def spec(contract=None, **source) -> ModelSpec:
        columns = {"event_time": {"type": "datetime"}, "x": {"type": "number"}}
        return ModelSpec.model_validate(
            {
                "model": name,
                "description": "A shop.",
                "owner": "shop",
                "start_date": "2026-01-01",
                "source": {
                    "files": {"orders": {"path": "raw/orders/{day}.parquet", "lookback_days": 1}}
                }
                | source,
                "examples": {"entity_key": ["id"], "label": "y", "numeric": ["x"]},
                "contract": {
                    "orders": {"event_time": "event_time", "columns": columns} | (contract or {})
                },
                "window": {"train_days": 28, "validation_days": 7, "test_days": 14},
                "candidates": ["linear"],
            }
        )

    return spec


def orders(day: date, rows: int) -> pa.Table:
    rng = np.random.default_rng(day.toordinal())
    start = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
    at = pa.array(
        [start + timedelta(minutes=n % 600) for n in range(rows)], pa.timestamp("us", "UTC")
    )
    return pa.table(
        {
            "id": pa.array([day.toordinal() * 1_000_000 + n for n in range(rows)]),
            "event_time": at,
            "known_at": at,
            "x": pa.array(rng.normal(size=rows)),
            "y": pa.array(rng.random(rows) < 0.5),
        }
    )


def land(store: FolderStore, day: date, table: pa.Table) -> None:
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    store.put(f"raw/orders/{day}.parquet", buffer.getvalue().to_pybytes())


@pytest.fixture
def store(tmp_path) -> FolderStore:
    """60 days of a shop that is closed on Sundays."""
    found = FolderStore(tmp_path / "store")
    for day in DAYS:
        if day.weekday() != SUNDAY:
            land(found, day, orders(day, 80 if day.weekday() < 5 else 12))
    return found


def _night(store, spec, day: date):
    as_of = datetime(day.year, day.month, day.day, 6, tzinfo=UTC)
    window = training_window(as_of, spec.window)
    validation = validate_window(store, spec, as_of=as_of, days=window.days)
    receipt = prepare_window(store, spec, window=window, validation=validation)
    return validation, receipt


def _open_days(window) -> list[date]:
    days = [day for segment in SEGMENTS for day in getattr(window, segment)]
    return [day for day in days if day.weekday() != SUNDAY]


def test_a_shop_that_is_closed_on_sundays_trains_on_every_night(store, shop):
    """15 nights over 60 days, a seventh of the rows on Saturdays: no Sunday is needed."""
    spec = shop(closed={"weekdays": ["sunday"]})

    for day in DAYS[45:]:
        validation, receipt = _night(store, spec, day)
        window = training_window(receipt.as_of, spec.window)
        closed = next(check for check in validation.checks if check.name == "closed days")
        sundays = sum(d.weekday() == SUNDAY for d in window.days)
        assert closed.measured.startswith(f"{sundays} of {len(window.days)}")
        assert receipt.days == len(_open_days(window))
    rows = load_examples(store, spec, receipt=receipt, segments=("fit", "validation", "test"))
    assert SUNDAY not in set(rows["event_time"].dt.weekday)


def test_without_the_word_a_closed_day_is_missing(store, shop):
    parts = needed(shop(), days=DayRange(first=DAYS[0], end=DAYS[14]))

    assert {part.day.weekday() for part in parts} == set(range(7))


def test_single_dates_are_closed(store, shop):
    spec = shop(closed={"dates": [str(DAYS[3])]})

    assert DAYS[3] not in {
        part.day for part in needed(spec, days=DayRange(first=DAYS[0], end=DAYS[7]))
    }


def test_an_empty_day_that_its_producer_explains_is_closed(store, shop):
    spec = shop(closed={"weekdays": ["sunday"]})
    marked = orders(DAYS[44], 0).replace_schema_metadata({CLOSED_MARK: b"no delivery"})
    land(store, DAYS[44], marked)

    validation, receipt = _night(store, spec, DAYS[45])

    closed = next(check for check in validation.checks if check.name == "closed days")
    assert f"the newest {DAYS[44]}" in closed.measured
    assert receipt.days == len(_open_days(training_window(receipt.as_of, spec.window))) - 1
    assert DAYS[44] not in landed_days(store, spec, days=DayRange(first=DAYS[40], end=DAYS[46]))


def test_an_empty_day_without_a_word_is_refused_and_says_how_to_explain_it(store, shop):
    land(store, DAYS[44], orders(DAYS[44], 0))

    with pytest.raises(DataContractError, match=r"source\.closed of model\.yaml") as raised:
        _night(store, shop(closed={"weekdays": ["sunday"]}), DAYS[45])
    assert CLOSED_MARK.decode() in str(raised.value)


def _score(store, spec, *days: date):
    as_of = datetime.combine(days[-1] + timedelta(days=1), datetime.min.time(), UTC)
    span = DayRange(first=days[0], end=days[-1] + timedelta(days=1))
    return validate_window(store, spec, as_of=as_of, days=span, serving=True)


@pytest.mark.parametrize(
    ("rows", "says"), [(3, "measured 3 rows"), (20_000, "measured 20000 rows")]
)
def test_a_day_far_from_the_usual_volume_is_not_scored(store, shop, rows, says):
    land(store, DAYS[44], orders(DAYS[44], rows))

    with pytest.raises(DataContractError, match=says):
        _score(store, shop(closed={"weekdays": ["sunday"]}), DAYS[44])


def test_each_day_of_a_run_is_held_against_its_past(store, shop):
    """A run of a week: the small day in its middle is named."""
    land(store, DAYS[44], orders(DAYS[44], 3))

    with pytest.raises(DataContractError, match=f"volume of {DAYS[44]}"):
        _score(store, shop(closed={"weekdays": ["sunday"]}), *DAYS[43:47])


def test_an_old_small_day_refuses_no_later_night(store, shop):
    spec = shop({"min_rows": 10}, closed={"weekdays": ["sunday"]})
    land(store, DAYS[20], orders(DAYS[20], 5))

    _night(store, spec, DAYS[45])


def _verdict(day: date, rows: int, *, closed: bool = False) -> DayVerdict:
    return DayVerdict(
        table="orders",
        day=day,
        raw_key="k",
        raw_sha256="s",
        rows=rows,
        broken=(),
        reasons={},
        quarantine=None,
        newest_event=None,
        closed=closed,
    )


@settings(max_examples=200, deadline=None)
@given(
    usual=st.lists(st.integers(20, 5_000), min_size=7, max_size=7),
    noise=st.lists(st.floats(0.8, 1.25), min_size=36, max_size=36),
    factor=st.sampled_from([0.0, 0.1, 0.3, 1.0, 20.0, 100.0]),
    closed=st.sets(st.integers(0, 6), max_size=3),
)
def test_weekdays_are_compared_with_their_own_kind(usual, noise, factor, closed):
    """Property: whatever a week looks like, an ordinary day passes and a far one does not."""
    days = [FIRST + timedelta(days=n) for n in range(36)]
    history = [
        _verdict(day, int(usual[day.weekday()] * noise[n]), closed=day.weekday() in closed)
        for n, day in enumerate(days[:-1])
    ]
    newest = _verdict(days[-1], int(usual[days[-1].weekday()] * noise[-1] * factor))

    check = volume_check(TableContract(), newest, history)

    open_days = sum(not v.closed for v in history[-28:])
    if open_days < MIN_VOLUME_DAYS:
        assert check.status == "unknown"
    elif days[-1].weekday() not in closed:
        assert check.status == ("passed" if factor == 1.0 else "failed")


def test_a_column_that_may_be_null_may_be_null_all_day(store, shop):
    rules = {"event_time": {"type": "datetime"}, "note": {"type": "string", "nullable": True}}
    spec = shop({"columns": rules}, closed={"weekdays": ["sunday"]})
    for day in DAYS[:46]:
        if day.weekday() != SUNDAY:
            notes = pa.nulls(80) if day == DAYS[44] else pa.array(["a"] * 80)
            land(store, day, orders(day, 80).append_column("note", notes))

    # prepare returns a column that is no input, and that is what is wrong: the contract holds.
    with pytest.raises(CandidateError, match="column 'note' is not in the spec"):
        _night(store, spec, DAYS[45])
