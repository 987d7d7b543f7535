"""
The routes of Evergreen's pages.

Each depends on Airflow's own permission to read its DAG. Airflow's modules that only
the API server has are imported here, so this one must be imported nowhere else.
"""
# No postponed annotations: FastAPI would take Airflow's dependencies for query parameters (FACTS).

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.models.connection import Connection
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response

from evergreen.data.validation import load_verdicts
from evergreen.errors import EvergreenError, SpecError
from evergreen.monitoring.history import Reader
from evergreen.receipts.data import ValidationReceipt
from evergreen.spec import ModelSpec, find_specs, load_spec
from evergreen_airflow.hooks.storage import ObjectStoreHook, store_of
from evergreen_airflow.ui import pages
from evergreen_airflow.ui.airflow_state import (
    DagState,
    questions,
    receipt,
    runs_of_dags,
    states_of_dags,
)
from evergreen_airflow.ui.reports import (
    CONTRACT,
    PAGES,
    PLOTS,
    SCRIPTED,
    TELLING,
    may_show,
    model_of,
)
from evergreen_airflow.ui.watching import removed_models, visible_removed

#: Our own pages: our script and style, data and nothing from elsewhere.
PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; "
    "img-src data: blob:; frame-src 'self'; connect-src 'none'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",
}
#: Evidence packs and health pages need no script, so none runs, whatever they hold.
SCRIPTLESS_HEADERS = {
    "Content-Security-Policy": "sandbox allow-same-origin; default-src 'none'; "
    "style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",
}
#: Evidently's pages run script from column names and values (FACTS, "Evidently"): they get an
#: origin of their own, from which nothing of Airflow can be reached.
SCRIPTED_HEADERS = {
    "Content-Security-Policy": "sandbox allow-scripts; default-src 'none'; "
    "script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:; worker-src blob:; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "private, no-cache",
}
#: Found, not imported: the API server draws nothing itself.
PLOTLY = Path(str(find_spec("plotly").origin)).parent / "package_data" / "plotly.min.js"  # type: ignore[union-attr]
STATIC = {"page.js": Path(__file__).with_name("page.js"), "plotly.min.js": PLOTLY}

# Without pages of its own: they would be open to everybody.
app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

NO_RUN_PAGE = (
    "Runs of this DAG have no page of their own; a model's retrain shows its evidence pack here, "
    "monitor the health of its day, backtest its plot."
)

NO_REPORT = (
    "{} has not left a report in this run. If it failed or still works, its log says why; if it "
    "was skipped, the run had nothing to tell."
)
NOT_KEPT = "{} is not kept any more: housekeeping removes by age (retention in model.yaml)."

#: Workflows whose last run the list of models shows beside that of retrain.
WATCHED = ("score", "monitor", "housekeeping")
#: Workflows that ask a person.
ASKING = ("retrain", "promote")

READ_ANY = Depends(requires_access_dag("GET"))
READ_RUN = Depends(requires_access_dag("GET", DagAccessEntity.RUN))
READ_RECEIPT = Depends(requires_access_dag("GET", DagAccessEntity.XCOM))


@cache
def reader() -> Reader:
    """Return the one reader of this process, with what it has read."""
    found = Connection.get_connection_from_secrets(ObjectStoreHook.default_conn_name)
    return Reader(store_of(found))


def _page(html: str) -> HTMLResponse:
    return HTMLResponse(html, headers=PAGE_HEADERS)


@app.get("/models", dependencies=[READ_ANY])
def models(user: GetUserDep, session: SessionDep) -> HTMLResponse:
    """Every model the person may read, and what waits for a word."""
    allowed = get_auth_manager().get_authorized_dag_ids(user=user, method="GET")
    specs, errors = find_specs()
    visible = [spec for spec in specs if f"{spec.model}__retrain" in allowed]
    now, sees_all = datetime.now(UTC), len(visible) == len(specs)
    states = states_of_dags(session, {f"{s.model}__{w}" for s in visible for w in WATCHED})
    rows = [_row(spec, session, states, now=now) for spec in visible]
    asking = {f"{spec.model}__{workflow}" for spec in visible for workflow in ASKING}
    waiting = questions(session, asking & set(allowed))
    removed = visible_removed(
        removed_models(reader().store, now=now), allowed=allowed, sees_all=sees_all
    )
    problems = [str(error) for error in errors] if sees_all else []
    return _page(pages.models(rows, waiting=waiting, problems=problems, removed=removed, now=now))


def _row(
    spec: ModelSpec, session: Any, states: Mapping[str, DagState], *, now: datetime
) -> pages.ModelOverviewRow:
    """Return the row of one model; one that cannot be read shows why, and the others go on."""
    runs = runs_of_dags(session, f"{spec.model}__retrain")
    mine = {workflow: states[f"{spec.model}__{workflow}"] for workflow in WATCHED}
    try:
        return pages.row(reader().history(spec), runs, mine, now=now)
    except EvergreenError as error:
        return pages.unreadable_row(spec, runs, str(error))


@app.get("/model/{dag_id}", dependencies=[READ_RUN])
def model(dag_id: str, session: SessionDep) -> HTMLResponse:
    """One model over time; any of its DAGs leads here."""
    name, workflow = model_of(dag_id)
    try:
        spec = load_spec(name) if workflow else None
    except SpecError:
        spec = None
    if spec is None:
        return _page(pages.nothing(f"{dag_id} is not a DAG of a model."))
    try:
        history, found = reader().history(spec), reader().versions(name)
    except EvergreenError as error:
        return _page(pages.nothing(str(error)))
    runs = runs_of_dags(session, f"{name}__retrain")
    return _page(pages.model(history, found, runs, now=datetime.now(UTC)))


@app.get("/run/{dag_id}/{run_id:path}", dependencies=[READ_RECEIPT])
def run(request: Request, dag_id: str, run_id: str, session: SessionDep) -> Response:
    """The page with the result of a run."""
    _, workflow = model_of(dag_id)
    if workflow not in TELLING:
        return _page(pages.nothing(NO_RUN_PAGE))
    return _stored(request, session, dag_id=dag_id, run_id=run_id, task_id=TELLING[workflow])


@app.get("/task/{dag_id}/{run_id:path}/{task_id}/{map_index}", dependencies=[READ_RECEIPT])
def task(
    *,
    request: Request,
    dag_id: str,
    run_id: str,
    task_id: str,
    map_index: str,
    session: SessionDep,
) -> Response:
    """The report of one task, or a word on which tasks have one."""
    # The UI sends the placeholder itself for a task that is not mapped.
    index = int(map_index) if map_index.lstrip("-").isdigit() else -1
    if task_id == CONTRACT:
        return _contract(session, dag_id, run_id)
    if task_id not in PAGES:
        named = ", ".join((CONTRACT, *PAGES))
        return _page(
            pages.nothing(f"{task_id} has no report; {named} have one. Its log tells what it did.")
        )
    return _stored(request, session, dag_id=dag_id, run_id=run_id, task_id=task_id, index=index)


@app.get("/page/{dag_id}/{key:path}", dependencies=[READ_RECEIPT])
def page(dag_id: str, key: str) -> Response:
    """One stored page of the DAG's model."""
    name, _ = model_of(dag_id)
    if not name or not may_show(name, key):
        raise HTTPException(404, "no such page of this model")
    return _show(key)


@app.get("/static/{name}", dependencies=[READ_ANY])
def static(name: str) -> FileResponse:
    """Script of our own pages, from this package and from plotly's."""
    if name not in STATIC:
        raise HTTPException(404, "no such file")
    headers = {"Cache-Control": "private, max-age=86400", "X-Content-Type-Options": "nosniff"}
    return FileResponse(STATIC[name], media_type="text/javascript", headers=headers)


def _stored(
    request: Request, session: Any, *, dag_id: str, run_id: str, task_id: str, index: int = -1
) -> Response:
    found = receipt(session, dag_id, run_id, task_id, index)
    if found is None:
        return _page(pages.nothing(NO_REPORT.format(task_id)))
    key = PAGES[task_id](found)
    if not may_show(model_of(dag_id)[0], key):
        raise HTTPException(404, "no such page of this model")
    # Links of a page start from where it is kept.
    there = app.url_path_for("page", dag_id=dag_id, key=key)
    return RedirectResponse(f"{request.scope['root_path']}{there}")


def _contract(session: Any, dag_id: str, run_id: str) -> Response:
    found = receipt(session, dag_id, run_id, CONTRACT)
    if found is None:
        return _page(pages.nothing(NO_REPORT.format(CONTRACT)))
    validation = ValidationReceipt.model_validate(found)
    try:
        verdicts = load_verdicts(reader().store, validation)
    except EvergreenError as error:
        return _page(pages.nothing(str(error)))
    return _page(pages.contract(validation, list(verdicts.values())))


def _show(key: str) -> Response:
    try:
        data = reader().store.get(key)
    except (FileNotFoundError, ValueError):
        return _page(pages.nothing(NOT_KEPT.format(key)))
    if key.startswith(f"{PLOTS}/"):
        return Response(data, media_type="image/png", headers=SCRIPTLESS_HEADERS)
    has_script = key.startswith(f"{SCRIPTED}/")
    return HTMLResponse(data, headers=SCRIPTED_HEADERS if has_script else SCRIPTLESS_HEADERS)
