"""The same model has the same bytes, and still loads as the same model."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from evergreen.modeling.canonical_skops import canonical_skops

ROWS = np.random.default_rng(0).normal(size=(50, 3))


def fitted() -> bytes:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(ROWS, ROWS[:, 0] > 0)
    return skops.io.dumps(model)


@pytest.fixture(scope="module")
def data() -> bytes:
    return fitted()


def test_skops_itself_names_members_by_addresses_in_memory(data):
    """The day this fails, read the docstring of the module: skops may have made it needless."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name for name in archive.namelist() if name != "schema.json"]

    assert names
    assert all(int(name.partition(".")[0]) > 2**20 for name in names)


def test_the_same_model_has_the_same_bytes(data):
    other = fitted()

    assert data != other
    assert canonical_skops(data) == canonical_skops(other)


def test_what_is_canonical_stays_as_it_is(data):
    once = canonical_skops(data)

    assert canonical_skops(once) == once


def test_members_are_numbered_dated_1980_and_compressed(data):
    with zipfile.ZipFile(io.BytesIO(canonical_skops(data))) as archive:
        members = archive.infolist()
        schema = json.loads(archive.read("schema.json"))

    assert [one.filename for one in members][:2] == ["schema.json", "0.npy"]
    assert {one.date_time for one in members} == {(1980, 1, 1, 0, 0, 0)}
    assert {one.compress_type for one in members} == {zipfile.ZIP_DEFLATED}
    assert schema["__class__"] == "Pipeline"


def test_it_loads_as_the_same_model(data):
    before, after = skops.io.loads(data), skops.io.loads(canonical_skops(data))

    assert after.predict_proba(ROWS).tolist() == before.predict_proba(ROWS).tolist()
