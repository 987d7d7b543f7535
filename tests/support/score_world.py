"""Everything that the ML Test Score of one version rests on, to be changed piece by piece."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta

from evergreen.receipts.ci import CiModule, CiReceipt
from evergreen.receipts.common import Check
from evergreen.receipts.comparisons import (
    ComputeMeasure,
    DependencyComparison,
    VersionComparisons,
)
from evergreen.receipts.modeling import (
    EvaluationDetails,
    EvaluationReceipt,
    ExplanationCheck,
    GroupGain,
)
from evergreen.receipts.monitoring import SkewReceipt
from evergreen.receipts.operations import ReproductionReceipt
from evergreen.receipts.release import ScoredTest, VersionIdentity
from evergreen.registry import ledger as ledger_store
from evergreen.reporting.ml_test_score import score_readiness
from evergreen.reporting.readiness import Readiness
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import document_bytes, put_document, put_once
from tests.support.night import NOW

SHA = "a" * 40
TESTS = {"unit": "t.unit", "inputs": "t.inputs", "integration": "t.whole", "new_input": "t.new"}


@dataclass
class World:
    """Everything that the score of one version rests on; a case changes parts of it."""

    store: ObjectStore
    spec: ModelSpec
    identity: VersionIdentity
    evaluation: EvaluationReceipt
    details: EvaluationDetails
    comparisons: VersionComparisons = field(default_factory=VersionComparisons)

    def change(self, part: str, **values: object) -> None:
        setattr(self, part, getattr(self, part).model_copy(update=values))

    def score(self, name: str) -> ScoredTest:
        found = score_readiness(Readiness(**vars(self)))
        (test,) = (one for part in found.sections for one in part.tests if one.name == name)
        return test

    @property
    def yesterday(self):
        return self.identity.as_of.date() - timedelta(days=1)

    @property
    def before(self):
        return self.yesterday - timedelta(days=1)

    def ledger_entry(self, **values: object) -> None:
        entry = ledger_store.LedgerEntry(
            **{
                "step": "outcome",
                "action": "promote",
                "model": self.spec.model,
                "version": "1",
                "previous": None,
                "as_of": self.identity.as_of,
                "serves_from": self.identity.as_of,
                "artifact_sha256": "0",
                "actor": "test",
                "reason": "test",
                "recorded_at": NOW,
            }
            | values
        )
        ledger = ledger_store.read_ledger(self.store, self.spec.model)
        ledger_store.append(self.store, ledger, entry)

    def ci(
        self, *, sha: str = SHA, failed: int = 0, seconds: float = 5.0, at=NOW, **values
    ) -> None:
        """Keep a receipt with one passing test of each kind, and perhaps failing ones of others."""
        names = values.pop("names", tuple(TESTS.values()))
        passed = values.pop("passed", 1)
        modules = [
            CiModule(name=f"{n}.test_x", passed=passed, failed=0, skipped=0, seconds=seconds)
            for n in names
        ]
        modules.append(CiModule(name="z", passed=1, failed=failed, skipped=0, seconds=1))
        receipt = CiReceipt(
            commit=sha,
            author="anna",
            reviewers=values.pop("reviewers", ("ben",)),
            recorded_at=at,
            modules=tuple(modules),
        )
        put_once(self.store, layout.ci_folder(sha), document_bytes(receipt), suffix=".json")

    def monitored(self, day=None, *, versions=(), **colours: str) -> None:
        results = {
            name: {"colour": colour, "reasons": [] if colour == "green" else ["it is not"]}
            for name, colour in colours.items()
        }
        if versions:
            results["quality"] = results.get("quality", {"colour": "green", "reasons": []}) | {
                "versions": [
                    {"version": str(n), "days": 9, "rows": 900, "offline": a, "realised": b}
                    for n, (a, b) in enumerate(versions, start=1)
                ]
            }
        day = day or self.yesterday
        page = {
            "format_version": 2,
            "day": str(day),
            "colour": "red",
            "reasons": [],
            "report": {"results": results | {"drift": None}},
        }
        self.store.put(layout.health_record(self.spec.model, day), json.dumps(page).encode())

    def skew(self, colour: str, day=None) -> None:
        day = day or self.yesterday
        receipt = SkewReceipt(
            model=self.spec.model,
            as_of=self.identity.as_of,
            day=day,
            colour=colour,
            reasons=() if colour == "green" else ("skew: temp differs",),
            served=40,
            compared=40,
            columns=(),
        )
        put_document(self.store, layout.skew_record(self.spec.model, day), receipt)

    def declare(self, *, personal: bool | None = False) -> None:
        first = next(iter(self.spec.inputs))
        groups = dict(self.spec.inputs)
        groups[first] = groups[first].model_copy(update={"personal": personal})
        self.change("spec", inputs=groups)

    def bare(self, table: str = "weather") -> None:
        rules = dict(self.spec.contract)
        del rules[table]
        self.change("spec", contract=rules)

    def groups(
        self, *, cost: float = 0.1, min_gain: float | None = 0.01, leave_out: int = 0
    ) -> None:
        columns = self.spec.examples.features[leave_out:]
        gain = GroupGain(name="all", cost=cost, error=0.01, columns=columns, min_gain=min_gain)
        self.change("details", groups=(gain,))

    def slices(self, *statuses: str) -> None:
        found = [
            Check(name=f"slice origin={n}", status=status, measured="", required="")
            for n, status in enumerate(statuses)
        ]
        self.change("evaluation", gates=tuple(found))

    def line(self, value: float | None) -> None:
        ours = self.evaluation.metrics["challenger"]
        other = {} if value is None else {"linear baseline": dict.fromkeys(ours, value)}
        self.change("evaluation", metrics={"challenger": ours} | other)

    def challenger(self, **values: object) -> None:
        changed = self.evaluation.challenger.model_copy(update=values)
        self.change("evaluation", challenger=changed)

    def explained(self, *, leave_out: int = 0, is_same: bool = True) -> None:
        found = ExplanationCheck(
            inputs=len(self.spec.examples.features) - leave_out,
            reference_rows=100,
            is_same_alone=is_same,
        )
        self.change("details", explanation=found)

    def reproduced(self, *, code: str | None = None) -> None:
        other = self.identity.model_copy(
            update={"key": "other", "code_digest": code or self.identity.code_digest}
        )
        put_document(self.store, layout.identity_record(self.spec.model, "other"), other)
        receipt = ReproductionReceipt(
            model=self.spec.model, as_of=NOW, version="1", is_identical=True, checks=()
        )
        put_document(self.store, layout.reproduction_record(self.spec.model, "other"), receipt)

    def times(self, *usual: float | None) -> None:
        measures = tuple(
            ComputeMeasure(name=f"t{n}", now=1.0, usual=of, versions=5, limit=2.0)
            for n, of in enumerate(usual)
        )
        self.change("comparisons", compute=measures)

    def libraries(self) -> None:
        found = DependencyComparison(champion_version="1", compared=200, changes=())
        self.change("comparisons", dependencies=found)

    def predicted(self, day=None, *, model: str | None = None) -> None:
        key = layout.predictions_manifest(model or self.spec.model, day or self.yesterday)
        self.store.put(key, b"{}")

    def backtest(self, *, model: str | None = None) -> None:
        self.store.put(layout.backtest_folder(model or self.spec.model, "span") + "/t.csv", b"x")
