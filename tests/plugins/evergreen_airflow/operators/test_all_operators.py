"""Rules every operator keeps, those nobody has written yet included."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG, BaseOperator, Param
from airflow.sdk.definitions.param import process_params

from evergreen.errors import AsOfError
from evergreen_airflow.hooks.registry import ModelRegistryHook
from evergreen_airflow.hooks.storage import ObjectStoreHook
from evergreen_airflow.operators.base import ModelOperator, StageOperator
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
    and cls not in (ModelOperator, RolloutOperator, StageOperator)
]


def build(cls: type[BaseOperator]) -> BaseOperator:
    """Build with a Jinja string for every argument that is templated or has no default."""
    named = inspect.signature(cls.__init__).parameters.values()
    required = {
        p.name: f"{{{{ {p.name} }}}}"
        for p in named
        if p.kind is p.KEYWORD_ONLY and p.default is p.empty
    } | {name: f"{{{{ {name} }}}}" for name in cls.template_fields}
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


@pytest.mark.parametrize("cls", OPERATORS, ids=lambda c: c.__name__)
@pytest.mark.parametrize("key", ["dry_rum", "dryrun", "asof", "versoin", "message", "Dry_Run", ""])
def test_it_refuses_a_key_that_its_dag_does_not_declare(cls, key, monkeypatch):
    """The context's params hold the key: Airflow merges the configuration into them."""
    for hook in (ObjectStoreHook, ModelRegistryHook):
        monkeypatch.setattr(hook, "get_connection", pytest.fail)
    with DAG("a_model__a_workflow", schedule=None, params={"dry_run": Param(False)}) as dag:
        operator = build(cls)
    if key in operator.params:
        pytest.skip(f"{cls.__name__} declares {key} itself")
    conf = {key: True}
    params = process_params(dag, operator, conf, suppress_exception=False)
    assert key in params
    run = SimpleNamespace(conf=conf)
    context = {"dag": dag, "task": operator, "dag_run": run, "params": params}

    with pytest.raises(AsOfError, match=rf"unknown keys \['{key}'\]; known are \['dry_run'"):
        operator.execute(context)


@pytest.mark.parametrize("hook", [ObjectStoreHook, ModelRegistryHook], ids=lambda c: c.__name__)
def test_an_empty_connection_is_explained(hook, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_EMPTY", '{"conn_type": "generic"}')

    with pytest.raises(ValueError, match=r"Connection 'empty' .* Set "):
        _ = hook("empty").store if hook is ObjectStoreHook else hook("empty").client
