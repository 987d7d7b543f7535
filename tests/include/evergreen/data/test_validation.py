"""Bad data ends in a named verdict with numbers, and leaves nothing half done."""

from __future__ import annotations

from datetime import timedelta

import pandas as pd
import pytest
from tests.conftest import AS_OF

from evergreen.data.parquet import from_parquet, to_parquet
from evergreen.data.validation import load_verdicts, validate_window
from evergreen.data.window import training_window
from evergreen.errors import DataContractError, MissingPartitionError
from evergreen.storage.folder import FolderStore

DAY = AS_OF.date() - timedelta(days=1)


@pytest.fixture
def validate(store, spec):
    def run(**contract):
        changed = spec
        if contract:
            flights = spec.contract["flights"].model_copy(update=contract)
            changed = spec.model_copy(update={"contract": spec.contract | {"flights": flights}})
        days = training_window(AS_OF, spec.window).days
        return validate_window(store, changed, as_of=AS_OF, days=days)

    return run


def written(store: FolderStore) -> list[str]:
    return [key for key in store.list("") if not key.startswith("raw/")]


def test_good_days_pass_and_are_read_once(validate):
    first = validate()
    second = validate()

    assert first.quarantined == 1  # the 1,048 mph of 12 February, in the real data
    assert {check.status for check in first.checks} == {"passed"}
    assert first.days_read > 0
    assert second.days_read == 0
    assert second.record == first.record


def test_a_corrected_file_is_read_again(validate, rewrite):
    validate()

    rewrite("flights", DAY, lambda f: f.iloc[:-1])

    assert validate().days_read == 1


@pytest.mark.parametrize(
    ("how", "says"),
    [
        (b"", "found 0 bytes that are not a whole Parquet file"),
        (b"PAR1 and then a proxy's error page", "are not a whole Parquet file"),
        (lambda f: f.iloc[:0], "found 0 rows, expected at least 1"),
        (lambda f: f.drop(columns="carrier"), "carrier: found 0 times, expected once"),
        (lambda f: f.assign(flight=f["flight"].astype(str)), "flight: found type .*, expected int"),
        (
            lambda f: f.assign(scheduled_departure=f["scheduled_departure"].dt.tz_localize(None)),
            "scheduled_departure: found type timestamp.*, expected datetime with a time zone",
        ),
        (lambda f: f.assign(distance=float("nan")), r"distance: all \d+ values are null"),
    ],
)
def test_a_broken_file_is_a_verdict_that_names_day_and_path(validate, store, rewrite, how, says):
    rewrite("flights", DAY, how)

    with pytest.raises(DataContractError, match=says) as error:
        validate()

    assert f"raw/flights/{DAY}.parquet" in str(error.value)
    assert [key for key in written(store) if "/windows/" in key] == []
    assert [key for key in written(store) if f"/flights/{DAY}/" in key] == []


def test_broken_rows_go_to_quarantine_with_their_reason(validate, store, rewrite, spec):
    def spoil(frame):
        frame.loc[3, "origin"] = "XXX"
        frame.loc[5, "distance"] = -4
        return frame

    rewrite("flights", DAY, spoil)

    receipt = validate()

    verdict = load_verdicts(store, receipt)["flights", DAY]
    aside = from_parquet(store.get(verdict.quarantine.key))
    assert receipt.quarantined == 2 + 1  # and the 1,048 mph of 12 February
    assert verdict.broken == (3, 5)
    assert aside["quarantine_reason"].tolist() == ["origin: unknown category", "distance: below 1"]


def test_more_broken_rows_than_the_budget_stop_the_run(validate, store, rewrite):
    rewrite("flights", DAY, lambda f: f.assign(origin=f["origin"].where(f.index >= 20, "XXX")))

    with pytest.raises(DataContractError) as error:
        validate()

    assert "20 of " in str(error.value)
    assert "the quarantine budget is 1.00%" in str(error.value)
    assert "20 x origin: unknown category" in str(error.value)
    assert [key for key in written(store) if "/windows/" in key] == []


def test_repeated_rows_and_rows_of_another_day_are_put_aside(validate, rewrite, store):
    yesterday = pd.Timedelta(days=1)

    def spoil(frame):
        frame.loc[7, "scheduled_departure"] -= yesterday
        return pd.concat([frame, frame.iloc[[2]]], ignore_index=True)

    rewrite("flights", DAY, spoil)

    reasons = load_verdicts(store, validate())["flights", DAY].reasons

    assert sorted(reasons) == [
        "repeats carrier, flight, origin, scheduled_departure of an earlier row",
        f"scheduled_departure: outside {DAY} UTC",
    ]


def test_too_few_rows_against_history_stop_the_run(validate, rewrite):
    rewrite("flights", DAY, lambda f: f.iloc[::5])

    with pytest.raises(
        DataContractError, match=rf"volume of {DAY}: measured \d+ rows, required \d+ to \d+"
    ):
        validate()


def test_a_day_that_stops_at_noon_is_not_fresh(validate, rewrite):
    noon = pd.Timestamp(DAY, tz="UTC") + pd.Timedelta(hours=17)
    rewrite("flights", DAY, lambda f: f[f["scheduled_departure"] < noon])

    with pytest.raises(DataContractError, match=r"newest event 7\.\d h before midnight"):
        validate(min_rows_vs_history=0.0)


def test_personal_values_stay_out_of_the_rejected_rows(store, spec, rewrite):
    def broken(flights: pd.DataFrame) -> pd.DataFrame:
        return flights.assign(distance=flights["distance"].where(flights.index > 1, -1))

    rewrite("flights", DAY, broken)
    columns = spec.contract["flights"].columns
    personal = {"tailnum": columns["tailnum"].model_copy(update={"personal": True})}
    flights = spec.contract["flights"].model_copy(update={"columns": columns | personal})
    changed = spec.model_copy(update={"contract": spec.contract | {"flights": flights}})

    days = training_window(AS_OF, spec.window).days
    receipt = validate_window(store, changed, as_of=AS_OF, days=days)

    verdict = load_verdicts(store, receipt)["flights", DAY]
    rejected = from_parquet(store.get(verdict.quarantine.key))
    assert list(rejected["tailnum"]) == ["removed: personal data"] * 2
    assert list(rejected["distance"]) == [-1, -1]
    assert set(rejected["quarantine_reason"]) == {"distance: below 1"}


def test_a_partition_that_went_away_is_named(validate, store):
    (store.root / f"raw/weather/{DAY}.parquet").unlink()

    with pytest.raises(
        MissingPartitionError, match=rf"weather of {DAY} \(raw/weather/{DAY}.parquet\)"
    ):
        validate()


def test_a_flipped_bit_is_found(store, tmp_path):
    """Parquet without page checksums reads most single bit flips back as wrong values."""
    data = bytearray(to_parquet(pd.DataFrame({"a": range(1000)})))
    data[200] ^= 1

    with pytest.raises(OSError, match=r"(?i)crc|checksum"):
        from_parquet(bytes(data))
