"""
Read what a peer is to judge, and write its verdicts: the frame of the scripts beside this one.

The scripts run in the environment of one peer each, with pandas and pyarrow, and without Evergreen.
``python script.py folder`` reads ``folder/plan.json``: a list of cases, each with an ``id``, the
files ``reference`` and ``current`` (Parquet, rows with a column ``day``), the days ``from`` and
``before`` that the reference has, and the ``day`` that is judged.
It writes ``folder/verdicts.json``:
``seconds`` of the processor without imports, and ``named``, per ``id`` the columns that drifted.
``lost`` counts, per column, the cases in which the peer refused it.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pandas as pd

#: From the rows of the reference and of the day: the columns that drifted.
Judge = Callable[[pd.DataFrame, pd.DataFrame], set[str]]


def main(judge: Judge, *, keep_day: bool = False) -> None:
    """Judge every case of the plan with *judge*; with *keep_day* it gets the column ``day``."""
    warnings.simplefilter("ignore")
    folder = Path(sys.argv[1])
    read = cache(lambda name: pd.read_parquet(folder / name))
    named, lost, spent = {}, Counter[str](), 0.0
    for case in json.loads((folder / "plan.json").read_text()):
        then, now = read(case["reference"]), read(case["current"])
        then = then[(then["day"] >= case["from"]) & (then["day"] < case["before"])]
        now = now[now["day"] == case["day"]]
        if not keep_day:
            then, now = then.drop(columns="day"), now.drop(columns="day")
        started = time.process_time()
        found, refused = _judged(judge, then.reset_index(drop=True), now.reset_index(drop=True))
        spent += time.process_time() - started
        named[case["id"]] = sorted(found)
        lost.update(refused)
    result = {"seconds": spent, "named": named, "lost": dict(lost)}
    (folder / "verdicts.json").write_text(json.dumps(result))


def _judged(judge: Judge, then: pd.DataFrame, now: pd.DataFrame) -> tuple[set[str], set[str]]:
    """Return the columns that drifted, and those without a value on a side that were refused."""
    try:
        return judge(then, now), set()
    except Exception:
        empty = {c for c in now if then[c].isna().all() or now[c].isna().all()}
        if not empty:
            raise
        left = [c for c in now if c not in empty]
        return judge(then[left], now[left]), empty
