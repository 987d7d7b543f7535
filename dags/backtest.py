"""
# Backtest

Show what the gates would have decided over a range of nights. Each version is compared in order with the
champion that the replay has at that point; that champion is compared, day by day, with the first one frozen
and with the newest version without gates. The result is one table and one plot.

Run the nights first, in any order or in parallel:
`airflow backfill create --dag-id <model>__retrain --from-date ... --to-date ... --max-active-runs 3`

| | |
|---|---|
| **Reads** | versions of the range in MLflow; their examples and evaluations in the object store |
| **Writes** | `backtests/<model>/` in the object store; evaluations that do not exist yet |
| **Safe to re-run** | Yes. Equal results are one object. |
| **Safe to backfill** | No schedule, so nothing to backfill. |

Champion and ledger are neither read nor changed.

**When it fails**

* `backtest_champion`, BacktestError: fewer than two nights of the range have a version. Backfill them.
* Anything else was already retried twice. Page the owner.
"""

from __future__ import annotations

import pendulum
from airflow.sdk import Param, dag

from evergreen.spec import ModelSpec
from evergreen_airflow.building import build_dags
from evergreen_airflow.defaults import DEFAULT_ARGS, tags_of
from evergreen_airflow.operators.backtest import BacktestChampionOperator


def backtest(spec: ModelSpec) -> None:
    """Make the backtest DAG of one model."""
    first = spec.start_date.isoformat()

    @dag(
        dag_id=f"{spec.model}__backtest",
        description=f"Show what the gates would have decided for {spec.model}",
        schedule=None,
        start_date=pendulum.datetime(*spec.start_date.timetuple()[:3], tz=spec.timezone),
        catchup=False,
        default_args=DEFAULT_ARGS | {"owner": spec.owner},
        params={
            "first": Param(
                first,
                type="string",
                format="date",
                title="First night",
                description="The first as_of, by its day (UTC).",
            ),
            "last": Param(
                first,
                type="string",
                format="date",
                title="Last night",
                description="The last as_of, by its day (UTC), included.",
            ),
        },
        tags=tags_of(spec, "backtest"),
        doc_md=__doc__,
    )
    def build() -> None:
        BacktestChampionOperator(task_id="backtest_champion", model=spec.model)

    build()


build_dags("backtest", backtest)
