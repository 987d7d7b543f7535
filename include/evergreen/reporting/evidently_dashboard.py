"""Open the kept reports of a model in Evidently's own dashboard."""

from __future__ import annotations

import gzip
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore


def fill_workspace(store: ObjectStore, spec: ModelSpec, *, folder: Path) -> int:
    """
    Bring every kept snapshot of monitor into the Evidently workspace *folder*; return the new ones.

    Safe to repeat: project and runs have ids that follow from their names.
    """
    from evidently.core.report import Snapshot
    from evidently.sdk.models import DashboardPanelPlot, PanelMetric
    from evidently.ui.workspace import ProjectModel, Workspace

    workspace = Workspace.create(str(folder))
    project_id = uuid5(NAMESPACE_URL, f"evergreen/{spec.model}")
    if project_id not in {project.id for project in workspace.list_projects()}:
        project = workspace.add_project(
            ProjectModel(id=project_id, name=spec.model, description=spec.description)
        )
        panel = DashboardPanelPlot(
            title="Columns beyond their limits, by day",
            size="full",
            values=[PanelMetric(legend="columns", metric="DriftedColumnsCount")],
            plot_params={"plot_type": "bar"},
        )
        project.dashboard.add_panel(panel)
    (folder / str(project_id) / "snapshots").mkdir(exist_ok=True)  # Evidently lists no absent one
    known = {str(run) for run in workspace.list_runs(project_id)}
    new = 0
    for key in store.list(layout.monitoring_reports(spec.model)):
        run_id = uuid5(project_id, key)
        if key.endswith(".snapshot.json.gz") and str(run_id) not in known:
            snapshot = Snapshot.loads(gzip.decompress(store.get(key)).decode())
            workspace.state.write_snapshot(project_id, run_id, snapshot.to_snapshot_model())
            new += 1
    return new
