"""Models that are added, changed and removed while the server runs."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from tests.conftest import ROOT

from evergreen.errors import ArtifactError
from evergreen.serving import served_models
from evergreen.serving.app import make_app
from evergreen.serving.endpoint import ServedVersions
from evergreen.serving.follower import Follower
from evergreen.serving.index_page import render_index
from evergreen.serving.server import ModelServer
from evergreen.serving.settings import ServerSettings
from evergreen.spec import find_specs

MODEL = "flight_delay"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Version:
    """A version that was loaded."""

    version, name, inputs, classes = "1", "flight_delay 1", ("hour",), ("False", "True")
    queued_rows = batches = restarts = 0
    predict_s = 0.0
    is_closed = False

    async def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def models_dir(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "models"
    shutil.copytree(ROOT / "include/models/flight_delay", folder / MODEL)
    monkeypatch.setattr(served_models, "MODELS_DIR", folder)
    monkeypatch.setattr(served_models, "find_specs", lambda: find_specs(folder))
    return folder


@pytest.fixture
def server(models_dir, tmp_path) -> ModelServer:
    chosen = ServerSettings(
        store=f"file://{tmp_path}/store",
        mlflow="http://127.0.0.1:9",
        cache=tmp_path / "cache",
        auth=False,
    )
    return ModelServer(chosen, clock=lambda: NOW)


def served(server: ModelServer) -> Version:
    """Let the model answer with a version that was loaded."""
    version = Version()
    follower = server.followers[MODEL]
    follower.endpoint.traffic = ServedVersions(champion=version)
    follower._loaded["1", "0"] = version
    return version


def change(models_dir: Path, old: str, new: str) -> None:
    path = models_dir / MODEL / "model.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


async def update(server: ModelServer, times: int = 2) -> None:
    for _ in range(times):
        await server.models.update()
    await asyncio.gather(*server.models._closing)


def test_a_removed_model_is_closed_and_named_everywhere(server, models_dir):
    asyncio.run(update(server))
    version = served(server)
    http = TestClient(make_app(server))
    shutil.rmtree(models_dir / MODEL)

    asyncio.run(update(server))

    assert server.followers == {}
    assert version.is_closed
    answer = http.post(f"/models/{MODEL}/invocations", json={"dataframe_records": [{}]})
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("model 'flight_delay' was removed at 2026-01-01")
    assert "removed" in render_index(server)
    assert f'evergreen_model_removed{{model="{MODEL}"}} 1.0' in http.get("/metrics").text
    assert http.get("/v2").json()["models"] == []


def test_a_folder_that_is_replaced_is_gone_for_one_look_and_goes_on(server, models_dir):
    asyncio.run(update(server))
    version = served(server)
    (models_dir / MODEL).rename(models_dir / "aside")

    asyncio.run(update(server, times=1))
    (models_dir / "aside").rename(models_dir / MODEL)
    asyncio.run(update(server, times=2))

    assert server.followers[MODEL].endpoint.traffic.champion is version
    assert server.models.removed == {}


def test_a_model_that_comes_back_is_served_again(server, models_dir):
    asyncio.run(update(server))
    (models_dir / MODEL).rename(models_dir / ".aside")
    asyncio.run(update(server))
    (models_dir / ".aside").rename(models_dir / MODEL)

    asyncio.run(update(server))

    assert list(server.followers) == [MODEL]
    assert server.models.removed == {}


def test_a_broken_spec_goes_on_with_the_one_before(server, models_dir):
    asyncio.run(update(server))
    version = served(server)
    (models_dir / MODEL / "model.yaml").write_text("model: [")

    asyncio.run(update(server, times=4))

    assert server.followers[MODEL].endpoint.traffic.champion is version


def test_all_folders_gone_is_a_missing_volume_and_no_removal(server, models_dir):
    asyncio.run(update(server))
    version = served(server)
    models_dir.rename(models_dir.with_name("unmounted"))

    asyncio.run(update(server, times=4))

    assert server.followers[MODEL].endpoint.traffic.champion is version


def test_a_spec_for_another_target_is_not_served_any_more(server, models_dir):
    asyncio.run(update(server))
    served(server)
    with (models_dir / MODEL / "model.yaml").open("a") as file:
        file.write("\ndeployment: {target: batch}\n")

    asyncio.run(update(server))

    assert list(server.models.removed) == [MODEL]


def test_a_spec_whose_inputs_are_the_same_is_used_without_loading_again(server, models_dir):
    asyncio.run(update(server))
    version, follower = served(server), server.followers[MODEL]
    change(models_dir, "owner: ", "owner: new-")

    asyncio.run(update(server))

    assert server.followers[MODEL] is follower
    assert follower.spec.owner.startswith("new-")
    assert follower.endpoint.traffic.champion is version
    assert not version.is_closed


def test_a_spec_with_other_inputs_is_used_once_the_version_is_loaded_by_it(
    server, models_dir, monkeypatch
):
    asyncio.run(update(server))
    before = served(server)
    after = Version()

    async def begin(self: Follower) -> None:
        self.endpoint.traffic = ServedVersions(champion=after)

    monkeypatch.setattr(Follower, "begin", begin)
    change(models_dir, "numeric:", "constant_allowed: [hour]\n  numeric:")

    asyncio.run(update(server))

    assert server.followers[MODEL].spec.examples.constant_allowed == ("hour",)
    assert server.followers[MODEL].endpoint.traffic.champion is after
    assert before.is_closed


def test_a_spec_by_which_the_version_cannot_be_loaded_waits_for_the_next_version(
    server, models_dir, monkeypatch
):
    asyncio.run(update(server))
    before, follower = served(server), server.followers[MODEL]
    tried = []

    async def begin(self: Follower) -> None:
        tried.append(1)
        self.problem = "flight_delay 1 wants temp, which the spec does not have"

    monkeypatch.setattr(Follower, "begin", begin)
    change(models_dir, "numeric:", "constant_allowed: [hour]\n  numeric:")

    asyncio.run(update(server, times=3))
    assert follower.endpoint.traffic.champion is before
    assert "the changed model.yaml is not used yet: flight_delay 1 wants" in follower.spec_problem
    assert len(tried) == 1

    before.version = "2"  # the next champion
    asyncio.run(update(server))
    assert len(tried) == 2


@pytest.mark.parametrize("error", [ArtifactError("bad bytes"), RuntimeError("no more processes")])
def test_a_model_that_fails_at_the_start_does_not_stop_the_others(
    server, models_dir, monkeypatch, error
):
    shutil.copytree(models_dir / MODEL, models_dir / "other")
    change_name = models_dir / "other/model.yaml"
    change_name.write_text(change_name.read_text().replace("flight_delay", "other"))

    def last_good(model: str):
        if model == MODEL:
            raise error

    monkeypatch.setattr(server.cache, "last_good", last_good)

    async def look(_: Follower) -> None:
        """Leave what the start found."""

    monkeypatch.setattr(Follower, "look", look)

    async def run() -> None:
        await server.start()
        await server.stop()

    asyncio.run(run())

    assert sorted(server.followers) == [MODEL, "other"]
    assert str(error) in str(server.followers[MODEL].problem)
    assert server.followers["other"].problem is None


def test_the_folders_are_read_in_a_thread(server, monkeypatch):
    """A slow disk must not hold up the answers."""
    threads = []

    async def to_thread(call, *given):
        threads.append(call)
        return call(*given)

    monkeypatch.setattr(served_models.asyncio, "to_thread", to_thread)
    asyncio.run(server.models.update())

    assert served_models.find_specs in threads
