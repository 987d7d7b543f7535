"""How quickly an input is added: `prepare.py`, one name in the spec, and it is trained with."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.conftest import AS_OF

from evergreen.data.preparation import prepare_window
from evergreen.data.validation import validate_window
from evergreen.data.window import training_window
from evergreen.modeling.candidates import fit_for

NEW_INPUT = """

_prepare = prepare


def prepare(raw, day):
    rows = _prepare(raw, day)
    return rows.assign(minutes_of_day=60 * rows["hour"] + rows["minute"])
"""


def test_an_input_is_added_in_two_places_and_the_model_learns_from_it(store, spec):
    (code,) = (path for path in map(Path, sys.path) if (path / "models" / spec.model).is_dir())
    prepare = code / "models" / spec.model / "prepare.py"
    prepare.write_text(prepare.read_text() + NEW_INPUT)
    numeric = (*spec.examples.numeric, "minutes_of_day")
    examples = spec.examples.model_copy(update={"numeric": numeric})
    longer = spec.model_copy(update={"examples": examples})

    window = training_window(AS_OF, longer.window)
    held = validate_window(store, longer, as_of=AS_OF, days=window.days)
    receipt = prepare_window(store, longer, window=window, validation=held)
    fitted, rows = fit_for(
        store, longer, candidate="linear", examples=receipt, search=None, params=None
    )

    assert "minutes_of_day" in fitted.model.feature_names_in_
    assert rows["minutes_of_day"].nunique() > 100
