"""
Define the one command of Evergreen, which the Makefile calls: ``python -m evergreen_airflow``.

It has the commands of the embedded stack, of the production deployment, and those of
``evergreen.cli``. Libraries are imported inside the commands, so that ``--help`` answers at once.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from evergreen import cli

if TYPE_CHECKING:
    from evergreen_airflow.embedded.settings import Settings

STACK = "Embedded stack on this machine"
PRODUCTION = "Production deployment"
#: The night of the demo: the middle of 2013, chosen before anything was measured.
AS_OF = "2013-07-01T00:00:00Z"

ModelOption = Annotated[str, typer.Option(help="Name of the model, a folder of include/models.")]

app = typer.Typer(
    cls=cli.CommandGroup,
    help="Keep machine-learning models fresh and safe in production.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _settings() -> Settings:
    from evergreen_airflow.embedded.settings import read_stack_settings

    return read_stack_settings(os.environ)


def _up(settings: Settings) -> str:
    """Start what does not run yet; return the password of Airflow's user admin."""
    from evergreen_airflow.embedded import stack

    return stack.up(settings, Console())["admin_password"]


@app.command(rich_help_panel=STACK)
def up() -> None:
    """Start Airflow, MLflow, the store and the model server. A second call changes nothing."""
    _up(_settings())


@app.command(rich_help_panel=STACK)
def down() -> None:
    """Stop exactly what up or demo started. Data stays in .evergreen."""
    from evergreen_airflow.embedded import stack

    stack.down(_settings(), Console())


@app.command(rich_help_panel=STACK)
def demo(
    *,
    as_of: Annotated[str, typer.Option(help="Time at which the night starts, ISO 8601.")] = AS_OF,
) -> None:
    """Run the nightly loop once, from data to champion."""
    from evergreen_airflow.embedded.demo import run_demo
    from evergreen_airflow.run_context import parse_instant

    settings, instant, console = _settings(), parse_instant(as_of), Console()
    started = time.monotonic()
    password = _up(settings)
    seconds = {"start": time.monotonic() - started}
    seconds |= run_demo(settings, password=password, as_of=instant, console=console)
    times = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    console.print("Took", times, highlight=False)


@app.command(
    rich_help_panel=STACK,
    add_help_option=False,
    # Everything after the word belongs to Airflow's own parser.
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
)
def airflow(context: typer.Context) -> None:
    """Run Airflow's own command line against the stack."""
    from evergreen_airflow.embedded import stack

    raise typer.Exit(stack.airflow(_settings(), context.args))


@app.command(rich_help_panel=STACK)
def check_state(*, model: ModelOption = "flight_delay") -> None:
    """Start the stack and check every invariant of a model. Exit code 1 if one does not hold."""
    from evergreen_airflow.embedded import inspection

    settings = _settings()
    _up(settings)
    raise typer.Exit(inspection.check_state(settings, model=model))


@app.command(rich_help_panel=STACK)
def reproduce(
    *,
    version: Annotated[int, typer.Option(help="Number of the version in MLflow.")],
    model: ModelOption = "flight_delay",
) -> None:
    """Start the stack, train a version again and compare. Exit code 1 if it differs."""
    from evergreen_airflow.embedded import inspection

    settings = _settings()
    inspection.reproduce(
        settings, password=_up(settings), model=model, version=version, console=Console()
    )


@app.command(rich_help_panel=STACK)
def evidently(
    *,
    model: ModelOption = "flight_delay",
    port: Annotated[int, typer.Option(help="Port of the dashboard, on loopback.")] = 8001,
) -> None:
    """Open the stored drift reports in Evidently's dashboard."""
    from evergreen_airflow.embedded import inspection

    raise typer.Exit(inspection.open_evidently(_settings(), model=model, port=port))


@app.command(rich_help_panel=PRODUCTION)
def secrets() -> None:
    """Write .env with random passwords for docker-compose.yaml, once."""
    from evergreen_airflow.embedded.settings import PROJECT
    from evergreen_airflow.production import make_secrets

    file = PROJECT / ".env"
    password = json.loads(make_secrets(file)["AIRFLOW_PASSWORDS"])["admin"]
    typer.echo(f"Wrote {file}. Airflow: user admin, password {password}")


@app.command(rich_help_panel=PRODUCTION)
def setup() -> None:
    """Migrate Airflow's database, create its pool and the bucket. Safe to repeat."""
    from evergreen_airflow import production

    production.setup()


app.add_typer(cli.app)
