"""Every option we set is one that this Airflow knows; a misspelt one is ignored without a word."""

from __future__ import annotations

import re

import pytest
import yaml
from airflow.configuration import conf

from tests.conftest import ROOT, embedded_environment

#: Our own section.
OURS = "evergreen"


def of_embedded() -> set[str]:
    return set(embedded_environment())


def of_compose() -> set[str]:
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
    return {name for service in services.values() for name in service.get("environment", {})}


def of_kubernetes() -> set[str]:
    values = yaml.safe_load((ROOT / "include/deploy/kubernetes/values.yaml").read_text())
    config = {
        f"AIRFLOW__{section}__{option}".upper()
        for section, options in values["config"].items()
        for option in options
    }
    return config | {variable["name"] for variable in values["env"]}


@pytest.mark.parametrize("asked", [of_embedded, of_compose, of_kubernetes])
def test_an_option_is_one_that_airflow_has(asked):
    known = {
        (section, option)
        for section, described in conf.configuration_description.items()
        for option in described["options"]
    }
    set_ones = {
        (m[1].lower(), m[2].lower())
        for name in asked()
        if (m := re.fullmatch(r"AIRFLOW__([A-Z_]+?)__([A-Z_]+)", name))
    }

    assert len(set_ones) > 8
    assert {one for one in set_ones if one[0] != OURS} <= known


def test_values_for_kubernetes_hold_no_secret_and_pin_our_airflow():
    text = (ROOT / "include/deploy/kubernetes/values.yaml").read_text()
    values = yaml.safe_load(text)
    pinned = re.search(r"^apache-airflow==([\d.]+)", (ROOT / "requirements.in").read_text(), re.M)

    assert values["airflowVersion"] == pinned[1]
    assert not re.search(r"(?i)(password|secret_?key|token|fernetKey):\s*[\"']?\w", text)
    assert values["executor"] == "KubernetesExecutor"
