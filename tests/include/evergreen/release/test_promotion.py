"""A version goes from one registry to another, two real MLflow servers, and is judged there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from mlflow import MlflowClient
from tests.conftest import mlflow_server
from tests.support.failures import killed_after_each_effect, some_effects_and_all

from evergreen.data.preparation import load_examples
from evergreen.data.validation import load_verdicts
from evergreen.errors import ArtifactError, PromotionError
from evergreen.operations.invariants import check_invariants
from evergreen.receipts.modeling import EvaluationReceipt
from evergreen.receipts.release import ApprovalReceipt
from evergreen.registry import ledger as ledger_store
from evergreen.registry import mlflow_registry
from evergreen.registry.version_record import load_identity
from evergreen.release.deployment import deploy_model
from evergreen.release.promotion import TAG_FROM, promote_version
from evergreen.release.transfer import Environment
from evergreen.spec.modeling import BaselineGate
from evergreen.storage.folder import FolderStore
from evergreen.storage.records import load_document, read_object
from evergreen.workspace import Workspace

NOW = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def other_client(network, tmp_path_factory):
    with mlflow_server(tmp_path_factory.mktemp("prod-mlflow")) as url:
        yield MlflowClient(url, url)


@pytest.fixture
def history(new_history):
    """A model with a champion of night 1, here."""
    found = new_history()
    found.deploy(found.version(1))
    return found


@pytest.fixture
def here(history) -> Environment:
    return Environment(name="dev", store=history.store, client=history.client)


@pytest.fixture
def there(other_client, tmp_path) -> Environment:
    return Environment(name="prod", store=FolderStore(tmp_path / "prod"), client=other_client)


def promote(here, there, spec, **how):
    asked = {"version": None, "dry_run": False, "force": False} | how
    return promote_version(here, there, spec, actor="ada", reason="ready", now=NOW, **asked)


def serve(there, spec, receipt, *, approval=None, run=None):
    """Do what the task after the promotion does."""

    def reevaluate():
        raise AssertionError("judged again")

    return deploy_model(
        Workspace(there.store, there.client, spec),
        registration=receipt.registration,
        actor="ada",
        now=NOW,
        reevaluate=reevaluate,
        approval=approval,
        run=run,
    )


def rows_of_test_days(place, spec, identity):
    return load_examples(place.store, spec, receipt=identity.examples, segments=("test",))


def champion_of(there, spec) -> str | None:
    found = mlflow_registry.champion_of(there.client, spec.model)
    return found.version if found else None


@pytest.fixture
def poor_champion(history, here, there) -> str:
    """The other environment's champion: a version that learnt nothing, let in by weak gates."""
    poor = history.version(0, logged=history.ignorant())
    baseline = BaselineGate.model_construct(trivial=-1.0, linear=-1.0)
    gates = history.spec.gates.model_copy(update={"floors": {}, "baseline": baseline})
    weak = history.spec.model_copy(update={"gates": gates})
    receipt = promote(here, there, weak, version=poor.version, force=True)
    assert serve(there, history.spec, receipt).moved
    return receipt.registration.version


def test_the_champion_goes_with_all_that_its_identity_names(history, here, there):
    receipt = promote(here, there, history.spec)

    source = history.client.get_model_version(history.spec.model, receipt.version)
    arrived = there.client.get_model_version(history.spec.model, receipt.registration.version)
    for tag in (mlflow_registry.TAG_SHA256, mlflow_registry.TAG_KEY, mlflow_registry.TAG_AS_OF):
        assert arrived.tags[tag] == source.tags[tag]
    assert arrived.tags[TAG_FROM] == f"{here.store.uri} version {receipt.version}"
    identity = load_identity(there.store, arrived)
    assert identity == load_identity(here.store, source)
    assert load_verdicts(there.store, identity.validation)  # read with their digests
    evaluation = load_document(
        there.store, arrived.tags[mlflow_registry.TAG_EVALUATION], EvaluationReceipt
    )
    read_object(there.store, evaluation.details)
    assert there.store.head(arrived.tags[mlflow_registry.TAG_EVIDENCE]) is not None
    assert len(rows_of_test_days(there, history.spec, identity)) > 0


def test_the_first_one_serves_there_after_its_deploy_and_not_before(history, here, there):
    receipt = promote(here, there, history.spec)
    assert champion_of(there, history.spec) is None

    assert serve(there, history.spec, receipt).moved
    assert champion_of(there, history.spec) == receipt.registration.version


def test_what_arrived_keeps_every_invariant(history, here, there):
    serve(there, history.spec, promote(here, there, history.spec))

    found = check_invariants(
        Workspace(there.store, there.client, history.spec), now=NOW, grace=timedelta(0)
    )
    assert [f"{c.name}: {c.measured}" for c in found if c.status != "passed"] == []


def test_it_is_judged_beside_the_champion_there_on_its_own_test_rows(
    history, here, there, poor_champion
):
    receipt = promote(here, there, history.spec)

    gate = next(g for g in receipt.gates if g.name == "roc_auc over the champion")
    assert gate.status == "passed"
    assert receipt.compared_with == receipt.registration.compared_with == poor_champion
    version = history.client.get_model_version(history.spec.model, receipt.version)
    identity = load_identity(here.store, version)
    assert receipt.test_rows == len(rows_of_test_days(here, history.spec, identity))
    # Here it is judged beside no champion at all: its own verdict is another one.
    here_gate = next(g for g in history.judged.gates if g.name == gate.name)
    assert here_gate.measured == "no champion yet"
    assert serve(there, history.spec, receipt).moved


@pytest.mark.parametrize("how", ["byte-identical", "worse"])
def test_what_is_not_better_there_does_not_serve_there(history, here, there, how):
    serve(there, history.spec, promote(here, there, history.spec))
    before = champion_of(there, history.spec)
    logged = None if how == "byte-identical" else history.ignorant()
    challenger = history.version(2, logged=logged)

    receipt = promote(here, there, history.spec, version=challenger.version, force=True)

    assert not receipt.passed
    assert not receipt.registration.passed
    assert "roc_auc over the champion" in [g.name for g in receipt.gates if g.status == "failed"]
    assert serve(there, history.spec, receipt).reason == "it missed a gate, the champion stays"
    assert champion_of(there, history.spec) == before
    arrived = there.client.get_model_version(history.spec.model, receipt.registration.version)
    assert arrived.tags[mlflow_registry.TAG_PASSED] == "failed"


@pytest.mark.parametrize("answer", ["none", "no", "yes, to another comparison", "yes"])
def test_where_the_spec_asks_for_approval_only_a_yes_to_this_verdict_lets_it_serve(
    history, here, there, poor_champion, answer
):
    approval = history.spec.deployment.approval.model_copy(update={"required": True})
    deployment = history.spec.deployment.model_copy(update={"approval": approval})
    spec = history.spec.model_copy(update={"deployment": deployment})
    receipt = promote(here, there, spec)
    of = receipt.registration
    said = ApprovalReceipt(
        model=spec.model,
        as_of=of.as_of,
        version=of.version,
        asked=True,
        actor="vera",
        message="",
        compared_with="7" if "another" in answer else of.compared_with,
        approved=answer != "no",
    )

    found = serve(there, spec, receipt, approval=None if answer == "none" else said)

    assert found.moved is (answer == "yes")
    assert champion_of(there, spec) == (of.version if answer == "yes" else poor_champion)
    if answer == "yes":
        assert ledger_store.read_ledger(there.store, spec.model).champion.actor == "vera, in ada"


def test_both_ledgers_name_the_move_and_its_reason(history, here, there):
    receipt = promote(here, there, history.spec)
    serve(there, history.spec, receipt)
    sent = ledger_store.read_ledger(here.store, history.spec.model).entries[-1]
    arrived = ledger_store.read_ledger(there.store, history.spec.model).champion

    assert (sent.step, sent.actor) == ("sent", "ada")
    assert sent.reason == f"to prod as version {receipt.registration.version}: ready"
    assert f"promoted from version {receipt.version} of dev: ready" in arrived.reason
    assert history.champion() == receipt.version  # here nothing changed


def test_a_second_time_changes_nothing(history, here, there):
    first = promote(here, there, history.spec, run="one")
    serve(there, history.spec, first, run="one")
    kept = {key: there.store.get(key) for key in there.store.list("")}
    entries = len(ledger_store.read_ledger(here.store, history.spec.model).entries)

    again = promote(here, there, history.spec, run="one")
    served = serve(there, history.spec, again, run="one")

    # Created only once; everything else of the receipts is the same.
    assert again.registration == first.registration.model_copy(update={"created": False})
    assert served.champion_version == first.registration.version
    assert {key: there.store.get(key) for key in there.store.list("")} == kept
    assert len(ledger_store.read_ledger(here.store, history.spec.model).entries) == entries
    assert len(mlflow_registry.all_versions(there.client, history.spec.model)) == 1


def test_a_later_try_promotes_the_version_that_the_first_one_chose(history, here, there):
    """While the first try works, a night promotes another version here."""
    first = promote(here, there, history.spec, run="one")
    history.deploy(history.version(3))
    assert history.champion() != first.version

    again = promote(here, there, history.spec, run="one", force=True)

    assert again.version == first.version
    assert promote(here, there, history.spec, run="two").version == history.champion()


@some_effects_and_all
def test_killed_anywhere_and_retried_there_is_one_version_there(history, here, there, step):
    promote(here, there, history.spec)  # the days are there now; each of the others is new
    attempts = 0

    def next_promotion():
        nonlocal attempts
        attempts += 1
        run = f"run {attempts}"
        version = history.version(attempts + 1).version
        promote_it = partial(
            promote, here, there, history.spec, version=version, force=True, run=run
        )
        next_promotion.now = promote_it
        return promote_it

    for _ in killed_after_each_effect(next_promotion, step=step):
        receipt = next_promotion.now()

        versions = mlflow_registry.all_versions(there.client, history.spec.model)
        keys = [version.tags[mlflow_registry.TAG_KEY] for version in versions]
        assert keys.count(receipt.registration.key) == 1
        sent = [
            e.version
            for e in ledger_store.read_ledger(here.store, history.spec.model).entries
            if e.step == "sent"
        ]
        assert sent.count(receipt.version) == 1

    assert attempts * step > 15
    found = check_invariants(
        Workspace(there.store, there.client, history.spec), now=NOW, grace=timedelta(0)
    )
    assert [f"{c.name}: {c.measured}" for c in found if c.status != "passed"] == []


@pytest.mark.parametrize("is_better", [True, False])
def test_a_dry_run_judges_there_and_writes_nothing(history, here, there, poor_champion, is_better):
    logged = None if is_better else history.ignorant()
    asked = history.version(5, logged=logged)
    places = (here, there)
    before = [{key: place.store.get(key) for key in place.store.list("")} for place in places]
    versions = len(mlflow_registry.all_versions(there.client, history.spec.model))

    receipt = promote(
        here, there, history.spec, version=asked.version, force=True, dry_run=True, run="one"
    )

    assert receipt.registration is None
    assert (receipt.passed, receipt.compared_with) == (is_better, poor_champion)
    after = [{key: place.store.get(key) for key in place.store.list("")} for place in places]
    assert after == before
    assert len(mlflow_registry.all_versions(there.client, history.spec.model)) == versions


@pytest.mark.parametrize("force", [False, True])
def test_what_missed_a_gate_never_goes(history, here, there, force):
    failed = history.version(2, passed=False)

    with pytest.raises(PromotionError, match="missed a gate"):
        promote(here, there, history.spec, version=failed.version, force=force)
    assert list(there.store.list("")) == []


def test_what_never_served_goes_only_if_it_is_forced(history, here, there):
    waiting = history.version(2)

    with pytest.raises(PromotionError, match="never served in dev"):
        promote(here, there, history.spec, version=waiting.version)
    assert promote(here, there, history.spec, version=waiting.version, force=True).registration


def test_without_its_evidence_nothing_goes(history, here, there):
    version = history.client.get_model_version(history.spec.model, history.champion())
    history.store.delete(version.tags[mlflow_registry.TAG_EVIDENCE])

    with pytest.raises(ArtifactError, match="Nothing goes without its evidence"):
        promote(here, there, history.spec)
    assert mlflow_registry.all_versions(there.client, history.spec.model) == []


def test_an_older_one_is_history_there_and_does_not_serve(history, here, there):
    older = history.champion()
    history.deploy(history.version(3))
    newest = promote(here, there, history.spec)
    serve(there, history.spec, newest)

    receipt = promote(here, there, history.spec, version=older)

    assert "it is history" in serve(there, history.spec, receipt).reason
    assert champion_of(there, history.spec) == newest.registration.version


def test_a_champion_there_that_is_lost_holds_the_version_and_is_named(history, here, there):
    receipt = promote(here, there, history.spec)
    serve(there, history.spec, receipt)
    lost = receipt.registration.version
    there.client.delete_model_version(history.spec.model, lost)
    newer = history.version(2)

    held = promote(here, there, history.spec, version=newer.version, force=True)

    gate = next(g for g in held.gates if g.name == "roc_auc over the champion")
    assert gate.status == "failed"
    problem = f"Version {lost} of {history.spec.model}, the champion, is not in MLflow"
    assert problem in gate.measured
    assert not held.registration.passed


def test_one_place_is_no_second_environment(history, here):
    with pytest.raises(PromotionError, match="are one store"):
        promote(here, here, history.spec)
