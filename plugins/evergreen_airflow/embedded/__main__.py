"""``python -m evergreen_airflow.embedded <command>``: what the Makefile calls."""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import UTC, datetime

from rich.console import Console

from evergreen.errors import EvergreenError
from evergreen_airflow.embedded import demo, inspection, stack
from evergreen_airflow.embedded.settings import Settings, read_stack_settings
from evergreen_airflow.run_context import parse_instant

#: The demo's night: the middle of 2013, chosen before anything was measured.
AS_OF = datetime(2013, 7, 1, tzinfo=UTC)


def main(arguments: list[str]) -> int:
    """Run one command; return 0, or 1 with the error on the screen."""
    console = Console()
    try:
        settings = read_stack_settings(os.environ)
        if arguments[:1] == ["airflow"]:  # its own parser reads the rest
            return stack.airflow(settings, arguments[1:])
        return _run(_parser().parse_args(arguments), settings, console)
    except EvergreenError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="evergreen")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up")
    commands.add_parser("down")
    commands.add_parser("demo").add_argument("--as-of", type=parse_instant, default=AS_OF)
    commands.add_parser("check-state").add_argument("--model", default=demo.MODEL)
    pages = commands.add_parser("evidently")
    pages.add_argument("--model", default=demo.MODEL)
    pages.add_argument("--port", type=int, default=8001)
    again = commands.add_parser("reproduce")
    again.add_argument("--model", default=demo.MODEL)
    again.add_argument("--version", type=int, required=True)
    return parser


def _run(asked: argparse.Namespace, settings: Settings, console: Console) -> int:
    if asked.command == "down":
        stack.down(settings, console)
        return 0
    if asked.command == "evidently":
        return inspection.open_evidently(settings, model=asked.model, port=asked.port)
    started = time.monotonic()
    known = stack.up(settings, console)
    start_s, password = time.monotonic() - started, known["admin_password"]
    if asked.command == "demo":
        seconds = demo.run_demo(settings, password=password, as_of=asked.as_of, console=console)
        times = ", ".join(f"{k} {v:.0f} s" for k, v in ({"start": start_s} | seconds).items())
        console.print("Took", times, highlight=False)
    if asked.command == "check-state":
        return inspection.check_state(settings, model=asked.model)
    if asked.command == "reproduce":
        inspection.reproduce(
            settings, password=password, model=asked.model, version=asked.version, console=console
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
