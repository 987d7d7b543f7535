"""The plain script's own functions as seven tasks, for the benchmark: no gates, no evidence."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from airflow.sdk import Param, dag, task


def folder(params: dict) -> Path:
    found = Path(params["raw"]).parent / "plain" / params["as_of"]
    found.mkdir(parents=True, exist_ok=True)
    return found


@dag(
    schedule=None,
    params={name: Param(type="string") for name in ("raw", "mlflow", "as_of")},
    is_paused_upon_creation=False,
)
def plain_night() -> None:  # noqa: C901  seven small tasks
    """Each task reads what the one before it wrote; frames never travel through XCom."""

    @task
    def read(params: dict) -> None:
        import plain_script as plain

        found = plain.read(Path(params["raw"]), date.fromisoformat(params["as_of"]))
        found.to_parquet(folder(params) / "examples.parquet")

    @task
    def check(params: dict) -> None:
        import pandas as pd
        import plain_script as plain

        plain.check(pd.read_parquet(folder(params) / "examples.parquet"))

    def halves(params: dict):
        import pandas as pd
        import plain_script as plain

        frame = pd.read_parquet(folder(params) / "examples.parquet")
        return plain.split(frame, date.fromisoformat(params["as_of"]))

    @task
    def train(params: dict) -> str:
        import plain_script as plain

        older, newer = halves(params)
        model = plain.fit(older)
        example = older[plain.INPUTS].head(5)
        return plain.log_model(params["mlflow"], model, example, plain.measure(model, newer))

    @task
    def register(logged: str, params: dict) -> None:
        import plain_script as plain

        plain.register(params["mlflow"], logged)

    @task
    def read_day(params: dict) -> None:
        import plain_script as plain

        day = plain.one_day(Path(params["raw"]), date.fromisoformat(params["as_of"]))
        day.to_parquet(folder(params) / "day.parquet")

    @task
    def score(params: dict) -> None:
        import pandas as pd
        import plain_script as plain

        at = folder(params)
        plain.score(params["mlflow"], pd.read_parquet(at / "day.parquet"), at / "scored.parquet")

    @task
    def report(params: dict) -> None:
        import plain_script as plain

        older, newer = halves(params)
        plain.report(older, newer, folder(params) / "drift")

    frame = read()
    frame >> check() >> (fitted := train())
    registered = register(fitted)
    [registered, read_day()] >> score()
    fitted >> report()


plain_night()
