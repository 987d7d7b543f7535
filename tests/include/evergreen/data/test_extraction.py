"""Days of a real PostgreSQL become partitions: young ones again, equal rows untouched."""

from __future__ import annotations

import shutil
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text
from tests.conftest import ROOT
from tests.support.models import warehouse
from tests.support.postgres import running_postgres

from evergreen.data.extraction import extract_days, require_rows
from evergreen.data.parquet import from_parquet
from evergreen.data.sources.sql import SqlSource
from evergreen.data.window import DayRange
from evergreen.errors import DataContractError, MissingPartitionError
from evergreen.spec import load_spec
from evergreen.storage.folder import FolderStore

FIRST, LAST = date(2013, 2, 1), date(2013, 2, 10)
DAYS = DayRange(first=FIRST, end=LAST + timedelta(days=1))
AS_OF = datetime(2013, 2, 11, 6, tzinfo=UTC)


@pytest.fixture(scope="module")
def engine(network):
    with running_postgres() as url:
        found = create_engine(url)
        yield found
        found.dispose()


@pytest.fixture
def loaded(engine):
    warehouse.load(engine, warehouse.flights(FIRST, LAST))
    return engine


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(ROOT / "tests" / "support" / "models" / "air_time", folder / "air_time")
    return load_spec("air_time", models_dir=folder)


@pytest.fixture
def store(tmp_path) -> FolderStore:
    return FolderStore(tmp_path / "store")


def extract(store, spec, engine, *, as_of=AS_OF, days=DAYS):
    return extract_days(store, spec, SqlSource(spec, engine), days=days, as_of=as_of)


def test_each_day_has_its_rows_and_no_other(store, spec, loaded):
    found = extract(store, spec, loaded)

    assert len(found.landed) == found.days_read == 10
    rows = from_parquet(store.get("raw/air_time/flights/2013-02-05.parquet"))
    assert set(rows["scheduled_departure"].dt.date) == {date(2013, 2, 5)}
    assert len(rows) == len(warehouse.flights(date(2013, 2, 5), date(2013, 2, 5)))
    assert str(rows["scheduled_departure"].dtype) == "datetime64[us, UTC]"
    assert str(rows["distance"].dtype) == "float64"


def test_only_young_days_are_read_again_and_equal_rows_are_not_written(store, spec, loaded):
    extract(store, spec, loaded)
    before = {key: head.fingerprint for key, head in store.heads("raw/")}
    shuffled = warehouse.flights(FIRST, LAST).sample(frac=1, random_state=1)
    warehouse.load(loaded, shuffled)  # the same rows in another order

    again = extract(store, spec, loaded)

    assert again.days_read == 3
    assert again.landed == {}
    assert {key: head.fingerprint for key, head in store.heads("raw/")} == before


def test_a_label_that_came_is_landed(store, spec, loaded):
    extract(store, spec, loaded)
    with loaded.begin() as connection:
        connection.execute(
            text("update flights set air_time = 99 where scheduled_departure::date = :day"),
            {"day": LAST},
        )

    assert list(extract(store, spec, loaded).landed) == [f"raw/air_time/flights/{LAST}.parquet"]


def test_a_day_without_rows_is_named_and_refused_after_the_wait(store, spec, loaded):
    days = DayRange(first=LAST, end=LAST + timedelta(days=2))

    found = extract(store, spec, loaded, days=days, as_of=AS_OF + timedelta(days=1))

    assert list(store.list("raw/air_time/flights/2013-02-11")) == []
    with pytest.raises(MissingPartitionError, match=r"(?s)2013-02-11.*Load the day"):
        require_rows(found, waited_hours=6)


def with_query(spec, query: str):
    table = spec.source.sql["flights"].model_copy(update={"query": query})
    return spec.model_copy(
        update={"source": spec.source.model_copy(update={"sql": {"flights": table}})}
    )


def test_a_changed_query_reads_the_landed_days_again_and_so_does_one_taken_back(
    store, spec, loaded
):
    first = spec.source.sql["flights"].query
    other = with_query(spec, f"select * from ({first}) as all_rows where distance > 500")
    before = extract(store, spec, loaded)
    rows = {key: store.get(key) for key in store.list("raw/")}

    changed, again = extract(store, other, loaded), extract(store, other, loaded)
    assert (len(before.landed), len(changed.landed), changed.days_read) == (10, 10, 10)
    assert again.days_read == 3

    back = extract(store, spec, loaded)
    assert len(back.landed) == back.days_read == 10
    assert {key: store.get(key) for key in store.list("raw/")} == rows


def test_days_of_an_older_release_are_read_once_and_not_written(store, spec, loaded):
    extract(store, spec, loaded)
    for key in list(store.list("extractions/")):
        store.delete(key)  # an older release kept no record

    found, later = extract(store, spec, loaded), extract(store, spec, loaded)

    assert (found.days_read, found.landed) == (10, {})
    assert later.days_read == 3


def test_other_days_are_read_without_reading_any_again(store, spec, loaded):
    extract(store, spec, loaded)
    table = spec.source.sql["flights"].model_copy(update={"refresh_days": 1})
    fewer = spec.model_copy(
        update={"source": spec.source.model_copy(update={"sql": {"flights": table}})}
    )

    assert extract(store, fewer, loaded).days_read == 1


def test_a_day_whose_landing_was_interrupted_is_read_again(store, spec, loaded, monkeypatch):
    first = spec.source.sql["flights"].query
    other = with_query(spec, f"select * from ({first}) as all_rows where distance > 500")
    extract(store, spec, loaded)
    put, written = store.put, []

    def dies(key: str, data: bytes):
        if len(written) == 4:
            raise OSError("the machine stopped")
        written.append(key)
        return put(key, data)

    with monkeypatch.context() as patched:
        patched.setattr(store, "put", dies)
        with pytest.raises(OSError, match="the machine stopped"):
            extract(store, other, loaded)

    extract(store, other, loaded)
    days = [from_parquet(store.get(key)) for key in store.list("raw/air_time/flights/")]
    assert all((day["distance"] > 500).all() for day in days)
    assert extract(store, other, loaded).days_read == 3


def test_one_listing_per_table_tells_which_days_are_there(store, spec, loaded, monkeypatch):
    extract(store, spec, loaded)
    asked = []
    monkeypatch.setattr(
        store, "list", lambda prefix, real=store.list: asked.append(prefix) or real(prefix)
    )

    extract(store, spec, loaded)

    assert asked == ["raw/air_time/flights/", "extractions/air_time/flights/"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "select nothing_such from flights where scheduled_departure >= :start and :end > now()",
            "nothing_such",
        ),
        (
            "select origin, dest as origin from flights where scheduled_departure >= :start "
            "and scheduled_departure < :end",
            "names origin more than once",
        ),
    ],
)
def test_a_query_that_cannot_be_used_says_so(store, spec, loaded, query, message):
    with pytest.raises(DataContractError, match=message):
        extract(store, with_query(spec, query), loaded)
    assert list(store.list("raw/")) == []
