"""Every module has a test file of its name at the mirrored path, or is named here with its test."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.conftest import ROOT

CORE, AIRFLOW = "include/evergreen", "plugins/evergreen_airflow"
UNIT, PLUGINS, STACK, SERVICES = (
    "tests/include/evergreen",
    "tests/plugins/evergreen_airflow",
    "tests/acceptance",
    "tests/services",
)
#: Modules without a test file of their own, and the file that tests them through what uses them.
TESTED_BY = {
    f"{CORE}/__main__.py": f"{PLUGINS}/test_cli.py",
    f"{CORE}/errors.py": f"{UNIT}/test_lifecycle.py",
    f"{CORE}/keys.py": f"{UNIT}/storage/test_layout.py",
    f"{CORE}/preload_models.py": f"{PLUGINS}/test_warm_workers.py",
    f"{CORE}/processes.py": "tests/test_run.py",
    f"{CORE}/settings.py": f"{PLUGINS}/embedded/test_settings.py",
    f"{CORE}/values.py": f"{UNIT}/storage/test_records.py",
    f"{CORE}/workspace.py": "tests/test_extending.py",
    f"{CORE}/data/available_days.py": f"{UNIT}/monitoring/test_drift_detection.py",
    f"{CORE}/data/contract.py": f"{UNIT}/data/test_validation.py",
    f"{CORE}/data/day_validation.py": f"{UNIT}/data/test_validation.py",
    f"{CORE}/data/examples.py": f"{UNIT}/data/test_preparation.py",
    f"{CORE}/data/parquet.py": f"{UNIT}/data/test_preparation.py",
    f"{CORE}/data/prepared_days.py": f"{UNIT}/data/test_preparation.py",
    f"{CORE}/data/sources/sql.py": f"{UNIT}/data/test_extraction.py",
    f"{CORE}/modeling/artifacts.py": f"{UNIT}/modeling/test_smoke_test.py",
    f"{CORE}/modeling/baselines.py": f"{UNIT}/modeling/test_gates.py",
    f"{CORE}/modeling/candidates.py": f"{UNIT}/test_problems.py",
    f"{CORE}/modeling/model_scores.py": f"{UNIT}/modeling/test_comparison.py",
    f"{CORE}/modeling/paired_gain.py": f"{UNIT}/modeling/test_metrics.py",
    f"{CORE}/modeling/prediction.py": f"{UNIT}/test_problems.py",
    f"{CORE}/modeling/prediction_classes.py": f"{UNIT}/modeling/test_prediction_rows.py",
    f"{CORE}/modeling/prediction_columns.py": f"{UNIT}/modeling/test_prediction_rows.py",
    f"{CORE}/modeling/training.py": f"{UNIT}/test_lifecycle.py",
    f"{CORE}/monitoring/drift_alarms.py": f"{UNIT}/monitoring/test_drift_detection.py",
    f"{CORE}/monitoring/drift_day_report.py": f"{UNIT}/monitoring/test_drift_detection.py",
    f"{CORE}/monitoring/drift_distances.py": f"{UNIT}/monitoring/test_drift_columns.py",
    f"{CORE}/monitoring/drift_judgement.py": f"{UNIT}/monitoring/test_drift_replay.py",
    f"{CORE}/monitoring/drift_samples.py": f"{UNIT}/monitoring/test_drift_detection.py",
    f"{CORE}/monitoring/drift_summaries.py": f"{UNIT}/monitoring/test_drift_columns.py",
    f"{CORE}/monitoring/history.py": f"{STACK}/test_pages.py",
    f"{CORE}/monitoring/label_join.py": f"{STACK}/test_late_labels.py",
    f"{CORE}/monitoring/monitors.py": "tests/test_extending.py",
    f"{CORE}/monitoring/quality.py": f"{STACK}/test_late_labels.py",
    f"{CORE}/monitoring/quality_windows.py": f"{STACK}/test_late_labels.py",
    f"{CORE}/monitoring/staleness.py": f"{STACK}/test_drift_alarms.py",
    f"{CORE}/monitoring/verdict.py": f"{UNIT}/monitoring/test_drift_detection.py",
    f"{CORE}/operations/backtest.py": f"{UNIT}/test_replay.py",
    f"{CORE}/operations/backtest_plot.py": f"{UNIT}/test_replay.py",
    f"{CORE}/operations/reproduction.py": f"{UNIT}/test_replay.py",
    f"{CORE}/receipts/*.py": f"{UNIT}/test_lifecycle.py",
    f"{CORE}/registry/champions.py": f"{UNIT}/registry/test_ledger.py",
    f"{CORE}/registry/ledger_mirror.py": f"{UNIT}/test_lifecycle.py",
    f"{CORE}/registry/mlflow_registry.py": f"{UNIT}/test_lifecycle.py",
    f"{CORE}/registry/version_record.py": f"{UNIT}/test_replay.py",
    f"{CORE}/release/champion_change.py": f"{UNIT}/release/test_rollback.py",
    f"{CORE}/release/decisions.py": f"{UNIT}/release/test_rollback.py",
    f"{CORE}/release/deployment.py": f"{UNIT}/test_lifecycle.py",
    f"{CORE}/release/reevaluation.py": f"{UNIT}/test_lifecycle.py",
    f"{CORE}/release/registration.py": f"{UNIT}/test_lifecycle.py",
    f"{CORE}/release/target_registry.py": "tests/test_extending.py",
    f"{CORE}/release/transfer.py": f"{UNIT}/release/test_promotion.py",
    f"{CORE}/reporting/charts.py": f"{UNIT}/reporting/test_evidence.py",
    f"{CORE}/reporting/drift_report.py": f"{UNIT}/test_lifecycle.py",
    f"{CORE}/reporting/evidently_*.py": f"{UNIT}/monitoring/test_drift_detection.py",
    f"{CORE}/reporting/readiness*.py": f"{UNIT}/reporting/test_ml_test_score.py",
    f"{CORE}/reporting/templates.py": f"{UNIT}/reporting/test_evidence.py",
    f"{CORE}/scoring/scoring.py": f"{UNIT}/test_lifecycle.py",
    f"{CORE}/scoring/sql_sink.py": f"{SERVICES}/monitoring.py",
    f"{CORE}/serving/*.py": f"{UNIT}/serving/test_server.py",
    f"{CORE}/spec/checks.py": "tests/dags/test_untrusted_specs.py",
    f"{CORE}/spec/explaining.py": "tests/dags/test_untrusted_specs.py",
    f"{CORE}/spec/formatting.py": "tests/dags/test_untrusted_specs.py",
    f"{CORE}/spec/reading.py": "tests/dags/test_untrusted_specs.py",
    f"{CORE}/spec/*.py": f"{UNIT}/spec/test_loading.py",
    f"{CORE}/storage/opening.py": f"{UNIT}/storage/test_base.py",
    f"{CORE}/storage/s3_requests.py": f"{UNIT}/storage/test_s3.py",
    "plugins/evergreen_plugin.py": "tests/plugins/test_plugin_loading.py",
    f"{AIRFLOW}/__main__.py": f"{PLUGINS}/test_cli.py",
    f"{AIRFLOW}/airflow_local_settings.py": f"{PLUGINS}/test_policy.py",
    f"{AIRFLOW}/assets.py": f"{SERVICES}/monitoring.py",
    f"{AIRFLOW}/build_results.py": f"{PLUGINS}/test_building.py",
    f"{AIRFLOW}/celery_config.py": f"{PLUGINS}/test_warm_workers.py",
    f"{AIRFLOW}/defaults.py": "tests/dags/test_integrity.py",
    f"{AIRFLOW}/embedded/*.py": f"{STACK}/test_nightly_loop.py",
    f"{AIRFLOW}/hooks/registry.py": f"{PLUGINS}/operators/test_all_operators.py",
    f"{AIRFLOW}/hooks/sql.py": f"{SERVICES}/monitoring.py",
    f"{AIRFLOW}/operators/*.py": f"{PLUGINS}/operators/test_all_operators.py",
    f"{AIRFLOW}/params.py": f"{STACK}/test_run_configuration.py",
    f"{AIRFLOW}/production.py": "tests/test_compose.py",
    f"{AIRFLOW}/supervision.py": f"{STACK}/test_killed_task.py",
    f"{AIRFLOW}/task.py": f"{PLUGINS}/operators/test_all_operators.py",
    f"{AIRFLOW}/task_metrics.py": f"{STACK}/test_nightly_loop.py",
    f"{AIRFLOW}/triggers/data.py": f"{PLUGINS}/sensors/test_data.py",
    f"{AIRFLOW}/triggers/rollout.py": f"{SERVICES}/canary.py",
    f"{AIRFLOW}/ui/*.py": f"{PLUGINS}/ui/test_routes.py",
}
MODULES = [
    path.relative_to(ROOT).as_posix()
    for folder in ("include/evergreen", "plugins")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if path.name != "__init__.py"
]


def own_test(module: str) -> Path:
    path = ROOT / "tests" / module
    return path.with_name(f"test_{path.name}")


def test_there_are_modules_to_look_at():
    assert len(MODULES) > 150


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_its_test(module):
    named = [test for pattern, test in TESTED_BY.items() if fnmatch(module, pattern)]

    assert own_test(module).exists() or named, f"add {own_test(module).relative_to(ROOT)}"


@pytest.mark.parametrize("pattern", TESTED_BY)
def test_an_entry_of_the_list_is_needed_and_names_a_test(pattern):
    matched = [module for module in MODULES if fnmatch(module, pattern)]

    assert [module for module in matched if not own_test(module).exists()]
    assert (ROOT / TESTED_BY[pattern]).exists()
