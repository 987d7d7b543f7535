"""
The short form of make bench-decisions for drift and quality, and how its page is made.

Red when a rate leaves its interval. Peers are not installed here.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest

from evergreen.spec import load_spec
from tests.bench import census_decisions, decisions, drift_decisions, peer_decisions
from tests.bench.peers import environments, plan_io
from tests.bench.peers.environments import PeerMissingError, peers
from tests.bench.rates import Mean, Rate, as_table
from tests.support.drift_worlds import (
    SUDDEN,
    SlowFault,
    correlated_days,
    faultless_days,
    with_fault,
    with_sudden_faults,
)

ONE = Rate("alarm", "days", "Evergreen", 20, 1, 2.0)


@pytest.mark.slow
def test_every_sudden_fault_is_named_on_its_day():
    rates = list(drift_decisions.sudden_faults(worlds=1, every=4))

    assert len(rates) == len(SUDDEN)
    assert {one.decision: one.rate for one in rates if one.rate < 0.8} == {}


@pytest.mark.slow
def test_a_shift_that_stays_is_found_soon_and_no_drift_is_not():
    """Three worlds of the measurement of slow drift."""
    none, shift = drift_decisions.slow_drifts(worlds=3, faults=(SlowFault(0, 1), SlowFault(1, 1)))

    assert none.events == 0
    assert shift.events == 3
    assert shift.delay <= 10


def test_a_faulty_day_differs_from_its_day_in_the_faulty_columns_only():
    day = next(iter(faultless_days(0, days=1).values()))

    moved = with_sudden_faults(day, 0)

    changed = {c for c in day if not day[c].equals(moved[c])}
    assert changed == {column for column, _ in SUDDEN.values()}
    assert moved["always_known"].isna().all()
    assert moved["flag"].mean() == pytest.approx(0.3, abs=0.08)


def test_a_slow_fault_grows_to_its_size():
    days = correlated_days(0, days=40, rows=50)

    moved = with_fault(days, SlowFault(2, 10), column="x0", start=20)

    shifts = [float((moved[d]["x0"] - days[d]["x0"]).mean()) for d in days]
    scale = shifts[-1] / 2
    assert shifts[:20] == [0] * 20
    assert shifts[24] == pytest.approx(scale)
    assert scale == pytest.approx(1.0, abs=0.1)


def simulated(rng, rows: int, *, chunk: int) -> pd.DataFrame:
    """Scores that are true chances, as the census set has them."""
    score = 1 / (1 + np.exp(-rng.normal(0, 1.5, rows)))
    labels = (rng.random(rows) < score).astype(int)
    frame = pd.DataFrame({"chunk": chunk, "score": score, "flipped_0": labels})
    is_flipped = rng.random(rows) < 0.1
    return frame.assign(flipped_10=np.where(is_flipped, 1 - labels, labels))


@pytest.mark.slow
def test_estimate_and_decline_hold_in_the_short_form():
    rng, spec = np.random.default_rng(0), load_spec("flight_delay")
    reference = simulated(rng, 10_000, chunk=-1)
    chunks = [simulated(rng, 5_000, chunk=n) for n in range(8)]

    estimates = census_decisions.estimates(spec, reference, chunks)
    same = census_decisions.declines(spec, reference, chunks, "flipped_0")
    flipped = census_decisions.declines(spec, reference, chunks, "flipped_10")

    actual = [census_decisions.roc_auc_score(c["flipped_0"], c["score"]) for c in chunks]
    assert np.abs(np.subtract(estimates, actual)).mean() < 0.015
    assert sum(census_decisions.is_red(one, spec) for one in same) == 0
    assert sum(census_decisions.is_red(one, spec) for one in flipped) >= 6


def test_every_package_of_a_peer_is_pinned_and_its_script_is_there():
    assert set(peers()) == {"evidently", "nannyml", "alibi-detect", "deepchecks"}
    for of in peers().values():
        assert all(package.count("==") == 1 for package in of["packages"])
        assert (environments.HERE / of["script"]).exists()


def test_a_peer_that_cannot_be_installed_leaves_the_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(environments, "KEPT", tmp_path)
    wanted = {"script": "judge_with_evidently.py", "packages": ["no-such-peer==1", "--no-index"]}
    monkeypatch.setattr(environments, "peers", lambda: {"evidently": wanted})

    with pytest.raises(PeerMissingError, match="no-such-peer"):
        environments.python_of("evidently")

    assert not (tmp_path / "evidently").exists()


def test_a_peer_that_takes_too_long_leaves_the_reason(monkeypatch):
    monkeypatch.setattr(environments, "PATIENCE_S", 0.1)

    with pytest.raises(PeerMissingError, match=r"sleep 30: did not end within 0\.1 s"):
        environments._run(["sleep", "30"])


def test_a_peer_that_is_missing_is_a_line_without_numbers(monkeypatch):
    def missing(*_):
        raise PeerMissingError("uv pip: no such package")

    monkeypatch.setattr(peer_decisions, "run_peer", missing)
    monkeypatch.setattr(peer_decisions, "ordinary_cases", lambda *_, **__: {})

    rates = list(peer_decisions.rows(worlds=1, most=1))

    assert [one.n for one in rates] == [0] * len(peers())
    assert "not measured: uv pip: no such package" in as_table(rates)


def test_a_plan_gives_a_peer_sixty_days_before_the_judged_day(monkeypatch, tmp_path):
    days, seen = correlated_days(0, days=70, rows=3), []
    plan = peer_decisions.Plan(tmp_path)
    file = plan.keep("days.parquet", days)
    last = max(days)
    plan.add("one", files=(file, file), day=last, before=last)
    (tmp_path / "plan.json").write_text(json.dumps(plan.cases))
    monkeypatch.setattr(sys, "argv", ["script", str(tmp_path)])

    def judge(then, now):
        seen.append((sorted(then["day"].unique()), sorted(now["day"].unique())))
        return {"x1"}

    plan_io.main(judge, keep_day=True)

    ((reference, current),) = seen
    assert (reference, current) == ([str(d) for d in list(days)[9:69]], [str(last)])
    assert json.loads((tmp_path / "verdicts.json").read_text())["named"] == {"one": ["x1"]}


def test_a_column_without_values_that_a_peer_refuses_is_counted(monkeypatch, tmp_path):
    days = {d: r.assign(x0=np.nan) for d, r in correlated_days(0, days=70, rows=3).items()}
    plan = peer_decisions.Plan(tmp_path)
    file = plan.keep("days.parquet", days)
    plan.add("one", files=(file, file), day=max(days), before=max(days))
    (tmp_path / "plan.json").write_text(json.dumps(plan.cases))
    monkeypatch.setattr(sys, "argv", ["script", str(tmp_path)])

    def judge(then, now):
        if now["x0"].isna().all():
            raise ValueError("An empty column 'x0' was provided")
        return set(now)

    with pytest.raises(KeyError):  # without the column it fails for another reason: no verdict
        plan_io.main(judge)
    plan_io.main(lambda then, now: judge(then, now) if "x0" in now else set(now))

    found = json.loads((tmp_path / "verdicts.json").read_text())
    assert found["named"] == {"one": ["x1", "x2", "x3"]}
    assert found["lost"] == {"x0": 1}


def test_the_page_has_every_part_that_is_kept_and_names_the_others(monkeypatch, tmp_path):
    monkeypatch.setattr(decisions, "KEPT", tmp_path)
    monkeypatch.setattr(decisions, "PAGE", tmp_path / "decisions.md")
    late = Rate("drift", "days", "Evergreen", 4, 1, 1.0, delay=float("inf"))
    parts = {
        "gates": (
            "## Gates\n\nOf gates.\n",
            lambda options: iter([ONE, Mean("loss", "d", "m", 3, 0.5, 0.1)]),
        ),
        "slow": ("## Slow\n\nOf drift.\n", lambda options: iter([late])),
        "peers": ("## Peers\n\nOf peers.\n", None),
    }
    monkeypatch.setattr(decisions, "PARTS", parts)
    for part in ("gates", "slow"):
        decisions.measure(part, decisions.Options(tries=1, worlds=1))

    decisions.write_page()

    text = (tmp_path / "decisions.md").read_text()
    assert "| alarm | days | Evergreen | 20 | 1 | 5.0% | 0.9% to 23.6% | 2.0 |" in text
    assert "| loss | d | m | 3 | +0.5000 | 0.1000 | 0.0 |" in text
    assert "| drift | days | Evergreen | 4 | 1 | 25.0% | 4.6% to 69.9% | not found | 1.0 |" in text
    assert "## Peers\n\nOf peers.\n\nNot measured." in text

    (tmp_path / "gates.json").unlink()  # it was measured on another machine
    decisions.write_page()

    assert (tmp_path / "decisions.md").read_text() == text
