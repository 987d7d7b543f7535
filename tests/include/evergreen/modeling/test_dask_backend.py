"""A fit on a Dask cluster of two processes is the fit of here; real flights, a real scheduler."""

from __future__ import annotations

import numpy as np
import pytest
from distributed import Client, LocalCluster
from tests.conftest import free_port

from evergreen.digests import spec_digest
from evergreen.modeling.candidates import fit_for
from evergreen.modeling.dask_backend import running_on
from evergreen.modeling.training import train_candidate
from evergreen.spec.modeling import CandidateSpec, Engine
from evergreen.workspace import Workspace

#: Work that scikit-learn splits through joblib: the trees of a forest, the parts of a blend.
FOREST = '''

def forest(examples: Examples, *, seed: int) -> Pipeline:
    """Small trees on the numbers."""
    from sklearn.ensemble import RandomForestClassifier

    fill = ColumnTransformer([("numbers", SimpleImputer(), list(examples.numeric))])
    trees = RandomForestClassifier(n_estimators=24, min_samples_leaf=50, random_state=seed)
    return Pipeline([("columns", fill), ("model", trees)])
'''


@pytest.fixture(scope="module")
def cluster(network):
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
    ) as found:
        yield found


@pytest.fixture
def work(night, spec, tmp_path):
    pipeline = tmp_path / "code" / "models" / spec.model / "pipeline.py"
    pipeline.write_text(pipeline.read_text() + FOREST)
    candidates = {"blend": CandidateSpec(), "forest": CandidateSpec()}
    night.spec = spec.model_copy(update={"candidates": candidates})
    return night


def done_by(cluster) -> list[int]:
    """Return how many pieces of work each process of the cluster has done."""
    with Client(cluster.scheduler_address, set_as_default=False) as client:
        return list(client.run(lambda dask_worker: dask_worker.state.executed_count).values())


@pytest.mark.parametrize("candidate", ["forest", "blend"])
def test_here_and_on_two_processes_come_to_the_same(work, cluster, candidate):
    examples, before = work.examples(), done_by(cluster)

    def fit():
        return fit_for(
            work.store, work.spec, candidate=candidate, examples=examples, search=None, params=None
        )

    here, rows = fit()
    with running_on(cluster.scheduler_address):
        there, _ = fit()

    inputs = rows[list(work.spec.examples.features)]
    assert there.validation == here.validation
    assert np.array_equal(there.model.predict_proba(inputs), here.model.predict_proba(inputs))
    assert all(after > earlier for after, earlier in zip(done_by(cluster), before, strict=True))


def test_a_candidate_trained_there_is_logged_as_any_other(work, cluster):
    receipt = train_candidate(
        Workspace(work.store, work.client, work.spec),
        candidate="forest",
        examples=work.examples(),
        tags={},
        engine=cluster.scheduler_address,
    )

    assert work.client.get_run(receipt.run_id).info.status == "FINISHED"
    assert sum(done_by(cluster)) > 0


def test_where_it_is_fitted_does_not_change_what_it_is(spec):
    """A night that moves to a cluster finds the work that was done here."""
    moved = spec.model_copy(update={"engine": Engine(dask="dask_default")})

    assert spec_digest(moved) == spec_digest(spec)


def test_nobody_who_answers_is_an_error_that_says_so(network, monkeypatch):
    monkeypatch.setattr("evergreen.modeling.dask_backend.CONNECT_WITHIN_S", 1)

    with (
        pytest.raises(ConnectionError, match=r"engine\.dask in model\.yaml"),
        running_on(f"tcp://127.0.0.1:{free_port()}"),
    ):
        pytest.fail("nothing may be fitted")


def test_a_cluster_without_workers_is_an_error_that_says_so(network):
    with (
        LocalCluster(n_workers=0, processes=False, dashboard_address=None) as empty,
        pytest.raises(ConnectionError, match="has no worker"),
        running_on(empty.scheduler_address),
    ):
        pytest.fail("nothing may be fitted")
