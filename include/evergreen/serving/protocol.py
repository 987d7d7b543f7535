"""
The two forms of a request and its answer: Open Inference Protocol, and MLflow's invocations.

https://github.com/open-inference/open-inference-protocol (REST) and
https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally/ ("Inference Server").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from evergreen.serving.inputs import Columns, InputError, escaped

if TYPE_CHECKING:
    from evergreen.serving.endpoint import PredictionResult

_SCALAR = {"anyOf": [{"type": kind} for kind in ("number", "string", "boolean", "null")]}
#: Checked value by value against the model, with better words than a type error has.
Value = Annotated[Any, WithJsonSchema(_SCALAR)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Tensor(_Body):
    """One column of the inputs: as many values as there are rows."""

    name: str
    shape: list[int] = Field(min_length=1, max_length=2)
    datatype: str
    data: list[Value]
    parameters: dict[str, Any] | None = None


class InferRequest(_Body):
    """Rows as one tensor per column; all have the shape ``[rows]`` or ``[rows, 1]``."""

    id: str | None = Field(default=None, max_length=200)
    inputs: list[Tensor] = Field(min_length=1)
    parameters: dict[str, Any] | None = None
    outputs: list[dict[str, Any]] | None = None

    def columns(self) -> Columns:
        """
        Return the values by column.

        :raises InputError: If a tensor is no column, or comes twice.
        """
        found: dict[str, list[Any]] = {}
        for tensor in self.inputs:
            rows = len(tensor.data)
            if tensor.shape not in ([rows], [rows, 1]) or tensor.name in found:
                again = " a second time" if tensor.name in found else ""
                raise InputError(
                    f"input {escaped(tensor.name[:100])}: found {rows} values of shape "
                    f"{tensor.shape[:3]}{again}, expected each column once, of shape [rows]"
                )
            is_nested = len(tensor.shape) == 2 and all(
                isinstance(value, list) and len(value) == 1 for value in tensor.data
            )
            found[tensor.name] = [v[0] for v in tensor.data] if is_nested else tensor.data
        return found

    @property
    def booleans(self) -> frozenset[str]:
        """The columns that are declared as booleans."""
        return frozenset(tensor.name for tensor in self.inputs if tensor.datatype == "BOOL")


class Split(_Body):
    """Rows as MLflow's ``dataframe_split``; an index is let through and not used."""

    columns: list[str] = Field(min_length=1)
    data: list[list[Value]]
    index: list[Any] | None = None


class InvocationsRequest(_Body):
    """Rows as MLflow's server takes them: give one of the two."""

    dataframe_split: Split | None = None
    dataframe_records: list[dict[str, Value]] | None = None
    params: dict[str, Any] | None = None

    @property
    def booleans(self) -> frozenset[str]:
        """None: this form declares no types."""
        return frozenset()

    @model_validator(mode="after")
    def _has_one(self) -> Self:
        if (self.dataframe_split is None) == (self.dataframe_records is None):
            raise ValueError("give either dataframe_split or dataframe_records")
        return self

    def columns(self) -> Columns:
        """
        Return the values by column.

        :raises InputError: If a row has more or fewer values than there are columns.
        """
        split = self.dataframe_split
        if split is None:
            records = self.dataframe_records or []
            names = list(records[0]) if records else []
            split = Split(columns=names or ["none"], data=[])
            for row, record in enumerate(records):
                if record.keys() != set(names):
                    other = escaped(sorted(record.keys() ^ set(names))[0][:100])
                    raise InputError(
                        f"row {row} differs from row 0 in column {other}: each row must have the "
                        "same columns, with null for the unknown"
                    )
            return {name: [record[name] for record in records] for name in names}
        width = len(split.columns)
        if len(set(split.columns)) < width:
            raise InputError("a column is named more than once, expected each once")
        for row, values in enumerate(split.data):
            if len(values) != width:
                raise InputError(f"row {row}: found {len(values)} values, expected {width}")
        turned = zip(*split.data, strict=True) if split.data else ((),) * width
        return dict(zip(split.columns, turned, strict=True))


def infer_answer(request: InferRequest, model: str, answer: PredictionResult) -> dict[str, Any]:
    """
    Return the answer in the Open Inference Protocol.

    Output ``score`` is the probability of the positive class, ``[rows, classes]`` for several
    classes (named in ``parameters``), or the number. ``version`` says who answered each row.
    """
    score, rows = answer.scores, len(answer.versions)
    outputs = [
        {
            "name": "score",
            "shape": list(score.shape),
            "datatype": "FP64",
            "data": score.ravel().tolist(),
        },
        {"name": "version", "shape": [rows], "datatype": "BYTES", "data": answer.versions},
    ]
    if answer.classes and score.ndim == 2:
        likeliest = [answer.classes[n] for n in score.argmax(axis=1)]
        outputs.append(
            {"name": "predicted_class", "shape": [rows], "datatype": "BYTES", "data": likeliest}
        )
    found: dict[str, Any] = {
        "model_name": model,
        "model_version": answer.versions[0],
        "outputs": outputs,
        "parameters": {"classes": list(answer.classes)} if answer.classes else {},
    }
    return found | ({"id": request.id} if request.id is not None else {})


def invocations_answer(model: str, answer: PredictionResult) -> dict[str, Any]:
    """Return the answer as MLflow's server gives it: probabilities of each class, or numbers."""
    scores = answer.scores
    is_binary = scores.ndim == 1 and bool(answer.classes)
    outputs = [[1 - p, p] for p in scores.tolist()] if is_binary else scores.tolist()
    return {"predictions": outputs, "model_name": model, "model_versions": _short(answer.versions)}


def _short(versions: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(versions))
