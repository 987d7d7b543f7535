"""
The sample with ten of its inputs: what is tested does not depend on how many there are.

Most of a night's cost in the tests is a call for each input: shuffled, looked at for leaks, drawn.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from evergreen.spec import ModelSpec, load_spec
from evergreen.spec.loading import MODELS_DIR

NUMERIC = (
    "hour",
    "minute",
    "weekday",
    "distance",
    "airport_delay",
    "last_day_delay",
    "aircraft_delay",
    "visib",
)
CATEGORICAL = ("origin", "carrier")
_PREPARE = '''

_of_every_input = prepare


def prepare(raw: dict[str, pd.DataFrame], day: date) -> pd.DataFrame:
    """Return the sample's examples with some of their inputs."""
    return _of_every_input(raw, day).drop(columns={dropped!r})
'''


def copy_sample(folder: Path, *, keep: Collection[str] = ()) -> ModelSpec:
    """
    Copy the sample's code to *folder*, where ``prepare`` makes ten inputs, and those to *keep*.

    :return: Its spec with the ten; the groups of inputs keep what is left of them.
    """
    shutil.copytree(MODELS_DIR / "flight_delay", folder)
    spec, few = load_spec("flight_delay"), {*NUMERIC, *CATEGORICAL}
    dropped = [name for name in spec.examples.features if name not in few | {*keep}]
    with (folder / "prepare.py").open("a") as code:
        code.write(_PREPARE.format(dropped=dropped))
    groups = {
        name: group.model_copy(update={"columns": tuple(c for c in group.columns if c in few)})
        for name, group in spec.inputs.items()
    }
    examples = spec.examples.model_copy(update={"numeric": NUMERIC, "categorical": CATEGORICAL})
    return spec.model_copy(update={"examples": examples, "inputs": groups})
