"""
Define the commands that need no Airflow.

``python -m evergreen`` starts them where Airflow is not installed, such as in the image of the
model server. ``python -m evergreen_airflow`` has the same commands and those of Airflow.
Libraries are imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from typer.core import TyperGroup

from evergreen.errors import CiReceiptError, ComparisonError, EvergreenError, ExplanationError

if TYPE_CHECKING:
    from typer._click import Context  # typer bundles its own copy of click

#: Where the commands of this module stand in ``--help``.
PANEL = "Commands without Airflow"
StoreAddress = Annotated[str, typer.Argument(help="file:///folder or s3://bucket/prefix (AWS_*).")]

ModelOption = Annotated[str, typer.Option(help="Name of the model, a folder of include/models.")]
StoreOption = Annotated[str, typer.Option(help="file:///folder or s3://bucket/prefix.")]


class CommandGroup(TyperGroup):
    """Commands that end with exit code 1 and the message, if Evergreen raises one of its errors."""

    def invoke(self, ctx: Context) -> object:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except EvergreenError as error:
            print_error(str(error))
            raise typer.Exit(1) from None


def print_error(message: str) -> None:
    """Print *message* in red to stderr, as it is."""
    Console(stderr=True).print(message, style="red", markup=False, highlight=False, soft_wrap=True)


app = typer.Typer(
    cls=CommandGroup,
    help="Keep machine-learning models fresh and safe in production.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command(rich_help_panel=PANEL)
def serve() -> None:
    """Run the model server until SIGTERM. Settings: EVERGREEN_SERVING_*, see docs/serving.md."""
    from evergreen.serving.uvicorn_server import run_server

    run_server(os.environ)


@app.command(rich_help_panel=PANEL)
def doctor(
    store: StoreAddress,
) -> None:
    """
    Try what a store guarantees.

    Exit code 1 if something that is needed is missing, 2 if the store cannot be opened.
    """
    from evergreen.spec import find_specs
    from evergreen.storage import layout
    from evergreen.storage.conformance import examine, is_fit, report
    from evergreen.storage.opening import open_store

    try:
        opened = open_store(store)
        next(opened.list(layout.conformance_prefix()), None)
    except (ValueError, OSError) as error:
        print_error(str(error))
        raise typer.Exit(2) from None
    found = examine(opened)
    for part in report(found, uri=opened.uri):
        Console().print(part, highlight=False)
    for spec in find_specs()[0]:
        if not spec.alerts.connections:
            print_error(
                f"{spec.model}: alerts.connections in model.yaml is empty, so its alerts go to no "
                "one. Name an Airflow connection of type apprise."
            )
    raise typer.Exit(0 if is_fit(found) else 1)


@app.command(rich_help_panel=PANEL)
def compare(
    champion: Annotated[Path, typer.Argument(help="Predictions of the champion (.parquet, .csv).")],
    challenger: Annotated[Path, typer.Argument(help="Those of the challenger, for the same rows.")],
    *,
    label: Annotated[str, typer.Option(help="Column with what happened.")],
    day: Annotated[str, typer.Option(help="Column with the day of each row.")],
    problem: Annotated[str, typer.Option(help="binary, multiclass or regression.")],
    metric: Annotated[str | None, typer.Option(help="What decides; has a default.")] = None,
    key: Annotated[
        list[str] | None, typer.Option(help="Column that identifies a row; may be repeated.")
    ] = None,
    positive: Annotated[str | None, typer.Option(help="Positive one of two labels.")] = None,
    confidence: Annotated[float, typer.Option(help="Of the lower bound.")] = 0.975,
    margin: Annotated[float, typer.Option(help="What the lower bound must exceed.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """
    Say whether a challenger beats the champion, by the champion gate. See docs/compare.md.

    Exit code 0 if they could be compared, whatever the verdict; 2 if the input cannot be used.
    """
    from evergreen.modeling.prediction_comparison import compare_predictions
    from evergreen.modeling.prediction_files import read_predictions

    keys = tuple(key or ())
    texts = {name for name in keys if name != day} | ({label} if problem == "multiclass" else set())
    try:
        found = compare_predictions(
            read_predictions(champion, texts=texts),
            read_predictions(challenger, texts=texts),
            label=label,
            day=day,
            problem=problem,
            metric=metric,
            keys=keys,
            positive=positive,
            confidence=confidence,
            margin=margin,
        )
    except ComparisonError as error:
        print_error(str(error))
        raise typer.Exit(2) from None
    typer.echo(found.summary_json() if as_json else found.text())


@app.command(rich_help_panel=PANEL)
def check_invariants(
    *,
    model: ModelOption,
    store: StoreOption,
    mlflow: Annotated[str, typer.Option(help="Address of the MLflow server.")],
) -> None:
    """Check every invariant of a model. Exit code 1 if one does not hold."""
    from mlflow import MlflowClient
    from rich.table import Table

    from evergreen.operations import invariants
    from evergreen.spec import load_spec
    from evergreen.storage.opening import open_store
    from evergreen.workspace import Workspace

    client = MlflowClient(tracking_uri=mlflow, registry_uri=mlflow)
    workspace = Workspace(open_store(store), client, load_spec(model))
    checks = invariants.check_invariants(workspace, now=datetime.now(UTC))
    table = Table("invariant", "found", "verdict", title=f"State of {model}")
    for check in checks:
        table.add_row(check.name, check.measured, check.status)
    Console().print(table)
    raise typer.Exit(int(any(check.status == "failed" for check in checks)))


@app.command(rich_help_panel=PANEL)
def explain_one(
    *,
    model: ModelOption,
    store: StoreOption,
    mlflow: Annotated[str, typer.Option(help="Address of the MLflow server.")],
    day: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="A day with predictions.")],
    row: Annotated[int | None, typer.Option(help="Number of the row, from 0.")] = None,
    entity: Annotated[
        list[str] | None, typer.Option(help="Part of the entity key, name=value; may be repeated.")
    ] = None,
    show_personal: Annotated[bool, typer.Option(help="Show values declared personal.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Explain one prediction of a scored day: values as read and prepared, and what each adds."""
    from mlflow import MlflowClient

    from evergreen.scoring.explain_one import explain_one as explain
    from evergreen.spec import load_spec
    from evergreen.storage.opening import open_store
    from evergreen.workspace import Workspace

    pairs = [text.partition("=") for text in entity or ()]
    if strange := [name for name, sign, _ in pairs if not sign]:
        raise ExplanationError(f"--entity {strange[0]}: expected name=value.")
    client = MlflowClient(tracking_uri=mlflow, registry_uri=mlflow)
    found = explain(
        Workspace(open_store(store), client, load_spec(model)),
        day=day.date(),
        row=row,
        entity={name: value for name, _, value in pairs},
        show_personal=show_personal,
    )
    typer.echo(found.model_dump_json(indent=1) if as_json else found.text())


@app.command(rich_help_panel=PANEL)
def ci_receipt(
    junit: Annotated[Path, typer.Argument(help="JUnit file, as pytest --junitxml writes it.")],
    *,
    store: StoreOption,
    reviewed_by: Annotated[
        list[str] | None, typer.Option(help="Who reviewed the commit; may be repeated.")
    ] = None,
) -> None:
    """
    Keep what the tests of this commit gave, for the ML Test Score of versions made from it.

    Run it in CI, in the checkout that was tested. Exit code 1 if the checkout has changes.
    """
    from evergreen.registry.ci_receipts import record_ci_run
    from evergreen.storage.opening import open_store

    try:
        data = junit.read_bytes()
    except OSError as error:
        raise CiReceiptError(f"{junit} cannot be read: {error}. No receipt was kept.") from None
    opened, now = open_store(store), datetime.now(UTC)
    found = record_ci_run(opened, data, reviewed_by=reviewed_by or (), now=now)
    passed, failed, skipped = (
        sum(getattr(module, name) for module in found.modules)
        for name in ("passed", "failed", "skipped")
    )
    reviewers = ", ".join(found.reviewers) or "no one"
    typer.echo(
        f"commit {found.commit[:12]}: {passed} tests passed, {failed} failed, {skipped} were "
        f"skipped; reviewed by {reviewers}"
    )


@app.command(rich_help_panel=PANEL)
def evidently_workspace(
    *,
    model: ModelOption,
    store: StoreOption,
    folder: Annotated[Path, typer.Option(help="Folder of the Evidently workspace.")],
) -> None:
    """Copy the stored drift reports of a model into a workspace of Evidently."""
    from evergreen.reporting.evidently_dashboard import fill_workspace
    from evergreen.spec import load_spec
    from evergreen.storage.opening import open_store

    new = fill_workspace(open_store(store), load_spec(model), folder=folder)
    typer.echo(f"{new} new reports of {model} in {folder}")


@app.command(rich_help_panel=PANEL)
def discard_records(
    store: StoreAddress,
    *,
    dry_run: Annotated[bool, typer.Option(help="Only list them.")] = True,
) -> None:
    """
    Delete the records that another release wrote in another format; only list them by default.

    A ledger is among them: the next retrain starts a new one. Raw data and models in MLflow stay.
    """
    from evergreen.operations import record_formats
    from evergreen.storage.opening import open_store

    opened = open_store(store)
    if dry_run:
        keys = [f"{key} (format {found})" for key, found in record_formats.outdated_records(opened)]
    else:
        keys = record_formats.discard_records(opened)
    for key in keys:
        typer.echo(key)
    typer.echo(f"{len(keys)} records {'would be' if dry_run else 'were'} deleted in {opened.uri}")


@app.command(rich_help_panel=PANEL)
def migrate_ledger(store: StoreAddress) -> None:
    """Write the ledgers of the release before this one in the present format; stop the DAGs."""
    from evergreen.operations.ledger_migration import migrate_ledgers
    from evergreen.storage.opening import open_store

    keys = migrate_ledgers(open_store(store))
    typer.echo(f"{len(keys)} entries of ledgers were written again in {store}")


@app.command(rich_help_panel=PANEL)
def schema() -> None:
    """Print the JSON Schema of model.yaml, for editors."""
    from evergreen.spec import ModelSpec

    typer.echo(json.dumps(ModelSpec.model_json_schema(), indent=1, ensure_ascii=False))
