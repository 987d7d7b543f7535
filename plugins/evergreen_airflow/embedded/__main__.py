"""``python -m evergreen_airflow.embedded up | down | demo``: what the Makefile calls."""

from __future__ import annotations

import argparse
import os
import sys
import time
from datetime import UTC, datetime

from rich.console import Console

from evergreen.errors import EvergreenError
from evergreen_airflow.embedded import demo, stack
from evergreen_airflow.embedded.settings import read_settings
from evergreen_airflow.run import parse_instant

#: The demo's night: the middle of 2013, chosen before anything was measured.
AS_OF = datetime(2013, 7, 1, tzinfo=UTC)


def main(arguments: list[str]) -> int:
    """Run one command; return 0, or 1 with the error on the screen."""
    parser = argparse.ArgumentParser(prog="evergreen")
    parser.add_argument("command", choices=["up", "down", "demo"])
    parser.add_argument("--as-of", type=parse_instant, default=AS_OF)
    console = Console()
    try:
        asked = parser.parse_args(arguments)
        settings = read_settings(os.environ)
        if asked.command == "down":
            stack.down(settings, console)
            return 0
        started = time.monotonic()
        known = stack.up(settings, console)
        if asked.command == "demo":
            start_s = time.monotonic() - started
            seconds = demo.run_demo(
                settings, password=known["admin_password"], as_of=asked.as_of, console=console
            )
            times = {"start": start_s, **seconds}
            console.print(
                "Took", ", ".join(f"{k} {v:.0f} s" for k, v in times.items()), highlight=False
            )
    except EvergreenError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
