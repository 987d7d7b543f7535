"""The evidence pack: whole, self-contained, harmless, and without a row of data."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from tests.conftest import AS_OF
from tests.support.night import History

from evergreen.receipts.common import Check, StageReceipt
from evergreen.receipts.comparisons import (
    ComputeMeasure,
    DependencyChange,
    DependencyComparison,
    VersionComparisons,
)
from evergreen.receipts.release import TestScore
from evergreen.registry import mlflow_registry
from evergreen.reporting.evidence import EvidencePack, render_evidence
from evergreen.storage.layout import EVIDENCE_DATA, EVIDENCE_PAGE
from evergreen.storage.records import load_document

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{ 7 * 7 }}'


class Tags(HTMLParser):
    """What a browser would see: elements, their attributes, and the text between."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def history(new_history) -> History:
    return new_history()


@pytest.fixture
def pack(history) -> EvidencePack:
    history.deploy(history.version(1))
    receipt = history.version(2, passed=False)
    folder = receipt.evidence.removesuffix(EVIDENCE_PAGE)
    return load_document(history.store, folder + EVIDENCE_DATA, EvidencePack)


def headings(page: str) -> list[str]:
    return re.findall(r"<h2>([^<]*)</h2>", page)


def test_the_page_says_first_what_the_verdict_is_and_then_why(pack):
    page = render_evidence(pack)

    assert page.index("<span>HOLD</span>") < page.index("<h2>Gates</h2>")
    assert headings(page) == [
        "Gates",
        f"Metrics on the same {pack.test_rows} test rows",
        "Curves",
        "Permutation importance",
        "Data contract",
        "Test days against training days",
        "Beside earlier versions",
        f"ML Test Score: {pack.test_score.total:g} of 7",
        "Model card",
        "Identity",
    ]
    for gate in pack.gates:
        assert gate.measured in page.replace("&gt;", ">").replace("&lt;", "<")
    for text in (pack.card.owner, pack.card.intended_use, str(pack.identity["key"])):
        assert text in page


def test_a_candidate_that_failed_is_named(pack):
    page = render_evidence(pack.model_copy(update={"failed_candidates": ("forest",)}))

    assert '<td>forest</td><td class="number">failed</td>' in page
    assert "not compared; the log of its train_candidate says why" in page


@pytest.mark.parametrize("status", ["failed", "unknown"])
def test_a_check_of_a_further_stage_holds_the_version_back_and_has_a_section(history, status):
    history.deploy(history.version(1))
    checks = tuple(
        Check(name=f"the {name} check", status=name, measured="7 MB", required="5 MB")
        for name in ("passed", status)
    )
    as_of = AS_OF + timedelta(days=2)
    stages = {"size": StageReceipt(model=history.spec.model, as_of=as_of, checks=checks)}

    receipt = history.version(2, stages=stages)
    later = history.version(2)  # a second try whose stage gave no result

    page = history.store.get(receipt.evidence).decode()
    assert "Size" in headings(page)
    assert f"missed the {status} check. The champion stays." in page
    assert (receipt.passed, later.passed) == (False, False)
    tags = history.client.get_model_version(history.spec.model, receipt.version).tags
    assert tags[mlflow_registry.TAG_PASSED] == "failed"
    assert not history.deploy(receipt).moved
    assert not history.reevaluate(receipt).passed


def test_further_stages_that_pass_hold_nothing_back(history):
    check = Check(name="size", status="passed", measured="4 MB", required="5 MB")
    as_of = AS_OF + timedelta(days=1)
    stages = {"size": StageReceipt(model=history.spec.model, as_of=as_of, checks=(check,))}

    assert history.deploy(history.version(1, stages=stages)).moved


def test_nothing_is_fetched_and_nothing_runs(pack):
    seen = Tags(render_evidence(pack))

    assert {"script", "link", "img", "iframe", "object", "form"} & set(seen.names) == set()
    assert not [name for name in seen.attributes if name.startswith("on") or name == "src"]
    assert "default-src 'none'" in render_evidence(pack)


def test_hostile_names_and_values_stay_text(pack):
    check = Check(name=HOSTILE, status="failed", measured=HOSTILE, required=HOSTILE)
    evil = pack.model_copy(
        update={
            "gates": (check,),
            "missed": (HOSTILE,),
            "importances": tuple(
                one.model_copy(update={"name": HOSTILE}) for one in pack.importances
            ),
            "drift": pack.drift.model_copy(update={"columns": {HOSTILE: {"note": HOSTILE}}}),
            "stages": {HOSTILE: StageReceipt(model="m", as_of=pack.as_of, checks=(check,))},
            "contract": pack.contract.model_copy(update={"checks": (check,)}),
            "card": pack.card.model_copy(
                update={"limits": (HOSTILE,), "owner": HOSTILE, "intended_use": HOSTILE}
            ),
            "identity": {HOSTILE: HOSTILE},
        }
    )

    seen = Tags(render_evidence(evil))

    assert "script" not in seen.names
    assert "img" not in seen.names
    assert seen.text.count(HOSTILE) >= 10


def test_no_row_of_data_is_in_it(pack, trained):
    """Flight numbers at their minute of departure name an event; none may be found."""
    night, _ = trained
    from evergreen.data.preparation import load_examples

    rows = load_examples(
        night.store, night.spec, receipt=night.examples(), segments=("fit", "validation", "test")
    )
    text = render_evidence(pack) + pack.model_dump_json()

    minutes = rows["scheduled_departure"].dt.strftime("%Y-%m-%dT%H:%M").unique()
    assert len(minutes) > 500
    # The instants of midnight are the pack's own: as_of, the ends of days.
    assert [m for m in minutes if m in text and not m.endswith("T00:00")] == []
    for column in ("carrier", "dest"):
        assert not re.findall(rf"<td[^>]*>{rows[column].iloc[0]}</td>", text)


def test_a_judgement_has_one_pack_and_keeps_it(history):
    first = history.version(1)
    before = {key: history.store.get(key) for key in history.store.list("evidence/")}

    again = history.version(1)

    assert again.evidence == first.evidence
    assert {key: history.store.get(key) for key in history.store.list("evidence/")} == before


def test_it_lies_with_the_version_and_with_the_run(history):
    receipt = history.version(1)

    version = history.client.get_model_version(history.spec.model, receipt.version)
    shown = {f.path for f in history.client.list_artifacts(receipt.run_id, "evidence")}
    assert version.tags["evergreen.evidence"] == receipt.evidence
    assert shown == {"evidence/evidence.html", "evidence/evidence.json"}


def test_nothing_serves_without_its_evidence(history):
    registration = history.version(1)
    history.client.delete_model_version_tag(
        history.spec.model, registration.version, "evergreen.evidence"
    )

    with pytest.raises(Exception, match=r"has no tag 'evergreen\.evidence'"):
        history.deploy(registration)

    assert history.champion() is None


def test_the_score_is_the_least_of_four_sections_and_counts_what_ran(pack):
    by_name = {test.name: test for section in pack.test_score.sections for test in section.tests}

    assert [len(section.tests) for section in pack.test_score.sections] == [7, 7, 7, 7]
    assert pack.test_score.total == min(s.total for s in pack.test_score.sections)
    found = by_name["A simpler model is not better"]
    ours, line = re.findall(r"0\.\d+", found.evidence)
    assert found.points == (1 if float(ours) >= float(line) else 0)
    assert by_name["All hyperparameters have been tuned"].points == 0  # no search in this spec
    assert by_name["Models can be quickly and safely rolled back"].points == 0
    by_git = by_name.pop("Every model specification is reviewed and checked in")
    assert by_git.evidence.startswith("made from commit" if by_git.points else "commit")


def test_the_page_shows_the_score_on_its_scale(pack):
    page = render_evidence(pack)

    assert f"ML Test Score {pack.test_score.total:g} of 7" in page
    assert f"<p>{pack.test_score.meaning.capitalize()}.</p>" in page
    assert "from 0 to 7 points each" in page
    for section in pack.test_score.sections:
        assert f"<strong>{section.total:g} of 7</strong>{section.name}" in page


def test_the_page_lists_changed_libraries_and_slower_times(pack):
    change = DependencyChange(name="numpy", before="1.26.0", now="2.1.0")
    libraries = DependencyComparison(champion_version="1", compared=200, changes=(change,))
    slow = ComputeMeasure(name="training, per row", now=3.0, usual=1.0, versions=5, limit=2.0)
    found = VersionComparisons(dependencies=libraries, compute=(slow,))

    page = render_evidence(pack.model_copy(update={"comparisons": found}))

    assert "1 of 200 libraries differ from those of champion version 1." in page
    assert "<tr><td>numpy</td><td>1.26.0</td><td>2.1.0</td></tr>" in page
    assert "slower, limit 2 times" in page


def test_a_row_was_explained_and_no_value_of_it_is_kept(pack):
    by_name = {test.name: test for section in pack.test_score.sections for test in section.tests}
    found = by_name["The model allows debugging by observing a single example"]

    inputs = len(pack.card.inputs)
    assert found.points == 1
    assert found.evidence.startswith(f"a test row was explained by {inputs} of {inputs} inputs")


def test_a_rollback_that_happened_scores(history):
    history.deploy(history.version(1))
    history.deploy(history.version(2))
    history.roll_back()

    receipt = history.version(3)

    data = json.loads(
        history.store.get(receipt.evidence.removesuffix(EVIDENCE_PAGE) + EVIDENCE_DATA)
    )
    score = TestScore.model_validate(data["test_score"])
    test = score.sections[2].tests[6]
    assert (test.points, test.evidence) == (1, "1 rollbacks in the ledger of this model")
