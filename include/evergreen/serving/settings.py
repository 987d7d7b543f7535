"""What a model server is told by environment variables, checked before it starts."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from evergreen.errors import StackError
from evergreen.values import Frozen

PREFIX = "EVERGREEN_SERVING_"


class ServerSettings(Frozen):
    """
    One model server. Every field is read from ``EVERGREEN_SERVING_<FIELD>``.

    ``store`` and ``mlflow`` say what to follow, ``cache`` where to keep models so that a restart
    needs neither. ``tokens``, separated by commas, open everything but the health pages; ``auth``
    off opens it to all. ``workers`` processes predict side by side for each version.
    ``log_share`` of the requests and at most ``log_rows`` of the rows a ``flush_s`` go to the log.
    """

    store: str = Field(pattern=r"^\w+://")
    mlflow: str = Field(pattern=r"^https?://")
    cache: Path
    tokens: tuple[Annotated[str, Field(min_length=16)], ...] = ()
    auth: bool = True
    models: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = Field(default=8088, ge=1, le=65535)
    replica: str = Field(default="", pattern=r"^[A-Za-z0-9._-]*$")
    workers: int = Field(default=1, ge=1, le=64)
    poll_s: float = Field(default=2, gt=0)
    timeout_s: float = Field(default=30, gt=0)
    drain_s: float = Field(default=0, ge=0)
    max_body_mb: float = Field(default=10, gt=0)
    max_rows: int = Field(default=10_000, ge=1)
    max_batch_rows: int = Field(default=512, ge=1)
    max_queued_rows: int = Field(default=20_000, ge=1)
    log_share: float = Field(default=1, gt=0, le=1)
    log_rows: int = Field(default=500, ge=0)
    flush_s: float = Field(default=30, gt=0)


def read_server_settings(environ: Mapping[str, str]) -> ServerSettings:
    """
    Return the settings in *environ*.

    :raises StackError: If one is missing, or is not what it must be; all faults are named at once.
    """
    given: dict[str, object] = {}
    for name in ServerSettings.model_fields:
        if (text := environ.get(PREFIX + name.upper(), "")) != "":
            given[name] = tuple(text.split(",")) if name in ("tokens", "models") else text
    given.setdefault("replica", f"{socket.gethostname()}-{secrets.token_hex(4)}")
    try:
        found = ServerSettings.model_validate(given)
    except ValidationError as error:
        errors = (
            f"{PREFIX}{'_'.join(map(str, e['loc'][:1])).upper()}: {_explain(e['type'], e['msg'])}"
            for e in error.errors(include_input=False)  # a token must not reach a log
        )
        raise StackError("\n".join(["The model server was not started:", *errors])) from None
    if found.auth and not found.tokens:
        raise StackError(
            f"The model server was not started: {PREFIX}TOKENS is empty. Give one or more tokens "
            f"of at least 16 characters, joined by commas, or open it to all with {PREFIX}AUTH=off."
        )
    return found


def _explain(kind: str, message: str) -> str:
    return "missing; set it." if kind == "missing" else f"{message}."
