"""Explain one prediction of a scored day: its row as read and as prepared, and each input."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from evergreen.data.parquet import from_parquet
from evergreen.data.partitions import open_partition, partition
from evergreen.data.personal_data import REMOVED
from evergreen.data.raw_rows import raw_frame
from evergreen.errors import DataContractError, ExplanationError
from evergreen.modeling.artifacts import load_version
from evergreen.modeling.explanation import REFERENCE_ROWS, Contribution, explain_row
from evergreen.receipts.data import PredictionsManifest
from evergreen.spec import ModelSpec
from evergreen.storage import layout
from evergreen.storage.base import ObjectStore
from evergreen.storage.records import load_document, read_object
from evergreen.values import Frozen
from evergreen.workspace import Workspace

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

#: Raw rows of one table that are shown; a table with the entity key has one, as a rule.
SHOWN_ROWS = 5


class RawRow(Frozen):
    """One row of a raw table, as it was read: columns and their values as texts."""

    table: str
    values: dict[str, str]


class ExplainedPrediction(Frozen):
    """
    One row of a scored day, from raw values to the prediction.

    ``stored`` is what was predicted when the day was scored; None if it is not kept any more.
    """

    model: str
    day: date
    version: str
    row: int
    entity: dict[str, str]
    as_read: tuple[RawRow, ...]
    answer: str
    prediction: float
    stored: float | None
    reference_rows: int
    contributions: tuple[Contribution, ...]

    def text(self) -> str:
        """Return the explanation for a terminal."""
        named = ", ".join(f"{name} {value}" for name, value in self.entity.items())
        stored = "is not kept" if self.stored is None else f"was {self.stored:.6f}"
        lines = [f"{self.model} version {self.version}, row {self.row} of {self.day}: {named}", ""]
        for one in self.as_read:
            lines += [f"As read from {one.table}:"]
            lines += [f"  {name:<24} {value}" for name, value in one.values.items()]
            lines += [""]
        lines += [
            f"Predicted: {self.answer} {self.prediction:.6f}; the stored prediction {stored}.",
            "",
            f"What each input adds, beside {self.reference_rows} other rows of the day:",
            f"  {'input':<24} {'value':>16} {'usual':>16} {'adds':>10}",
            *(
                f"  {one.name:<24} {_short(one.value):>16} {_short(one.usual):>16} "
                f"{one.contribution:>+10.5f}"
                for one in self.contributions
            ),
            "",
            "One input at a time was given the values of the other rows. The contributions do not "
            "sum to the prediction.",
        ]
        return "\n".join(lines)


def explain_one(
    workspace: Workspace,
    *,
    day: date,
    row: int | None = None,
    entity: Mapping[str, str] | None = None,
    show_personal: bool = False,
) -> ExplainedPrediction:
    """
    Explain one row of *day* with the version that scored it.

    :param row: Its number, from 0, in the order of the stored predictions; or
    :param entity: values of the entity key, as texts; some of them are enough if one row has them.
    :param show_personal: Whether to show values that are declared personal.
    :raises ExplanationError: If the day has no predictions, or not exactly one such row.
    :raises ArtifactError: If the model or the examples are gone or were changed.
    """
    store, spec = workspace.store, workspace.spec
    manifest = _manifest(store, spec, day)
    rows = from_parquet(read_object(store, manifest.examples))
    number = _row_number(rows, spec, row=row, entity=entity or {})
    chosen, others = rows.iloc[[number]], rows.drop(index=rows.index[number])
    size = min(len(others), REFERENCE_ROWS)
    reference = others.sample(n=size, random_state=spec.seed) if size else chosen
    model = _load(workspace, manifest)
    found = explain_row(model, chosen, reference, spec=spec)
    hidden = frozenset() if show_personal else spec.personal_inputs
    raw_hidden = frozenset() if show_personal else _personal_columns(spec) | spec.personal_inputs
    return ExplainedPrediction(
        model=spec.model,
        day=day,
        version=manifest.version,
        row=number,
        entity={
            name: REMOVED if name in raw_hidden else _text(chosen[name].iloc[0])
            for name in spec.examples.entity_key
        },
        as_read=tuple(_raw_rows(store, spec, day, chosen, hidden=raw_hidden)),
        answer=found.answer,
        prediction=found.prediction,
        stored=_stored(store, manifest, number, class_name=found.class_name),
        reference_rows=found.reference_rows,
        contributions=tuple(_without(found.contributions, hidden)),
    )


def _manifest(store: ObjectStore, spec: ModelSpec, day: date) -> PredictionsManifest:
    try:
        key = layout.predictions_manifest(spec.model, day)
        return load_document(store, key, PredictionsManifest)
    except FileNotFoundError:
        raise ExplanationError(
            f"{spec.model} has no predictions of {day}, so no row of it can be explained. Name a "
            f"scored day, or run {spec.model}__score for this one."
        ) from None


def _load(workspace: Workspace, manifest: PredictionsManifest) -> Pipeline:
    spec = workspace.spec
    version = workspace.client.get_model_version(spec.model, manifest.version)
    return load_version(workspace.client, spec, version, sha256=manifest.artifact_sha256)


def _row_number(
    rows: pd.DataFrame, spec: ModelSpec, *, row: int | None, entity: Mapping[str, str]
) -> int:
    if (row is None) == (not entity):
        raise ExplanationError("Name either a row by its number or an entity by its key.")
    if row is not None:
        if not 0 <= row < len(rows):
            raise ExplanationError(f"There is no row {row}; the day has rows 0 to {len(rows) - 1}.")
        return row
    keys = spec.examples.entity_key
    if unknown := sorted(set(entity) - set(keys)):
        raise ExplanationError(f"{unknown} are not in the entity key, which is {list(keys)}.")
    fits = np.ones(len(rows), dtype=bool)
    for name, text in entity.items():
        fits &= (rows[name] == _typed(text, rows[name], name=name)).to_numpy(dtype=bool)
    found = np.flatnonzero(fits)
    if len(found) != 1:
        rest = [name for name in keys if name not in entity]
        more = f" Name more of {rest}." if len(found) and rest else ""
        raise ExplanationError(f"{len(found)} of {len(rows)} rows have that key, expected 1.{more}")
    return int(found[0])


def _typed(text: str, values: pd.Series, *, name: str) -> object:
    """Return *text* as a value of the column *values*."""
    try:
        if pd.api.types.is_datetime64_any_dtype(values):
            instant = pd.Timestamp(text)
            return instant.tz_localize("UTC") if instant.tzinfo is None else instant
        return float(text) if pd.api.types.is_numeric_dtype(values) else text
    except ValueError:
        raise ExplanationError(f"{name}: found {text!r}, expected {values.dtype}.") from None


def _raw_rows(
    store: ObjectStore,
    spec: ModelSpec,
    day: date,
    chosen: pd.DataFrame,
    *,
    hidden: frozenset[str],
) -> Iterator[RawRow]:
    """Yield the raw rows of the day with the entity key of *chosen*, of each table that has it."""
    keys = list(spec.examples.entity_key)
    for table in spec.tables:
        part = partition(spec, table=table, day=day)
        try:
            stored = open_partition(part, store.get(part.key))
            frame = raw_frame(stored, contract=spec.contract_of(table), part=part)
        except (FileNotFoundError, DataContractError):
            continue  # raw data may be kept for a shorter time than predictions
        if not set(keys) <= set(frame.columns):
            continue
        fits = np.logical_and.reduce([frame[k] == chosen[k].iloc[0] for k in keys])
        for values in frame[fits].head(SHOWN_ROWS).to_dict("records"):
            shown = {
                str(name): REMOVED if name in hidden else _text(value)
                for name, value in values.items()
            }
            yield RawRow(table=table, values=shown)


def _personal_columns(spec: ModelSpec) -> frozenset[str]:
    tables = (spec.contract_of(table) for table in spec.tables)
    return frozenset().union(*(contract.personal_columns for contract in tables))


def _stored(
    store: ObjectStore, manifest: PredictionsManifest, row: int, *, class_name: str | None
) -> float | None:
    """Return the stored prediction of *row*; of several classes, that of the explained one."""
    try:
        kept = from_parquet(store.get(manifest.predictions.key)).iloc[row]
    except FileNotFoundError:
        return None
    value = kept.get("score" if class_name is None else f"score_{class_name}")
    return None if value is None else float(value)


def _without(found: Sequence[Contribution], hidden: frozenset[str]) -> Iterator[Contribution]:
    for one in found:
        removed = {"value": REMOVED, "usual": REMOVED} if one.name in hidden else {}
        yield one.model_copy(update=removed)


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return "none" if pd.isna(value) else value.isoformat()
    return "none" if pd.isna(value) else str(value)


def _short(value: float | str | None) -> str:
    return "none" if value is None else f"{value:.6g}" if isinstance(value, float) else value
