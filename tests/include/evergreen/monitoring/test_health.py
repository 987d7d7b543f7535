"""One decision a day: the gravest colour, every reason, and no silence taken for health."""

from __future__ import annotations

import json
from datetime import date, timedelta

import pytest
from tests.conftest import AS_OF
from tests.support.night import NOW

from evergreen.data.window import scoring_day
from evergreen.monitoring.health import Report, assess_health
from evergreen.receipts.common import ObjectRef
from evergreen.receipts.monitoring import (
    DayAlarm,
    DetectionReceipt,
    Finding,
    KeptReport,
    QualityReceipt,
    QualityWindow,
    ServiceReceipt,
    SkewedColumn,
    SkewReceipt,
    SlowFinding,
    StalenessReceipt,
    VersionQuality,
)
from evergreen.spec.monitoring import Service
from evergreen.workspace import Workspace

NOTHING = ObjectRef(key="reports/none", sha256="0" * 64, size=0)


@pytest.fixture
def history(new_history):
    found = new_history()
    found.deploy(found.version(0))
    return found


class Day:
    """What the monitors of one day say; quiet unless a test says otherwise."""

    def __init__(self, history, day: int = 1) -> None:
        self.history, self.as_of = history, AS_OF + timedelta(days=day)
        self.day = scoring_day(self.as_of)
        common = {
            "model": history.spec.model,
            "as_of": self.as_of,
            "day": self.day,
            "colour": "green",
            "reasons": (),
        }
        kept = KeptReport(html=NOTHING, json_report=NOTHING, snapshot=NOTHING, columns={})
        self.results = {
            "drift": DetectionReceipt(
                **common,
                version="1",
                rows=900,
                reference_days=(self.day,),
                reference_rows=3600,
                history_days=60,
                alarms=(DayAlarm(day=self.day, is_known=True, findings=()),),
                columns=(Finding(name="temp", distance=9, usual=8, limit=40),),
                slow=None,
                report=kept,
            ),
            "quality": QualityReceipt(
                **common,
                metric="roc_auc",
                remeasured=1,
                slices=(),
                late=(),
                unmatched=0,
                windows=(
                    QualityWindow(
                        first=self.day,
                        last=self.day,
                        rows=900,
                        labelled=880,
                        metrics={"roc_auc": 0.68},
                        estimated={"roc_auc": 0.69},
                    ),
                ),
                versions=(
                    VersionQuality(version="1", days=1, rows=880, offline=0.7, realised=0.68),
                ),
                trivial=0.5,
                estimate_error=0.01,
                calibration_error=0.03,
                table=NOTHING,
            ),
            "staleness": StalenessReceipt(
                **common,
                version="1",
                champion_days=1,
                champion_limit=14,
                data_days=6,
                data_limit=19,
                challenged_days=1,
                limit_from="no backtest yet",
            ),
        }

    def say(self, monitor: str, **changes) -> Day:
        self.results[monitor] = self.results[monitor].model_copy(update=changes)
        return self

    def silence(self, monitor: str) -> Day:
        self.results[monitor] = None
        return self

    def assess(self, *, is_replay: bool = False, **spec):
        changed = self.history.spec.model_copy(update=spec)
        return assess_health(
            Workspace(self.history.store, self.history.client, changed),
            as_of=self.as_of,
            report=Report(results=self.results),
            is_replay=is_replay,
            now=NOW,
        )

    def page(self, name: str = "health.html") -> str:
        key = f"monitoring/{self.history.spec.model}/{self.day}/{name}"
        return self.history.store.get(key).decode()


def test_a_quiet_day_is_green_and_asks_for_nothing(history):
    day = Day(history)

    found = day.assess()

    assert (found.colour, found.reasons, found.retrain) == ("green", (), "not needed")
    assert "<span>GREEN</span>" in day.page()
    assert "Not served online" in day.page()


@pytest.mark.parametrize(
    ("colours", "all_day"),
    [
        (("green", "amber", "green"), "amber"),
        (("unknown", "amber", "green"), "unknown"),
        (("unknown", "amber", "red"), "red"),
    ],
)
def test_the_gravest_colour_is_that_of_the_day(history, colours, all_day):
    day = Day(history)
    for monitor, colour in zip(("drift", "quality", "staleness"), colours, strict=True):
        day.say(monitor, colour=colour)

    assert day.assess().colour == all_day


@pytest.mark.parametrize("monitor", ["drift", "quality", "staleness"])
def test_a_monitor_without_a_result_is_unknown_and_starts_nothing(history, monitor):
    day = Day(history).silence(monitor)
    for other in {"drift", "quality", "staleness"} - {monitor}:
        day.say(other, colour="red", requests_retrain=True, reasons=(f"{other}: bad",))

    found = day.assess()

    assert found.missing == (monitor,)
    assert f"{monitor}: gave no result" in found.reasons
    assert found.request is None
    assert "no result" in day.page()


def test_a_server_must_be_heard_where_the_spec_has_one(history):
    day = Day(history)

    assert day.assess(service=Service()).missing == ("service", "skew")

    day.results |= {
        "service": ServiceReceipt(
            model=history.spec.model,
            as_of=day.as_of,
            day=day.day,
            colour="green",
            reasons=(),
            requests=1000,
            usual_requests=None,
            p50_ms=1,
            p95_ms=2,
            p99_ms=3,
            error_rate=0,
            by_version={"1": 1000},
        ),
        "skew": SkewReceipt(
            model=history.spec.model,
            as_of=day.as_of,
            day=day.day,
            colour="green",
            reasons=(),
            served=60,
            compared=55,
            columns=(SkewedColumn(name="temp", rows=55, share=0.5, served="1.0", prepared="2.0"),),
        ),
    }

    assert day.assess(service=Service()).colour == "green"
    assert "60 rows that callers sent" in day.page()
    assert day.assess(service=Service(max_skew=None)).colour == "green"


def test_red_asks_for_a_retrain_with_its_reasons(history):
    day = Day(history).say(
        "drift", colour="red", requests_retrain=True, reasons=("drift: temp is far",)
    )

    found = day.assess()

    assert found.request.reason == "drift: temp is far"
    assert found.request.as_of == day.as_of
    assert found.retrain == "requested"


def test_a_stuck_brake_makes_the_day_red(history):
    Day(history, 1).say(
        "drift", colour="red", requests_retrain=True, reasons=("drift: a",)
    ).assess()
    later = Day(history, 20).say(
        "drift", colour="red", requests_retrain=True, reasons=("drift: a",)
    )

    found = later.assess()

    assert found.colour == "red"
    assert any(reason.startswith("retrain: held") for reason in found.reasons)


def test_a_replay_says_so_and_tells_nobody(history):
    day = Day(history).say("drift", colour="red", requests_retrain=True, reasons=("drift: a",))

    found = day.assess(is_replay=True)

    assert found.request is None
    assert found.retrain == "would have been requested"
    assert "replay of a past day" in day.page()


def test_slow_drift_that_could_not_be_measured_is_not_shown_as_none(history):
    day = Day(history)
    day.assess()

    assert "Not measured: three weeks are compared" in day.page()


def test_slow_drift_is_shown_with_the_day_it_was_found_on(history):
    shift = SlowFinding(
        name="humid", baseline=0.5, recent=0.62, by_chance=0.08, share=1.5, since=date(2013, 2, 1)
    )
    day = Day(history).say("drift", colour="amber", reasons=("slow drift: humid",), slow=(shift,))
    day.assess()

    page = day.page()
    assert '<tr class="beyond"><td>humid' in page
    assert "2013-02-01" in page
    assert "Not measured" not in page


def test_a_distance_that_cannot_alarm_says_so(history):
    blind = Finding(name="flag", distance=0.2, usual=0.1, limit=3, can_alarm=False)
    day = Day(history).say("drift", columns=(blind,))
    day.assess()

    assert "cannot alarm (limit 3)" in day.page()
    assert "They do not count as healthy" in day.page()


def test_what_was_the_matter_yesterday_is_not_new(history):
    Day(history, 1).say("drift", colour="amber", reasons=("drift: temp",)).assess()
    today = Day(history, 2).say("drift", colour="amber", reasons=("drift: dest",))
    today.say("quality", colour="amber", reasons=("labels: late",))

    assert today.assess().new_reasons == ("labels: late",)


def test_assessing_again_gives_the_same_page(history):
    Day(history, 1).say("drift", colour="red", reasons=("drift: a",)).assess()
    day = Day(history, 2)
    first = day.assess(), day.page()

    assert (day.assess(), day.page()) == first
    assert day.page().count('<i class="red"') == 1
    assert "past" not in json.loads(day.page("health.json"))


def test_names_of_the_data_stay_text(history):
    """A column's name and a category come from the data; the page must not run them."""
    evil = "</td><script>alert(1)</script>"
    far = Finding(name=evil, distance=2, usual=0, limit=1)
    day = Day(history).say("drift", colour="amber", reasons=(evil,), columns=(far,))

    day.assess()

    assert "<script" not in day.page()
    assert "&lt;script&gt;" in day.page()
