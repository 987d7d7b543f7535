"""What Evergreen adds to Airflow itself. Imported by every component: keep it light."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.plugins_manager import AirflowPlugin

from evergreen_airflow import warm_parsing

PREFIX = "evergreen"


class EvergreenPlugin(AirflowPlugin):
    """Puts the models into Airflow's navigation, and their reports onto DAGs, runs and tasks."""

    name = "evergreen"
    listeners: ClassVar[list[Any]] = [warm_parsing]
    external_views: ClassVar[list[dict[str, Any]]] = [
        {
            "name": "Models",
            "href": f"{PREFIX}/models",
            "destination": "nav",
            "url_route": "models",
            "nav_top_level": True,
        },
        {
            "name": "Model",
            "href": f"{PREFIX}/model/{{DAG_ID}}",
            "destination": "dag",
            "url_route": "model",
        },
        {
            "name": "Evidence",
            "href": f"{PREFIX}/run/{{DAG_ID}}/{{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "evidence",
        },
        {
            "name": "Report",
            "href": f"{PREFIX}/task/{{DAG_ID}}/{{RUN_ID}}/{{TASK_ID}}/{{MAP_INDEX}}",
            "destination": "task_instance",
            "url_route": "report",
        },
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:
        """The pages; built where they are served, in the API server alone."""
        from evergreen_airflow.ui.app import app

        return [{"app": app, "url_prefix": f"/{PREFIX}", "name": PREFIX}]
