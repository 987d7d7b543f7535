"""
Build the DAGs of one workflow, for each model on its own: one that fails takes no other with it.

An import error of Airflow belongs to a file, and Airflow starts no run of any DAG of that file.
So a DAG file never raises for one model: it leaves that model's DAG out. ``dags/spec_errors.py``,
which has no DAG to lose, builds once more what failed, or may have failed, and raises that.
"""

from __future__ import annotations

import logging
import runpy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType

from airflow.sdk import DAG, conf, get_parsing_context

# Airflow registers each DAG as its `with` block ends, also when it ends by an exception, and has no
# public way to take one back.
from airflow.sdk.definitions._internal.contextmanager import DagContext

from evergreen.errors import SpecError
from evergreen.spec import MODELS_DIR, ModelSpec, find_specs, load_spec
from evergreen.spec.formatting import ERROR_CHARS, shortened
from evergreen.spec.loading import SPEC_FILE
from evergreen_airflow import build_results

#: Errors that are shown at once.
LISTED = 100

log = logging.getLogger(__name__)

#: Where failures are collected for dags/spec_errors.py; elsewhere they are logged.
_collected: ContextVar[list[SpecError] | None] = ContextVar("collected", default=None)


def build_dags(workflow: str, build: Callable[[ModelSpec], object]) -> None:
    """
    Call *build* for each model whose *workflow* DAG is needed now.

    The DAG processor needs all of them, without those that cannot be built. A task needs its own
    only, so that starting a task costs the same beside one model and beside a hundred.

    :raises SpecError: In a task, if its own DAG cannot be built.
    """
    dag_id = get_parsing_context().dag_id
    if dag_id is not None:
        model, _, asked = dag_id.rpartition("__")
        if asked == workflow:
            _build_one(workflow, build, load_spec(model))
        return
    specs, _ = find_specs()
    failed = list(_failures(workflow, build, specs))
    collected = _collected.get()
    if collected is not None:
        collected += failed
        return
    for error in failed:
        log.error("%s", error)
    if file := _file_being_parsed():
        build_results.record(file, is_complete=not failed)


def _failures(
    workflow: str, build: Callable[[ModelSpec], object], specs: list[ModelSpec]
) -> Iterator[SpecError]:
    for spec in specs:
        try:
            _build_one(workflow, build, spec)
        except SpecError as error:
            yield error


def _file_being_parsed() -> str | None:
    module = sys.modules.get(DagContext.current_autoregister_module_name or "")
    return getattr(module, "__file__", None)


def failed_builds(dags_folder: Path) -> list[SpecError]:
    """
    Build every workflow of *dags_folder* and return what failed; no DAG is registered.

    A file is left out if the DAG processor knows that nothing of it failed, for building costs 2 ms
    a DAG; or if it cannot be imported at all, for then Airflow shows its import error itself.
    """
    found: list[SpecError] = []
    token = _collected.set(found)
    try:
        with _unregistered():
            for path in sorted(dags_folder.rglob("*.py")):
                if not build_results.is_complete(str(path)):
                    _build_file(path)
    finally:
        _collected.reset(token)
    return found


def listed(errors: list[SpecError]) -> str:
    """Return the text of *errors*; of very many the first, for Airflow shows them on one page."""
    more = [f"{len(errors) - LISTED} more; correct these first."] if len(errors) > LISTED else []
    return "\n\n".join([*map(str, errors[:LISTED]), *more])


def _build_file(path: Path) -> None:
    try:
        if f"{build_dags.__name__}(" in path.read_text(encoding="utf-8", errors="replace"):
            runpy.run_path(str(path))
    except Exception:
        log.exception("%s cannot be imported", path)


def _build_one(workflow: str, build: Callable[[ModelSpec], object], spec: ModelSpec) -> None:
    """
    Build and check one DAG; nothing of it is left if it fails.

    :raises SpecError: With the model, its file and the cause.
    """
    before = set(DagContext.autoregistered_dags)
    try:
        build(spec)
        for dag, _ in DagContext.autoregistered_dags - before:
            _check(dag)
    except Exception as error:
        _forget_all_but(before)
        what = str(error) if isinstance(error, SpecError) else f"{type(error).__name__}: {error}"
        raise SpecError(
            f"{MODELS_DIR / spec.model / SPEC_FILE}: the DAG {spec.model}__{workflow} cannot be "
            f"built: {shortened(what, ERROR_CHARS).rstrip('.')}. Correct what it names; other DAGs "
            "are built."
        ) from error


def _check(dag: DAG) -> None:
    """Check what Airflow would check after the file is imported, when one fault stops all DAGs."""
    dag.validate()  # type: ignore[no-untyped-call]
    # An executor of a team is known by its bundle only, so with teams Airflow has to check it.
    if conf.getboolean("core", "multi_team", fallback=False):
        return
    for task in dag.tasks:
        if task.executor:
            _refuse_unknown_executor(task.executor)


def _refuse_unknown_executor(name: str) -> None:
    # Here, for only a spec that names an executor needs them.
    from airflow.exceptions import UnknownExecutorException
    from airflow.executors.executor_loader import ExecutorLoader

    try:
        ExecutorLoader.lookup_executor_name_by_str(name, validate_teams=False)
    except UnknownExecutorException:
        known = conf.get("core", "executor")
        raise SpecError(
            f"engine.executor: found {name!r}; expected one that Airflow's option [core] executor "
            f"lists, which is {known}. Add it there, or leave engine.executor out."
        ) from None


@contextmanager
def _unregistered() -> Iterator[None]:
    """Forget the DAGs that are built meanwhile."""
    before = set(DagContext.autoregistered_dags)
    try:
        yield
    finally:
        _forget_all_but(before)


def _forget_all_but(kept: set[tuple[DAG, ModuleType]]) -> None:
    DagContext.autoregistered_dags.clear()
    DagContext.autoregistered_dags.update(kept)
