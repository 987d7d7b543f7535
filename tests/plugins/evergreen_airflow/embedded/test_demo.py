from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from evergreen.errors import StackError
from evergreen_airflow.embedded import demo
from models.flight_delay import feed

FIRST_NIGHT = datetime(2013, 3, 18, tzinfo=UTC)


def test_a_night_before_the_data_is_refused_with_the_first_that_has_it():
    with pytest.raises(StackError, match="Choose AS_OF=2013-03-18T00:00:00Z or later"):
        demo.require_available_data(FIRST_NIGHT - timedelta(days=1))

    demo.require_available_data(FIRST_NIGHT)


def test_the_demo_knows_when_the_data_begins():
    assert demo.DATA_BEGINS == feed.FIRST_DAY
