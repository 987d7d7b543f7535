"""Rules every operator keeps, those nobody has written yet included."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.sdk import BaseOperator

from evergreen.errors import AsOfError
from evergreen_airflow.hooks.registry import ModelRegistryHook
from evergreen_airflow.hooks.storage import ObjectStoreHook
from evergreen_airflow.operators.base import ModelOperator, StageOperator, WatcherOperator
from evergreen_airflow.operators.rollout import RolloutOperator

PACKAGE = Path(__file__).parents[4] / "plugins" / "evergreen_airflow"
MODULES = [
    f"evergreen_airflow.{folder}.{path.stem}"
    for folder in ("operators", "sensors")
    for path in sorted((PACKAGE / folder).glob("[a-z]*.py"))
]
OPERATORS = [
    cls
    for name in MODULES
    for _, cls in inspect.getmembers(importlib.import_module(name), inspect.isclass)
    if issubclass(cls, BaseOperator)
    and cls.__module__ == name
    and cls not in (ModelOperator, RolloutOperator, StageOperator, WatcherOperator)
]


def build(cls: type[BaseOperator]) -> BaseOperator:
    """Build with a Jinja string for every argument that is templated or has no default."""
    named = inspect.signature(cls.__init__).parameters.values()
    required = {
        p.name: f"{{{{ {p.name} }}}}"
        for p in named
        if p.kind is p.KEYWORD_ONLY and (p.default is p.empty or p.name in cls.template_fields)
    }
    if issubclass(cls, ModelOperator):
        required["model"] = "{{ model }}"
    return cls(task_id="t", **required)


def test_there_are_operators():
    assert len(OPERATORS) >= 9


@pytest.mark.parametrize("cls", OPERATORS, ids=lambda c: c.__name__)
def test_building_the_task_touches_nothing(cls, monkeypatch):
    """Operators are built on every parse, so the constructor may only remember."""
    for hook in (ObjectStoreHook, ModelRegistryHook):
        monkeypatch.setattr(hook, "get_connection", pytest.fail)

    build(cls)


@pytest.mark.parametrize("cls", OPERATORS, ids=lambda c: c.__name__)
def test_every_template_field_is_a_plain_attribute(cls):
    """Airflow renders by name: a renamed or derived attribute is silently left as Jinja."""
    operator = build(cls)

    assert {f: getattr(operator, f) for f in cls.template_fields} == {
        f: f"{{{{ {f} }}}}" for f in cls.template_fields
    }


@pytest.mark.parametrize("cls", OPERATORS, ids=lambda c: c.__name__)
def test_it_says_what_makes_a_second_try_safe(cls):
    assert "Safe to retry" in (cls.__doc__ or "")


@pytest.mark.parametrize(
    "cls", [c for c in OPERATORS if issubclass(c, StageOperator)], ids=lambda c: c.__name__
)
def test_a_stage_refuses_what_its_form_does_not_ask(cls, monkeypatch):
    """A misspelt key must not be a run that does something else."""
    for hook in (ObjectStoreHook, ModelRegistryHook):
        monkeypatch.setattr(hook, "get_connection", pytest.fail)
    run = SimpleNamespace(conf={"dry_rum": True})

    with pytest.raises(AsOfError, match=r"unknown keys \['dry_rum'\]; known are \['dry_run'\]"):
        build(cls).execute({"dag_run": run, "params": {"dry_run": False}})


@pytest.mark.parametrize("hook", [ObjectStoreHook, ModelRegistryHook], ids=lambda c: c.__name__)
def test_an_empty_connection_is_explained(hook, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_EMPTY", '{"conn_type": "generic"}')

    with pytest.raises(ValueError, match=r"Connection 'empty' .* Set "):
        _ = hook("empty").store if hook is ObjectStoreHook else hook("empty").client
