"""Which deployment targets there are. A new one needs an entry here (``docs/extending.md``)."""

from __future__ import annotations

from collections.abc import Callable

from evergreen.release.targets import Direct, Staged, Target
from evergreen.workspace import Workspace


def target_of(workspace: Workspace) -> Target:
    """Return what stands between a version of the model and its callers."""
    return TARGETS[workspace.spec.deployment.target](workspace)


def _model_server(workspace: Workspace) -> Target:
    if workspace.spec.deployment.stages:
        return Staged(workspace.store, workspace.spec)
    return Direct()


def _score_dag(workspace: Workspace) -> Target:
    return Direct()


def _sagemaker(workspace: Workspace) -> Target:
    from evergreen.release import sagemaker  # boto3, for those who use it

    return sagemaker.connect(workspace)


#: What each ``deployment.target`` of a spec stands for.
TARGETS: dict[str, Callable[[Workspace], Target]] = {
    "server": _model_server,
    "batch": _score_dag,
    "sagemaker": _sagemaker,
}
