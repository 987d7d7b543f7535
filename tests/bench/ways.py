"""The three ways to do one night: the plain script, its job as seven tasks, Evergreen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.bench.measure import Stage, Used, measured, measured_script, stack_cpu, stages
from tests.bench.project import model_of, runner, table_of

FIRST = datetime(2013, 7, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class Nights:
    """One model's nights on a stack, whichever way."""

    def __init__(self, stack, scale: int) -> None:
        self.stack, self.scale, self.model = stack, scale, model_of(scale)
        self.settings, self.run = stack.settings, runner(stack)

    def plain(self, as_of: datetime) -> Used:
        script = Path(self.settings.project) / "include" / "plain_script.py"
        message = [
            str(script),
            str(self.settings.store / "raw"),
            self.settings.mlflow_url,
            f"{as_of:%Y-%m-%d}",
            table_of(self.scale),
        ]
        return measured_script(self.stack, message)

    def seven_tasks(self, as_of: datetime) -> Used:
        raw, url = str(self.settings.store / "raw"), self.settings.mlflow_url
        day = f"{as_of:%Y-%m-%d}"
        work = lambda: self.run("plain_night", day, raw=raw, mlflow=url, as_of=day)  # noqa: E731
        return measured(work, lambda: stack_cpu(self.settings))

    def evergreen(self, as_of: datetime) -> Used:
        used = measured(lambda: self._night(as_of), lambda: stack_cpu(self.settings))
        # After the measurement: to read the logs is work for the API server, not for the night.
        return replace(used, peak=max(stage.peak for stage in self.stages(as_of)) * 1e6)

    def _night(self, as_of: datetime) -> None:
        day = f"{as_of:%Y-%m-%d}"
        self.run(f"{self.model}__retrain", day, as_of=as_of.isoformat())
        self.run(f"{self.model}__score", day, as_of=(as_of + DAY).isoformat())

    def stages(self, as_of: datetime) -> list[Stage]:
        day = f"{as_of:%Y-%m-%d}"
        return [
            s
            for kind in ("retrain", "score")
            for s in stages(self.stack, f"{self.model}__{kind}", day)
        ]
