"""Tables for the terminal while it runs, and for the docs when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tabulate import tabulate


class Page:
    """Prints tables and sentences, and remembers them as Markdown."""

    def __init__(self) -> None:
        self.console = Console(width=140)
        self.parts: list[str] = []

    def progress(self, text: str) -> None:
        self.console.print(text)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        shown = Table(*columns, title=title)
        for row in rows:
            shown.add_row(*row)
        self.console.print(shown)
        made = tabulate(rows, headers=columns, tablefmt="github", disable_numparse=True)
        self.parts.append(f"## {title}\n\n{made}\n")

    def say(self, text: str) -> None:
        self.console.print(text)
        self.parts.append(f"{text}\n")

    def write(self, path: Path, *, heading: str) -> None:
        path.write_text(f"{heading}\n\n" + "\n".join(self.parts))
        self.console.print(f"Wrote {path}")
