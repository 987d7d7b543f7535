"""Refuse settings without an effect beside the others, and combinations that cannot work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from evergreen.spec.checks import hours_between

#: A ``ModelSpec``, whose module imports this one.
ModelSpec = Any


class _Setting(NamedTuple):
    """A setting, when it is used, and why it has no effect otherwise."""

    key: str
    is_used: Callable[[ModelSpec], bool]
    reason: str


_DIRECT = "deployment.mode is direct, so there is no stage"
_UNASKED = "deployment.approval.required is false, so no question is put"
#: What is ignored unless something else is set too.
SETTINGS = (
    _Setting("deployment.approval.users", lambda s: s.deployment.approval.required, _UNASKED),
    _Setting(
        "deployment.approval.within_hours", lambda s: s.deployment.approval.required, _UNASKED
    ),
    _Setting("deployment.shadow", lambda s: s.deployment.mode != "direct", _DIRECT),
    _Setting("deployment.limits", lambda s: s.deployment.mode != "direct", _DIRECT),
    _Setting(
        "deployment.canary",
        lambda s: s.deployment.mode == "canary",
        "deployment.mode is not canary, so no step is taken",
    ),
    _Setting(
        "examples.positive_class",
        lambda s: s.examples.problem == "binary",
        "examples.problem is not binary, so no class is the positive one",
    ),
    _Setting(
        "examples.negative_class",
        lambda s: s.examples.problem == "binary",
        "examples.problem is not binary, so no class is the negative one",
    ),
    _Setting(
        "service",
        lambda s: s.deployment.target == "server",
        "deployment.target is not server, so the model server gets no requests",
    ),
    _Setting(
        "staleness.max_loss",
        lambda s: None in (s.staleness.champion_days, s.staleness.data_days),
        "champion_days and data_days are both given, so no backtest is asked",
    ),
    *(
        _Setting(
            f"gates.slices.{name}",
            lambda s: bool(s.gates.slices.columns),
            "gates.slices.columns names no input, so there is no slice",
        )
        for name in ("min_rows", "max_drop", "confidence")
    ),
)


def refuse_useless_settings(spec: ModelSpec) -> None:
    """
    Check that everything *spec* sets has an effect and can be done.

    :raises ValueError: With each setting that has none, and why.
    """
    if faults := [*_ignored(spec), *_impossible(spec)]:
        raise ValueError("; ".join(faults))


def _ignored(spec: ModelSpec) -> Iterator[str]:
    for key, is_used, reason in SETTINGS:
        if _is_set(spec, key) and not is_used(spec):
            yield f"{key} has no effect: {reason}. Leave it out, or change the other setting"
    for table, contract in spec.contract.items():
        if _differs(contract, "fresh_within_hours") and contract.event_time is None:
            yield (
                f"contract.{table}.fresh_within_hours has no effect without event_time; name the "
                "column that says when a row happened"
            )
    watched = spec.drift.columns
    if watched is not None and (other := sorted(set(spec.drift.weights) - set(watched))):
        yield f"drift.weights: {other} are not in drift.columns, so their weights have no effect"


def _is_set(spec: ModelSpec, key: str) -> bool:
    """Return whether *key* has another value than its default; a stored spec has every key."""
    *path, name = key.split(".")
    part: object = spec
    for section in path:
        part = getattr(part, section)
    return _differs(part, name)


def _differs(section: Any, name: str) -> bool:
    default = type(section).model_fields[name].get_default(call_default_factory=True)
    value = getattr(section, name)
    is_other_kind = isinstance(value, bool) != isinstance(default, bool)  # 1 equals true
    return bool(is_other_kind or value != default)


def _impossible(spec: ModelSpec) -> Iterator[str]:
    schedule = spec.schedule_of("retrain")
    if spec.deployment.answer_hours > (least := hours_between(schedule)[0]):
        yield (
            f"deployment: people and stages may take {spec.deployment.answer_hours:g} hours, and "
            f"the next run of schedule {schedule!r}, which waits for them, begins after "
            f"{least:g}; shorten approval.within_hours or the stages"
        )
    if spec.drift.persistence[1] > spec.drift.history_days:
        yield (
            f"drift.persistence looks at {spec.drift.persistence[1]} days, and drift.history_days "
            f"keeps {spec.drift.history_days}; use at most so many"
        )
    late = max(spec.window.label_delay_days, spec.quality.delay_days)
    for name, table in spec.source.extracted.items():
        columns = spec.contract_of(name).columns.values()
        if any(rule.known_later for rule in columns) and table.refresh_days <= late:
            yield (
                f"source.{spec.source.kind}.{name}.refresh_days is {table.refresh_days}, and "
                f"labels may come {late} days later, when the day is not read again; use at least "
                f"{late + 1}"
            )
