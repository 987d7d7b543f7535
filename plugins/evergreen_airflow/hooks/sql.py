"""Databases by Airflow's own connections and hooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from evergreen.errors import SpecError

if TYPE_CHECKING:
    from sqlalchemy import Engine


def engine_of(conn_id: str, *, key: str) -> Engine:
    """
    Return the engine of the database that connection *conn_id* names.

    :param key: Where ``model.yaml`` names the connection, for the error.
    :raises SpecError: If the connection is none to a database.
    """
    from airflow.providers.common.sql.hooks.sql import DbApiHook  # slow, and rarely needed

    hook = BaseHook.get_hook(conn_id)
    if not isinstance(hook, DbApiHook):
        raise SpecError(
            f"{key}: {conn_id!r} is a connection to {type(hook).__name__}, which runs no SQL. "
            "Name a connection to a database in model.yaml."
        )
    return hook.get_sqlalchemy_engine()
