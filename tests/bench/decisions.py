"""
Write docs/decisions.md: how often each decision is wrong, and how often it is right.

``make bench-decisions``. Each part keeps its numbers in ``.evergreen/bench-decisions``, so that one
may be measured again alone (``PARTS=drift``); the page is written from what is kept. The short
forms in the tests have the same functions with fewer tries (tests/test_bench.py and
tests/test_bench_decisions.py).
"""

from __future__ import annotations

import argparse
import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench import census_decisions, drift_decisions, gate_decisions, peer_decisions
from tests.bench.rates import Mean, Rate, as_table, means_as_table

from evergreen.spec import load_spec

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "decisions.md"
KEPT = ROOT / ".evergreen" / "bench-decisions"
HEAD = """# How often decisions are wrong

Written by `make bench-decisions`, a part at a time (`PARTS="drift"`). Each line is one decision on
one data set: how often it was taken, with Wilson's 95 % interval. Real data: the
flights of the sample, police stops of Minneapolis (carData/MplsStops) and hourly bike rentals of
Washington; `tests/support/datasets.py` has their sources and licences. The simulators are in
`tests/support` and `tests/bench`. Parts may be measured on different machines: compare CPU seconds
within a part.
"""
GATES = """## Gates

"Equal" is the exact null: two models of one pipeline are fitted on random disjoint halves of the
same 60 days, and their predictions are exchanged day by day at random, so neither is better by
construction. One evaluation alone may promote an equal challenger in 2.5 % of tries; after a year
of nights the level is 0.12 % ([gates.md](gates.md#many-nights)). DeLong's test and the bootstrap of
rows are the usual practice, and take the rows of a day as independent.
"""
COST = """## What 14 test days cost

The test days are not learnt from, so 14 of them leave the model a week older than 7 would. Two
models of one pipeline, from 60 days each, one of them a week older, on the same random weeks.
"""
DRIFT = """## Drift

Ordinary days are all but federal holidays and the days beside them; on the flights also the days
after a change of the clocks. [monitoring.md](monitoring.md#drift) explains the detectors.
"""
SUDDEN = """## Sudden faults

Simulated days of 300 rows with a column of each kind; numbers have day effects of 0.2 standard
deviations that resemble the next day's by 0.5. Each fault occurs on 20 days of each world, alone
and after days without any.
"""
SLOW = """## Slow drift

One of four columns moves, on simulated days of 300 rows with such day effects. Delays are counted
up to 60 days.
"""
PEERS = """## Drift, beside peers

The same days as Evergreen's, as numbers and texts, judged by each peer with its defaults in an
environment of its own (`tests/bench/peers/versions.toml` has the versions). Their reference is the
60 days before the judged day, which spares them the season; of ordinary days up to 30 of each data
set are judged. An alarm is any column that the peer counts as drifted; Evidently's verdict on the
data set asks for half of them. Of slow drift their reference is the 60 days before it begins, so
that it never absorbs the drift; the four drifts and the column without any are five columns of one
frame of eight, and "not found" means not within 21 days. A drift that is found by a method which
names most columns without drift as well is no finding: compare with the line "a column without
drift". alibi-detect takes no missing values; `judge_with_alibi_detect.py` says what it gets
instead. A column without any value is refused by Evidently and counts as not named.
"""
QUALITY = """## Quality in service, beside NannyML

The census employment set that NannyML brings: 2015 is the reference, 41 chunks of 5,000 rows of the
years after it are judged. The rows have no days, so Evergreen takes each chunk as seven days of
equal size, and the last 10,000 rows of the reference as 14 test days. Red: shown to have fallen
(99 %) and by more than `quality.max_drop`; amber: shown to have fallen. NannyML: CBPE and the
realised ROC-AUC with its default limits, mean and 3 standard deviations of the reference's chunks.
Some chunks really are worse than the reference, so an alert on labels as they are need not be
false. No estimate without labels can see flipped labels.
"""

Lines = Iterator[Rate | Mean]


@dataclass(frozen=True)
class Options:
    """How much is measured: tries of a gate, and simulated worlds of slow drift."""

    tries: int
    worlds: int


def _gates(options: Options) -> Lines:
    yield from gate_decisions.gate_rates(load_spec("flight_delay"), tries=options.tries)


def _cost(options: Options) -> Lines:
    yield from gate_decisions.cost_of_test_days(weeks=max(options.tries // 10, 2))


def _drift(options: Options) -> Lines:
    yield from drift_decisions.on_real_and_simulated_days(worlds=max(options.worlds // 10, 1))


def _sudden(options: Options) -> Lines:
    yield from drift_decisions.sudden_faults(worlds=max(options.worlds // 4, 1))


def _slow(options: Options) -> Lines:
    yield from drift_decisions.slow_drifts(worlds=options.worlds)


def _peers(options: Options) -> Lines:
    yield from peer_decisions.rows(worlds=options.worlds)


def _quality(_: Options) -> Lines:
    yield from census_decisions.rows()


#: The text above each part, and what measures it.
PARTS: dict[str, tuple[str, Callable[[Options], Lines]]] = {
    "gates": (GATES, _gates),
    "cost": (COST, _cost),
    "drift": (DRIFT, _drift),
    "sudden": (SUDDEN, _sudden),
    "slow": (SLOW, _slow),
    "peers": (PEERS, _peers),
    "quality": (QUALITY, _quality),
}


def measure(part: str, options: Options) -> None:
    """Measure *part*, print each line as it is measured, and keep all of them."""
    warnings.simplefilter("ignore")
    started, lines = _seconds(), list[Rate | Mean]()
    for one in PARTS[part][1](options):
        lines.append(one)
        print(_as_table([one]).splitlines()[-1], flush=True)
    kept = {
        "minutes": (_seconds() - started) / 60,
        "lines": [{"kind": type(one).__name__, **asdict(one)} for one in lines],
    }
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / f"{part}.json").write_text(json.dumps(kept, indent=1))


def _seconds() -> float:
    """Return the processor seconds of this process and of those that it waited for."""
    return sum(os.times()[:4])


def write_page() -> None:
    """Write the page from what is kept; a part of which nothing is kept stays as it was there."""
    before = PAGE.read_text() if PAGE.exists() else ""
    text = HEAD
    for part, (words, _) in PARTS.items():
        path = KEPT / f"{part}.json"
        table = _table_of(path) if path.exists() else _table_in(before, words.splitlines()[0])
        text += f"\n{words}\n{table}\n"
    PAGE.write_text(text)


def _table_of(kept: Path) -> str:
    of = json.loads(kept.read_text())
    return f"{_as_table(_lines(of))}\n\nProcessor minutes: {of['minutes']:.0f}."


def _table_in(page: str, heading: str) -> str:
    """Return the tables below *heading*, and what follows them."""
    _, bar, rows = page.partition(f"{heading}\n")[2].partition("\n## ")[0].partition("\n|")
    return f"|{rows}".strip() if bar else "Not measured."


def _lines(kept: dict) -> list[Rate | Mean]:
    kinds = {"Rate": Rate, "Mean": Mean}
    return [kinds[one.pop("kind")](**one) for one in kept["lines"]]


def _as_table(lines: list[Rate | Mean]) -> str:
    """Return the rates and then the means of *lines*."""
    rates = [one for one in lines if isinstance(one, Rate)]
    means = [one for one in lines if isinstance(one, Mean)]
    tables = [as_table(rates)] * bool(rates) + [means_as_table(means)] * bool(means)
    return "\n\n".join(tables)


def main() -> None:
    """Measure the parts that are named, all by default, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=400)
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=[])
    options = parser.parse_args()
    for part in options.parts or PARTS:
        measure(part, Options(tries=options.tries, worlds=options.worlds))
    write_page()


if __name__ == "__main__":
    main()
