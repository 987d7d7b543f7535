"""Keep the values of personal columns out of what people read: rejected rows, examples, pages."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import TYPE_CHECKING

from evergreen.spec import ModelSpec
from evergreen.spec.data import TableContract

if TYPE_CHECKING:
    import pandas as pd

#: Stands where a personal value was.
REMOVED = "removed: personal data"
#: Rows that are stored with each model, to show what its inputs look like.
EXAMPLE_ROWS = 5


def without_personal_values(rows: pd.DataFrame, contract: TableContract) -> pd.DataFrame:
    """Return *rows* of a raw table with :data:`REMOVED` in each column declared personal."""
    personal = [name for name in rows if name in contract.personal_columns]
    return rows.assign(**dict.fromkeys(personal, REMOVED)) if personal else rows


def with_coded_texts(rows: pd.DataFrame, personal: Collection[str]) -> pd.DataFrame:
    """
    Return *rows* with a code for each text in a *personal* column: equal texts have equal codes.

    A code is no secret from somebody who can guess the text. It keeps values off pages and alerts.
    Numbers stay: what is shown of them are quantiles and shares.
    """
    import pandas as pd

    texts = [
        name
        for name in rows.columns
        if name in personal and not pd.api.types.is_numeric_dtype(rows[name])
    ]
    return rows.assign(**{name: rows[name].map(_code, na_action="ignore") for name in texts})


def example_rows(rows: pd.DataFrame, spec: ModelSpec) -> pd.DataFrame:
    """
    Return the first rows of the inputs, shape ``(at most 5, inputs)``, as they are kept in MLflow.

    Of a personal input the median, or the commonest text, stands in every row.
    """
    first = rows[list(spec.examples.features)].head(EXAMPLE_ROWS)
    usual = {
        name: rows[name].median() if name in spec.examples.numeric else _commonest(rows[name])
        for name in sorted(spec.personal_inputs)
    }
    return first.assign(**usual)


def _commonest(texts: pd.Series) -> object:
    """Return the commonest of *texts*; None if all are null, as constant_allowed permits."""
    return next(iter(texts.value_counts().index), None)


def _code(text: object) -> str:
    return f"value {hashlib.sha256(str(text).encode()).hexdigest()[:8]}"
