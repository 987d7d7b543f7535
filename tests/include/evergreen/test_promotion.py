"""A version goes from one registry to another, two real MLflow servers; both ledgers say so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from mlflow import MlflowClient
from tests.conftest import mlflow_server

from evergreen import ledger, registry
from evergreen.errors import ArtefactError, PromotionError
from evergreen.invariants import check_state
from evergreen.promotion import TAG_FROM, Environment, promote_version
from evergreen.storage import FolderStore

NOW = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def other_client(tmp_path_factory):
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


def test_the_champion_goes_with_all_that_speaks_for_it(history, here, there):
    receipt = promote(here, there, history.spec)

    source = history.client.get_model_version(history.spec.model, receipt.version)
    arrived = there.client.get_model_version(history.spec.model, receipt.there)
    assert receipt.deployment.moved
    assert registry.aliases_of(there.client, history.spec.model) == {"champion": receipt.there}
    for tag in (registry.TAG_SHA256, registry.TAG_KEY, registry.TAG_EVIDENCE, registry.TAG_AS_OF):
        assert arrived.tags[tag] == source.tags[tag]
    assert arrived.tags[TAG_FROM] == f"{here.store.uri} version {receipt.version}"
    page = source.tags[registry.TAG_EVIDENCE]
    assert there.store.get(page) == here.store.get(page)


def test_what_arrived_keeps_every_invariant(history, here, there):
    promote(here, there, history.spec)

    found = check_state(there.store, there.client, history.spec, now=NOW, grace=timedelta(0))
    assert [f"{c.name}: {c.measured}" for c in found if c.status != "passed"] == []


def test_both_ledgers_say_it_with_name_and_words(history, here, there):
    receipt = promote(here, there, history.spec)
    sent = ledger.read(here.store, history.spec.model).entries[-1]
    came = ledger.read(there.store, history.spec.model).champion

    assert (sent.step, sent.actor) == ("sent", "ada")
    assert sent.reason == f"to prod as version {receipt.there}: ready"
    assert f"promoted from version {receipt.version} of dev" in came.reason
    assert "approved by ada: ready" in came.reason
    assert history.champion() == receipt.version  # here nothing changed


def test_a_second_time_changes_nothing(history, here, there):
    first = promote(here, there, history.spec)
    kept = {key: there.store.get(key) for key in there.store.list("")}
    said = len(ledger.read(here.store, history.spec.model).entries)

    again = promote(here, there, history.spec)

    assert again.there == first.there
    assert not again.deployment.moved
    assert {key: there.store.get(key) for key in there.store.list("")} == kept
    assert len(ledger.read(here.store, history.spec.model).entries) == said
    assert len(registry.all_versions(there.client, history.spec.model)) == 1


def test_a_dry_run_checks_and_writes_nothing(history, here, there):
    receipt = promote(here, there, history.spec, dry_run=True)

    assert receipt.there is None
    assert list(there.store.list("")) == []
    assert registry.all_versions(there.client, history.spec.model) == []


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
    assert promote(here, there, history.spec, version=waiting.version, force=True).there


def test_without_its_evidence_nothing_goes(history, here, there):
    version = history.client.get_model_version(history.spec.model, history.champion())
    history.store.delete(version.tags[registry.TAG_EVIDENCE])

    with pytest.raises(ArtefactError, match="Nothing goes without its evidence"):
        promote(here, there, history.spec)
    assert registry.all_versions(there.client, history.spec.model) == []


def test_an_older_one_is_history_there_and_does_not_serve(history, here, there):
    older = history.champion()
    history.deploy(history.version(3))
    newest = promote(here, there, history.spec)

    receipt = promote(here, there, history.spec, version=older)

    assert not receipt.deployment.moved
    assert registry.aliases_of(there.client, history.spec.model) == {"champion": newest.there}


def test_one_place_is_no_second_environment(history, here):
    with pytest.raises(PromotionError, match="are one store"):
        promote(here, here, history.spec)
