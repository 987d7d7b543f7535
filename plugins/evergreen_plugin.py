"""What Evergreen adds to Airflow itself. Imported by every component: keep it light."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin


class EvergreenPlugin(AirflowPlugin):
    """Announces the package; pages and listeners are added here."""

    name = "evergreen"
