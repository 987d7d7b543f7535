"""Settings of a model server, read from environment variables and checked before it starts."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import NoDecode, SettingsConfigDict

from evergreen.errors import StackError
from evergreen.settings import EnvironmentSettings


def _split(text: object) -> object:
    return tuple(text.split(",")) if isinstance(text, str) else text


def _new_replica() -> str:
    return f"{socket.gethostname()}-{secrets.token_hex(4)}"


#: Values separated by commas.
Listed = NoDecode, BeforeValidator(_split)
Token = Annotated[str, Field(min_length=16)]


class ServerSettings(EnvironmentSettings):
    """
    One model server. Every field is read from ``EVERGREEN_SERVING_<FIELD>``; empty is missing.

    ``store`` and ``mlflow`` say what to follow, ``cache`` where to keep models so that a restart
    needs neither. ``tokens``, separated by commas, open everything but the health pages; ``auth``
    off opens it to all. ``workers`` processes predict side by side for each version.
    A connection is closed whose headers are not whole after ``headers_s``; a body may take
    ``body_s``, and ``body_part_s`` between two parts. Beyond ``max_connections``, callers get 503.
    ``log_share`` of the requests and at most ``log_rows`` of the rows a ``flush_s`` go to the log.
    """

    model_config = SettingsConfigDict(env_prefix="EVERGREEN_SERVING_", env_ignore_empty=True)

    store: str = Field(pattern=r"^\w+://")
    mlflow: str = Field(pattern=r"^https?://")
    cache: Path
    tokens: Annotated[tuple[Token, ...], *Listed] = ()
    auth: bool = True
    models: Annotated[tuple[str, ...], *Listed] = ()
    host: str = "127.0.0.1"
    port: int = Field(default=8088, ge=1, le=65535)
    replica: str = Field(default_factory=_new_replica, pattern=r"^[A-Za-z0-9._-]*$")
    workers: int = Field(default=1, ge=1, le=64)
    poll_s: float = Field(default=2, gt=0)
    timeout_s: float = Field(default=30, gt=0)
    drain_s: float = Field(default=0, ge=0)
    headers_s: float = Field(default=10, gt=0)
    body_part_s: float = Field(default=10, gt=0)
    body_s: float = Field(default=60, gt=0)
    max_connections: int = Field(default=500, ge=1)
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
    try:
        found = ServerSettings.read(environ)
    except ValidationError as error:
        errors = (
            f"{ServerSettings.variable(str(e['loc'][0]))}: {_explain(e['type'], e['msg'])}"
            for e in error.errors(include_input=False)  # a token must not reach a log
        )
        raise StackError("\n".join(["The model server was not started:", *errors])) from None
    if found.auth and not found.tokens:
        raise StackError(
            f"The model server was not started: {ServerSettings.variable('tokens')} is empty. Give "
            "one or more tokens of at least 16 characters, joined by commas, or open it to all "
            f"with {ServerSettings.variable('auth')}=off."
        )
    return found


def _explain(kind: str, message: str) -> str:
    return "missing; set it." if kind == "missing" else f"{message}."
