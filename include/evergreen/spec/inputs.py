"""What a spec says about its inputs beyond their types, and which tests of CI belong to a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from evergreen.spec.checks import Owner
from evergreen.spec.data import ColumnNames, TableContract
from evergreen.values import Frozen

#: The beginning of a JUnit class name: dotted names, such as ``tests.models.test_prepare``.
DottedName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]


class InputGroup(Frozen):
    """
    Inputs that come from one place and are kept or dropped together.

    ``owner`` answers for them, by default the owner of the model. ``personal`` says whether they
    are personal data; null is no answer. Personal data needs a ``purpose``. ``min_gain`` is what
    the group costs to keep, as the gain on the primary metric that it must bring at least.
    """

    columns: ColumnNames
    owner: Owner | None = None
    personal: bool | None = None
    purpose: str | None = Field(default=None, min_length=1, max_length=1_000)
    min_gain: float | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _personal_data_has_a_purpose(self) -> Self:
        if self.personal and self.purpose is None:
            raise ValueError(
                f"{list(self.columns)} are declared personal and are inputs, which needs a reason: "
                "write purpose, or leave them out of the inputs"
            )
        if self.purpose is not None and not self.personal:
            raise ValueError("purpose is for personal data; write personal: true, or leave it out")
        return self


class CiTests(Frozen):
    """
    Which tests of the CI run are about what, by the beginnings of their JUnit class names.

    ``unit``: the code that specifies the model. ``inputs``: the code that prepares the inputs.
    ``integration``: the whole pipeline. ``new_input``: adds an input and trains with it.
    """

    unit: tuple[DottedName, ...] = ()
    inputs: tuple[DottedName, ...] = ()
    integration: tuple[DottedName, ...] = ()
    new_input: tuple[DottedName, ...] = ()


def refuse_contradictions(
    groups: Mapping[str, InputGroup],
    *,
    inputs: Iterable[str],
    contract: Mapping[str, TableContract],
    slices: Iterable[str],
) -> None:
    """
    Check *groups* against the rest of the spec.

    :param inputs: All inputs of the model.
    :param slices: The inputs whose values the gates and pages name.
    :raises ValueError: If a group names what is no input, two groups name the same input, the
        contract says otherwise of an input's column, or a page would show personal values.
    """
    named = Counter(name for group in groups.values() for name in group.columns)
    if unknown := sorted(set(named) - set(inputs)):
        raise ValueError(f"inputs: {unknown} are not inputs of the model")
    if twice := sorted(name for name, times in named.items() if times > 1):
        raise ValueError(f"inputs: {twice} are named more than once; keep one group for each")
    personal = {n for group in groups.values() if group.personal for n in group.columns}
    if shown := sorted(personal & set(slices)):
        raise ValueError(
            f"gates.slices.columns: {shown} are personal data, and pages name each slice by its "
            "value; leave them out"
        )
    for table, rules in contract.items():
        described = set(inputs) & set(rules.columns)
        if differing := sorted((rules.personal_columns ^ personal) & described):
            raise ValueError(
                f"contract.{table}.columns: {differing} are inputs, and only one of inputs and "
                "contract declares them personal; declare it in both, with a purpose in inputs"
            )
