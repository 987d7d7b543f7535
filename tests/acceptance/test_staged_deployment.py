"""
Promise 8. Deploy proves itself and backs out: a slow, a crashing, a failing, a wrong-signature and
a disagreeing model each end on the old version, a good one reaches everybody, and not one request
is lost meanwhile. Real server, real HTTP under load, real MLflow.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from sklearn.pipeline import Pipeline

from evergreen.data.preparation import load_examples
from evergreen.receipts.modeling import CandidateReceipt
from evergreen.release.targets import Waiting
from evergreen.spec import load_spec
from tests.conftest import ROOT, small, wait_until
from tests.support.night import History
from tests.support.serving import calling, live_rows, model_server, split

MODEL = "online"
DEPLOYMENT = {
    "mode": "canary",
    "shadow": {"minutes": 0.02},
    "canary": {"steps": [{"share": 0.2, "minutes": 0.02}, {"share": 0.6, "minutes": 0.02}]},
    # Two processors also run MLflow, the callers and two stacks; the slow challenger takes 1.5 s.
    "limits": {"max_error_rate": 0.05, "max_p95_ms": 1000, "max_disagreement": 0.05},
}
#: A step that does no harm to the rows of an example, and much to those that callers send.
FAULTY = '''

from sklearn.base import BaseEstimator, TransformerMixin


class Faulty(TransformerMixin, BaseEstimator):
    """Do what ``how`` says as soon as a live row comes: one with half a mile in its distance."""

    def __init__(self, how: str = "nothing") -> None:
        self.how = how

    def fit(self, rows, labels=None):
        self.feature_names_in_ = rows.columns.to_numpy(dtype=object)
        return self

    def transform(self, rows):
        import os
        import time

        if (rows["distance"].astype(float) % 1 == 0.5).any():
            if self.how == "sleep":
                time.sleep(1.5)
            if self.how == "die":
                os._exit(3)
            if self.how == "raise":
                raise ValueError("cannot do half miles")
        return rows
'''


@pytest.fixture(scope="module")
def include(tmp_path_factory) -> Path:
    """A copy of what the server reads, with one model more: the sample, small and in stages."""
    root = tmp_path_factory.mktemp("online") / "include"
    shutil.copytree(ROOT / "include", root, ignore=shutil.ignore_patterns("__pycache__"))
    folder = root / "models" / MODEL
    shutil.copytree(root / "models" / "flight_delay", folder)
    text = yaml.safe_load((folder / "model.yaml").read_text())
    text |= {
        "model": MODEL,
        "deployment": DEPLOYMENT,
        "trusted_types": [f"models.{MODEL}.pipeline.Faulty"],
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(text))
    with (folder / "pipeline.py").open("a") as code:
        code.write(FAULTY)
    return root


class Online(History):
    """The model's versions, each with an artifact of its own."""

    def fitted(
        self, *, how: str = "nothing", labels=lambda known: known, more=()
    ) -> CandidateReceipt:
        """Fit the sample's line behind a faulty step, and log it as training does."""
        from models.online.pipeline import Faulty, linear

        frame = load_examples(self.store, self.spec, receipt=self.kept, segments=("fit",))
        for name in more:
            frame[name] = frame["hour"]
        examples = self.spec.examples.model_copy(
            update={"numeric": (*self.spec.examples.numeric, *more)}
        )
        model = Pipeline([("faulty", Faulty(how=how)), ("line", linear(examples, seed=0))])
        inputs = frame[list(examples.features)]
        return self.log(model.fit(inputs, labels(frame[examples.label])), inputs)

    def way(self, version: str) -> list[str]:
        """Return the stages and the end of a version, in order."""
        entries = self.ledger().entries
        return [str(e.stage or e.step) for e in entries if e.version == version]


@pytest.fixture(scope="module")
def online(include, trained, tmp_path_factory):
    """The model with a champion, and its server."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(include))
        history = Online(trained, MODEL)
        wanted = load_spec(MODEL, models_dir=include / "models")
        history.spec = small(wanted)
        assert history.roll_out(history.version(0, logged=history.fitted()), within_s=120).moved
        cache = tmp_path_factory.mktemp("cache")
        with model_server(
            history.store.uri, history.client.tracking_uri, cache, include=include, models=MODEL
        ) as server:
            history.server = server
            yield history


@pytest.fixture(scope="module")
def rows(online):
    """What callers send: the flights of the test days, each half a mile longer."""
    found = live_rows(online)
    return found.assign(distance=found["distance"] + 0.5)


#: What is wrong with a challenger, the stages it lives through, and what is said of it.
CHALLENGERS = {
    "slow": ({"how": "sleep"}, ["load", "shadow"], r"p95 may be 1000 ms|may fail"),
    "crashing": ({"how": "die"}, ["load", "shadow"], "broke its process"),
    "failing": ({"how": "raise"}, ["load", "shadow"], "cannot do half miles"),
    "wrong signature": ({"more": ["gate_delay"]}, ["load"], "wants gate_delay, which the spec"),
    "disagreeing": (
        {"labels": lambda known: ~known.astype(bool)},
        ["load", "shadow"],
        "may differ by 0.05",
    ),
}


#: Each takes half a minute: one that fails and one whose predictions differ are in ``make test``.
IN_MAKE_TEST = ("failing", "disagreeing")


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(name, marks=[] if name in IN_MAKE_TEST else [pytest.mark.slow])
        for name in CHALLENGERS
    ],
)
def test_a_bad_challenger_ends_on_the_old_version_and_no_request_is_lost(online, rows, error):
    made, lived_through, message = CHALLENGERS[error]
    before = online.champion()
    registration = online.version(1 + [*CHALLENGERS].index(error), logged=online.fitted(**made))

    with calling(online.server, MODEL, rows) as callers:
        receipt = online.roll_out(registration, within_s=120)
        callers.wait_for_more(10)

    assert (receipt.moved, receipt.is_backed_out) == (False, True)
    assert re.search(message, receipt.reason), receipt.reason
    assert online.way(registration.version) == [*lived_through, "backed_out"]
    assert online.champion() == before == online.server.about(MODEL)["champion"]
    assert_all_answered(callers)
    assert set(callers.versions) == {(before,)}  # nobody ever saw its answers
    # Asked again, it stays as it is: nothing is tried twice on people.
    assert online.roll_out(registration, within_s=120).reason.startswith("it backed out before")


def test_a_good_challenger_reaches_everybody_and_no_request_is_lost(online, rows):
    before = online.champion()
    registration = online.version(8, logged=online.fitted())

    with calling(online.server, MODEL, rows) as callers:
        receipt = online.roll_out(registration, within_s=120)
        assert receipt.moved, receipt.reason
        wait_until(
            lambda: online.server.about(MODEL)["champion"] == registration.version,
            within_s=60,
            what="the new champion on the server",
        )
        callers.wait_for_more(10)

    stages = ["load", "shadow", "canary 20%", "canary 60%", "intent", "outcome"]
    assert online.way(registration.version) == stages
    assert "disagreement 0.000" in online.ledger().entries[-1].reason
    assert_all_answered(callers)
    seen = Counter()
    for versions, count in callers.versions.items():
        for version in versions:
            seen[version] += count
    assert seen[before] > 0
    assert seen[registration.version] > 0


def test_a_challenger_that_turns_bad_under_canary_backs_out(online, rows):
    """It was sound in shadow; then rows come that it cannot take, and nobody notices."""
    before = online.champion()
    registration = online.version(9, logged=online.fitted(how="raise"))
    harmless = rows.assign(distance=rows["distance"] - 0.5)
    with calling(online.server, MODEL, harmless) as callers:

        def is_under_canary() -> bool:
            assert isinstance(online.deploy(registration, now=datetime.now(UTC)), Waiting)
            return "canary 20%" in online.way(registration.version)

        wait_until(is_under_canary, within_s=120, what="the canary stage")
    assert_all_answered(callers)

    with calling(online.server, MODEL, rows) as callers:
        receipt = online.roll_out(registration, within_s=120)
        callers.wait_for_more(60)

    assert receipt.is_backed_out
    assert receipt.reason.startswith("it backed out: canary")
    assert_all_answered(callers)
    assert online.champion() == before == online.server.about(MODEL)["champion"]


def test_the_same_entity_is_answered_by_the_same_version_and_a_larger_step_only_adds(online, rows):
    before = online.champion()
    registration = online.version(10, logged=online.fitted())
    seen: dict[str, dict[str, set]] = {}
    http = online.server.http

    def stage_is_on() -> bool:
        return online.server.about(MODEL)["stage"] == online.way(registration.version)[-1]

    def ask_in_each_stage() -> bool:
        if not isinstance(online.deploy(registration, now=datetime.now(UTC)), Waiting):
            return True
        stage = online.way(registration.version)[-1]
        if stage not in seen and stage.startswith("canary"):
            # Nobody asks for the next stage meanwhile, so this one stays on.
            wait_until(stage_is_on, within_s=90, what=f"{stage} on the model server")
            seen[stage] = {}
            for n in range(60):
                one = split(rows.iloc[n : n + 1])
                said = http.post(f"/models/{MODEL}/invocations", json=one).json()
                seen[stage].setdefault(str(n), set()).update(said["model_versions"])
        return False

    with calling(online.server, MODEL, rows) as callers:
        wait_until(ask_in_each_stage, within_s=300, what="the last stage")
    assert_all_answered(callers)

    new = {
        stage: {n for n, by in found.items() if by == {registration.version}}
        for stage, found in seen.items()
    }
    assert all(len(by) == 1 for found in seen.values() for by in found.values())
    assert {before} != set.union(*seen["canary 20%"].values())
    assert new["canary 20%"] < new["canary 60%"]


def assert_all_answered(callers) -> None:
    """Sent is answered, each with 200: nothing lost, nothing refused, nothing failed."""
    assert callers.errors == []
    assert callers.statuses == {200: callers.sent}
    assert callers.sent > 50
