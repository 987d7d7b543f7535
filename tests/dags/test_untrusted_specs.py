"""
Whatever the folder of one model holds, the DAGs of the others are all there.

Each case is put beside the real flight_delay and parsed by a real DagBag, in a fork of one process
that has imported Airflow already.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.project import copy_code

ROOT = Path(__file__).parents[2]
GOOD = (ROOT / "include" / "models" / "flight_delay" / "model.yaml").read_text()
BROKEN = GOOD.replace("model: flight_delay", "model: broken")
WORKFLOWS = {
    "retrain",
    "score",
    "monitor",
    "rollback",
    "backtest",
    "reproduce",
    "promote",
    "housekeeping",
}
#: A DAG file in which the DAG of one model fails half-way, for a reason that no check foresees.
EXTRA = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import dag

from evergreen_airflow.building import build_dags


def extra(spec):
    @dag(dag_id=f"{spec.model}__extra", schedule=None)
    def build():
        EmptyOperator(task_id="first")
        if spec.model == "broken":
            raise OSError("no such thing")

    build()


build_dags("extra", extra)
"""

#: For each case: put its folder in the place of the models, parse in a fork, tell what was found.
PROBE = """
import json, os, resource, shutil, signal, sys, time
from pathlib import Path
root, cases = Path(sys.argv[1]), Path(sys.argv[2])
import airflow.dag_processing.dagbag as dagbag
import evergreen_airflow.defaults
warm = dagbag.DagBag(str(root / "dags"))

def parse(case, name):
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.process_time()
    if (asked := case / "asked").exists():
        os.environ["_AIRFLOW_PARSING_CONTEXT_DAG_ID"] = asked.read_text()
    bag = dagbag.DagBag(str(root / "dags"))
    seconds = time.process_time() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    found = {"dags": sorted(bag.dags), "seconds": seconds, "grown_mib": grown,
             "errors": {Path(k).name: v for k, v in bag.import_errors.items()}}
    (cases / f"{name}.json").write_text(json.dumps(found))

for case in sorted(p for p in cases.iterdir() if p.is_dir()):
    models = root / "include" / "models" / "broken"
    shutil.rmtree(models, ignore_errors=True)
    shutil.move(case / "broken", models)
    extra = root / "dags" / "extra.py"
    extra.unlink(missing_ok=True)
    if (case / "extra.py").exists():
        shutil.copy(case / "extra.py", extra)
    child = os.fork()
    if not child:
        try:
            parse(case, case.name)
        finally:
            os._exit(0)
    until = time.monotonic() + 40
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        time.sleep(0.01)
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
"""


def aliases(first: str, each: str, count: int = 9) -> str:
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{n}: &a{n} {each.replace('*', f'*a{n - 1}')}" for n in range(1, count)]
    rest = BROKEN.replace("description: ", f"description: *a{count - 1}  # ", 1)
    return "\n".join([*lines, rest])


def changed(old: str, new: str) -> str:
    assert old in BROKEN
    return BROKEN.replace(old, new, 1)


def more(text: str) -> str:
    return BROKEN + text + "\n"


def schedule(cron: str) -> str:
    return changed('schedule: "0 6 * * *"', f"schedule: {json.dumps(cron)}")


def start(text: str) -> str:
    return changed("start_date: 2013-01-01", f"start_date: {text}")


def candidates(text: str) -> str:
    return BROKEN[: BROKEN.index("candidates:")] + text + "\n"


def path(key: str) -> str:
    return changed('flights: {path: "raw/flights/{day}.parquet"', f'flights: {{path: "{key}"')


@dataclass(frozen=True, kw_only=True)
class Case:
    """What stands in the place of model.yaml, and what its error must say."""

    content: str | bytes | None = None
    says: tuple[str, ...] = ()
    built: frozenset[str] = frozenset()


def is_refused(content: str | bytes | None, *says: str) -> Case:
    return Case(content=content, says=says)


CASES = {
    # The rows that took the DAGs of every model.
    "time_zone_with_a_space": is_refused(
        more("timezone: New York"), "timezone: found 'New York'", "America/New_York"
    ),
    "time_zone_misspelt": is_refused(more("timezone: Mars/Olympus"), "timezone", "Europe/Berlin"),
    "time_zone_is_a_folder": is_refused(more("timezone: Europe"), "timezone: found 'Europe'"),
    "time_zone_of_the_machine": is_refused(more("timezone: localtime"), "timezone"),
    "date_that_is_none": is_refused(start("2026-02-30"), "start_date: found '2026-02-30'"),
    "date_as_a_number": is_refused(start("20260230"), "start_date: found 20260230", "2026-01-31"),
    "date_with_hour_99": is_refused(start("2026-01-01 99:00:00"), "start_date: found"),
    "date_before_time_zones": is_refused(start("0001-01-01"), "start_date", "1970-01-01"),
    "date_after_all_times": is_refused(start("9999-12-31"), "start_date", "2199-12-31"),
    "candidates_with_dashes_and_settings": is_refused(
        candidates("candidates:\n  - linear: {}"), "candidates: found {linear: {}}", "names"
    ),
    "template_without_quotes": is_refused(
        changed("label: is_late", "label: {{ x }}"), "examples.label: found", "quotes"
    ),
    "integer_of_5000_digits": is_refused(
        more("seed: " + "9" * 5_000), "seed: found a number of 5000 characters", "quotes"
    ),
    "hexadecimal_of_5000_digits": is_refused(more("seed: 0x" + "f" * 5_000), "seed: found"),
    "question_open_for_ever": is_refused(
        more("deployment: {approval: {required: true, within_hours: 1e300}}"),
        "deployment.approval.within_hours: found",
        "at most 8784",
    ),
    "aliases_of_text": is_refused(
        aliases("lol", "[*, *, *, *, *, *, *, *, *, *]"), "50,000 values", "aliases"
    ),
    "aliases_of_merged_keys": is_refused(
        aliases("{k: v}", "{<<: [*, *, *, *, *, *, *, *, *, *]}"), "50,000 values"
    ),
    "alias_of_itself": is_refused("a: &a [*a]\n" + BROKEN, "within each other"),
    "five_million_numbers": is_refused(
        changed("[sample]", "[" + "1," * 5_000_000 + "1]"), "more than 256 KiB"
    ),
    "a_hundred_thousand_numbers": is_refused(
        changed("[sample]", "[" + "1," * 100_000 + "1]"), "50,000 values", "See line"
    ),
    # The rows that took the DAGs of their own model, late or without a name.
    "hour_25": is_refused(schedule("0 25 * * *"), "schedule: found '25' as the hour", "0 to 23"),
    "three_fields": is_refused(schedule("0 6 *"), "schedule: schedule must be five cron fields"),
    "six_fields": is_refused(schedule("0 0 6 * * *"), "schedule must be five cron fields"),
    "never_due": is_refused(schedule("0 6 30 2 *"), "schedule: found", "never due"),
    "random_hour": is_refused(schedule("0 R * * *"), "schedule: found 'R' as the hour"),
    "unknown_preset": is_refused(schedule("@nightly"), "schedule must be five cron fields"),
    "day_in_another_form": is_refused(
        path("raw/{day:%Y/%m/%d}.parquet"), "source.files.flights.path: found", "2026-01-31"
    ),
    "day_without_dashes": is_refused(path("raw/{day:%Y%m%d}.parquet"), "source.files.flights"),
    "day_as_repr": is_refused(path("raw/{day!r}.parquet"), "source.files.flights"),
    "path_with_a_space": is_refused(path("raw/a b/{day}.parquet"), "source.files.flights", "key"),
    "path_with_a_wildcard": is_refused(path("raw/*/{day}.parquet"), "source.files.flights"),
    "path_from_the_root": is_refused(path("/raw/{day}.parquet"), "source.files.flights", "slash"),
    "path_with_a_bucket": is_refused(path("s3://b/{day}.parquet"), "source.files.flights"),
    "path_upwards": is_refused(path("../raw/{day}.parquet"), "source.files.flights"),
    "path_with_an_open_brace": is_refused(path("raw/{day.parquet"), "source.files.flights"),
    "path_of_900_characters": is_refused(path("raw/" + "a" * 900 + "/{day}"), "bytes"),
    "pattern_that_is_none": is_refused(
        changed('pattern: "[A-Z0-9]{2}"', 'pattern: "("'),
        "contract.flights.columns.carrier.pattern: found '('",
        "regular expression",
    ),
    "table_upwards": is_refused(
        changed("    weather: {", "    ../x: {"), "source.files.../x: found '../x'", "a name of"
    ),
    "executor_that_is_none": Case(
        content=more("engine: {executor: NoSuchExecutor}"),
        says=("broken__retrain", "engine.executor: found 'NoSuchExecutor'", "[core] executor"),
        built=frozenset(WORKFLOWS - {"retrain"}),
    ),
    "floor_in_percent": is_refused(
        changed("{roc_auc: 0.58}", "{roc_auc: 60}"), "gates.floors: found roc_auc: 60", "at most 1"
    ),
    "user_without_a_list": is_refused(
        more("deployment: {approval: {users: ann}}"),
        "deployment.approval.users: found 'ann'; expected a list, for example [ann]",
    ),
    "candidate_without_a_list": is_refused(
        candidates("candidates: x"), "candidates: found 'x'; expected a list, for example [x]"
    ),
    # Of the same kind.
    "tag_of_101_characters": is_refused(
        changed("[sample]", f"[{'t' * 101}]"), "tags.0: found", "at most 100 characters"
    ),
    "empty_tag": is_refused(changed("[sample]", '[""]'), "tags.0: found ''", "one line"),
    "owner_of_two_lines": is_refused(
        changed("owner: data-science", 'owner: "a\\nb"'), "owner: found", "one line"
    ),
    "owner_of_3000_characters": is_refused(
        changed("owner: data-science", "owner: " + "o" * 3_000), "owner: found", "200 characters"
    ),
    "connection_with_a_space": is_refused(
        more("alerts: {connections: [a b]}"), "alerts.connections.0: found 'a b'"
    ),
    "late_after_for_ever": is_refused(more("alerts: {late_after_hours: 1e300}"), "at most 240"),
    "wait_for_ever": is_refused(
        changed("source:\n", "source:\n  wait_hours: .inf\n"), "source.wait_hours: found inf"
    ),
    "canary_for_ever": is_refused(
        more("deployment: {mode: canary, canary: {steps: [{share: 0.1, minutes: 1e300}]}}"),
        "deployment.canary.steps.0.minutes: found",
    ),
    "nothing": is_refused("", "found nothing"),
    "list": is_refused("- 1", "found [1]"),
    "open_bracket": is_refused("a: [", "is not valid YAML", "See line"),
    "not_utf8": is_refused(BROKEN.encode("utf-16"), "UTF-8"),
    "byte_that_is_not_utf8": is_refused(BROKEN.encode() + b"x: \xff\n", "0xff", "See line"),
    "nul_character": is_refused(changed("sample", '"\\0"'), "tags.0: found the control character"),
    "surrogate": is_refused(changed("sample", '"\\ud800"'), "is not valid YAML"),
    "deep_lists": is_refused(more("x: " + "[" * 100), "within each other"),
    "very_deep_lists": is_refused(more("x: " + "[" * 100_000), "maximum nesting depth"),
    "deep_mappings": is_refused(more("x: " + "{a: " * 50_000), "within each other"),
    "list_as_a_key": is_refused(more("? [a, b]\n: 1"), "where a key must stand"),
    "number_as_a_key": is_refused(more("1: x"), "found the key '1'", "quotes"),
    "python_object": is_refused(more("x: !!python/object:os.system {}"), "x: found the tag"),
    "binary": is_refused(more("x: !!binary aGk="), "x: found the tag"),
    "integer_that_is_none": is_refused(more("seed: !!int ''"), "seed: found ''"),
    "boolean_that_is_none": is_refused(more("seed: !!bool maybe"), "seed: found 'maybe'"),
    "ten_thousand_unknown_keys": is_refused(
        more("\n".join(f"k{n}: 1" for n in range(10_000))), "unknown key", "9990 more faults"
    ),
    "key_of_1000_characters": is_refused(more("k" * 1_000 + ": 1"), "unknown key"),
    "key_of_100000_characters": is_refused(more("k" * 100_000 + ": 1"), "is not valid YAML"),
}


@pytest.fixture(scope="session")
def parsed(tmp_path_factory) -> dict[str, dict]:
    """What the DagBag found in each case."""
    root, cases = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("cases")
    copy_code(root)
    for name, case in CASES.items():
        folder = cases / name / "broken"
        folder.mkdir(parents=True)
        data = case.content.encode() if isinstance(case.content, str) else case.content
        (folder / "model.yaml").write_bytes(data or b"")
    _odd_files(cases)
    _failing_builds(cases)
    paths = os.pathsep.join(str(root / name) for name in ("include", "plugins"))
    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(root), str(cases)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": paths, "AIRFLOW__CORE__UNIT_TEST_MODE": "False"},
    )
    found = {p.stem: json.loads(p.read_text()) for p in cases.glob("*.json")}
    assert done.returncode == 0, done.stderr[-3000:]
    return found


def _odd_files(cases: Path) -> None:
    folders = {name: cases / name / "broken" for name in ("folder", "link", "loop", "pipe", "code")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    (folders["folder"] / "model.yaml").mkdir()
    (folders["link"] / "model.yaml").symlink_to("nowhere")
    (folders["loop"] / "model.yaml").symlink_to("model.yaml")
    os.mkfifo(folders["pipe"] / "model.yaml")
    (folders["code"] / "model.yaml").write_text(BROKEN)
    for name in ("__init__.py", "prepare.py", "pipeline.py"):
        (folders["code"] / name).write_bytes(b"raise SystemExit(\xff")


def _failing_builds(cases: Path) -> None:
    for name in ("build", "task"):
        folder = cases / name
        (folder / "broken").mkdir(parents=True)
        (folder / "broken" / "model.yaml").write_text(BROKEN)
        (folder / "extra.py").write_text(EXTRA)
    (cases / "task" / "asked").write_text("broken__extra")


def dags_of(found: dict, model: str) -> set[str]:
    return {d.partition("__")[2] for d in found["dags"] if d.startswith(f"{model}__")}


@pytest.mark.parametrize("name", [*CASES, "folder", "link", "loop", "pipe"])
def test_a_broken_spec_is_one_import_error_and_takes_no_other_model(name, parsed):
    case = CASES.get(name, Case(says=("(whole file)",)))
    found = parsed.get(name)

    assert found is not None, "not parsed within 20 CPU seconds, 40 seconds and 3 GiB"
    assert dags_of(found, "flight_delay") == WORKFLOWS
    assert dags_of(found, "broken") == case.built
    assert set(found["errors"]) == {"spec_errors.py"}
    error = found["errors"]["spec_errors.py"]
    told = error[error.rindex("SpecError: ") :]
    assert "broken/model.yaml: " in told
    assert [message for message in case.says if message not in told] == [], told
    assert "Input should" not in told
    assert len(told) < 10_000


@pytest.mark.parametrize("name", CASES)
def test_a_broken_spec_is_refused_in_bounded_time_and_memory(name, parsed):
    assert parsed[name]["seconds"] < 5
    assert parsed[name]["grown_mib"] < 300


def test_code_of_a_model_is_not_read_while_dags_are_parsed(parsed):
    assert dags_of(parsed["code"], "broken") == WORKFLOWS
    assert parsed["code"]["errors"] == {}


def test_a_dag_that_cannot_be_built_is_left_out_and_named(parsed):
    found = parsed["build"]

    assert dags_of(found, "flight_delay") == WORKFLOWS | {"extra"}
    assert dags_of(found, "broken") == WORKFLOWS  # nothing of the DAG that failed half-way
    assert set(found["errors"]) == {"spec_errors.py"}
    error = found["errors"]["spec_errors.py"]
    assert "broken/model.yaml: the DAG broken__extra cannot be built: OSError: no such" in error


def test_a_task_whose_dag_cannot_be_built_is_told_the_cause(parsed):
    found = parsed["task"]

    assert set(found["errors"]) == {"extra.py"}
    assert (
        "the DAG broken__extra cannot be built: OSError: no such thing"
        in (found["errors"]["extra.py"])
    )


@pytest.mark.parametrize("path", sorted((ROOT / "dags").glob("*.py")), ids=lambda path: path.stem)
def test_only_the_shared_helper_goes_through_all_specs(path):
    """A loop of its own would lose the DAGs of all models to one that fails."""
    tree = ast.parse(path.read_text())
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    functions = [
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and "ModelSpec" in ast.unparse(node.args)
    ]

    assert not any(isinstance(node, ast.For | ast.While) for node in tree.body)
    assert path.stem == "spec_errors" or not used & {"find_specs", "load_spec"}
    assert functions[:1] in ([], [path.stem])
    assert not functions or ast.unparse(tree.body[-1]) == f"build_dags('{path.stem}', {path.stem})"
