"""The stack's processes, kept alive by supervisord: start, state and stop."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import psutil
from supervisor.xmlrpc import SupervisorTransport

from evergreen.errors import StackError
from evergreen_airflow.embedded import database
from evergreen_airflow.embedded.settings import MARK, Settings, write_private
from evergreen_airflow.warm_workers import MODULES

#: Programs that are started once Airflow's database is ready, in this order.
SERVICES = ("api-server", "scheduler", "dag-processor", "triggerer")
#: It has a database of its own, and makes that while Airflow's is made.
MLFLOW = "mlflow"
MODEL_SERVER = "model-server"
POSTGRES = "postgres"
#: A Unix socket's path may not be longer (sun_path in unix(7), less the supervisor's suffix).
MAX_SOCKET_PATH = 90
STOP_TIMEOUT_S = 90


def start(settings: Settings, env: Mapping[str, str], chosen: database.Database) -> None:
    """
    Start supervisord and, through it, MLflow and the private database server if there is one.

    :raises StackError: If the folder's path is too long for a socket, or supervisord fails.
    """
    socket = _socket(settings)
    if len(str(socket)) > MAX_SOCKET_PATH:
        raise StackError(
            f"The path {socket} has {len(str(socket))} characters, a socket's may have "
            f"{MAX_SOCKET_PATH}. Set EVERGREEN_HOME to a shorter folder."
        )
    # What a power loss left behind names processes that are gone, or by now those of a stranger.
    for left in (socket, _pid_file(settings), _session_file(settings)):
        left.unlink(missing_ok=True)
    settings.logs.mkdir(parents=True, exist_ok=True)
    config = settings.home / "supervisord.conf"
    config.write_text(_config(settings, chosen))
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(config)]
    done = subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True)
    if done.returncode:
        raise StackError(f"supervisord did not start:\n{done.stdout}{done.stderr}")
    _remember_session(settings, config)


def start_services(settings: Settings) -> None:
    """Start everything that needs Airflow's database, and the model server."""
    for name in _services(settings):
        _rpc(settings).supervisor.startProcess(name, False)


def states(settings: Settings) -> dict[str, str]:
    """Return the state of each program, such as RUNNING or FATAL; empty if nothing runs."""
    try:
        # The stubs say "anything XML can carry"; supervisor's manual says a list of structs.
        found = cast("list[dict[str, Any]]", _rpc(settings).supervisor.getAllProcessInfo())
    except (OSError, xmlrpc.client.Error):
        return {}
    return {str(info["name"]): str(info["statename"]) for info in found}


def stop(settings: Settings) -> int:
    """Stop everything this stack started and nothing else; return how many processes that were."""
    before = list(ours(settings))
    with suppress(OSError, xmlrpc.client.Error):  # it may be dead; what it left is stopped below
        _rpc(settings).supervisor.shutdown()
        supervisord = [p for p in before if p.pid == _session(settings)]  # it leads the session
        psutil.wait_procs(supervisord, timeout=STOP_TIMEOUT_S)
    for ask in (signal.SIGTERM, signal.SIGKILL):
        # A worker that lost its parent is in no group of ours, but still carries the mark.
        left = list(ours(settings))
        for process in left:
            _signal(process, ask)
        psutil.wait_procs(left, timeout=5)
    _socket(settings).unlink(missing_ok=True)
    return len(before)


def ours(settings: Settings) -> Iterator[psutil.Process]:
    """
    Yield the living processes of this stack: those of its session, and those that carry its mark.

    Airflow's workers write their title over their environment, so the mark alone would miss them;
    a process that left the session is still known by its mark.
    """
    me, session = os.getpid(), _session(settings)
    for process in psutil.process_iter():
        try:
            if process.pid == me or process.status() == psutil.STATUS_ZOMBIE:
                continue
            in_session = os.getsid(process.pid) == session
            if in_session or process.environ().get(MARK) == str(settings.home):
                yield process
        except (psutil.Error, OSError):
            continue  # it ended meanwhile, or belongs to someone else


def log_tail(settings: Settings, program: str, *, lines: int = 15) -> str:
    """Return the end of a program's log."""
    path = settings.logs / f"{program}.log"
    text = path.read_text(errors="replace") if path.exists() else "(no log)"
    return "\n".join(text.splitlines()[-lines:])


def _remember_session(settings: Settings, config: Path) -> None:
    """Write down supervisord's session: every process of the stack is born into it."""
    give_up = time.monotonic() + 10
    while (leader := _supervisord(settings, config)) is None:
        if time.monotonic() > give_up:
            raise StackError(
                f"supervisord wrote no number of its own to {_pid_file(settings)}; see "
                f"{settings.logs}."
            )
        time.sleep(0.05)
    found = {"session": os.getsid(leader.pid), "created": leader.create_time()}
    write_private(_session_file(settings), json.dumps(found))


def _supervisord(settings: Settings, config: Path) -> psutil.Process | None:
    """Return the process that the pid file names, if it is supervisord with our *config*."""
    try:
        leader = psutil.Process(int(_pid_file(settings).read_text()))
        return leader if str(config) in leader.cmdline() else None
    except (OSError, ValueError, psutil.Error):
        return None


def _session(settings: Settings) -> int | None:
    """
    Return the remembered session, unless its number has gone to somebody else by now.

    A file that cannot be read names none; the mark in the environment still finds our processes.
    """
    try:
        found = json.loads(_session_file(settings).read_text())
        session, created = int(found["session"]), float(found["created"])
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None
    try:
        is_ours = psutil.Process(session).create_time() == created
    except (psutil.Error, ValueError, OverflowError):
        # no number is given out again while its session has members
        is_ours = session > 0 and psutil.boot_time() < created
    return session if is_ours else None


def _pid_file(settings: Settings) -> Path:
    return settings.home / "supervisord.pid"


def _session_file(settings: Settings) -> Path:
    return settings.home / "session.json"


def _signal(process: psutil.Process, ask: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(ask)


def _rpc(settings: Settings) -> xmlrpc.client.ServerProxy:
    transport = SupervisorTransport(None, None, f"unix://{_socket(settings)}")
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)


def _socket(settings: Settings) -> Path:
    return settings.home / "supervisor.sock"


def _config(settings: Settings, chosen: database.Database) -> str:
    home, python = settings.home, sys.executable
    airflow = Path(python).with_name("airflow")
    commands = {
        # One worker: with four, a slow machine makes uvicorn kill its own children (FACTS).
        MLFLOW: f"{python} -m mlflow server --host 127.0.0.1 "
        f"--port {settings.mlflow_port} -w 1 "
        f"--backend-store-uri sqlite:///{home}/mlflow.db --serve-artifacts "
        f"--artifacts-destination {home}/mlflow-artifacts "
        f"--allowed-hosts 127.0.0.1:{settings.mlflow_port},localhost:{settings.mlflow_port}",
        **{name: f"{airflow} {name}" for name in SERVICES},
        MODEL_SERVER: f"{python} -m evergreen serve",
    }
    programs = {
        name: _program(settings, name, commands[name], priority=n, autostart=name == MLFLOW)
        for n, name in enumerate((MLFLOW, *_services(settings)), start=1)
    }
    if settings.warm_workers:
        preload = f"environment = {PRELOAD_VARIABLES.format(modules=','.join(MODULES))}\n"
        programs["scheduler"] += preload
    if chosen.is_postgres:
        command = database.server_command(settings, chosen)
        # Started first and stopped last; INT is PostgreSQL's fast shutdown.
        server = _program(settings, POSTGRES, command, priority=0, autostart=True)
        server += "stopsignal = INT\n"
        if user := database.system_user():
            server += f"user = {user}\n"
        programs[POSTGRES] = server
    return _HEADER.format(home=home, socket=_socket(settings)) + "\n".join(programs.values())


def _program(settings: Settings, name: str, command: str, *, priority: int, autostart: bool) -> str:
    return _PROGRAM.format(
        name=name,
        command=command,
        priority=priority,
        autostart=str(autostart).lower(),
        logs=settings.logs,
    )


def _services(settings: Settings) -> tuple[str, ...]:
    return (*SERVICES, *([MODEL_SERVER] if settings.serving else []))


#: The setting by which Airflow imports modules once, before its workers are forked.
PRELOAD_VARIABLES = (
    'AIRFLOW__CORE__MP_START_METHOD="forkserver",AIRFLOW__CORE__MP_FORKSERVER_PRELOAD="{modules}"'
)

_HEADER = """\
[supervisord]
directory = {home}
logfile = {home}/logs/supervisord.log
pidfile = {home}/supervisord.pid
childlogdir = {home}/logs
umask = 077

[unix_http_server]
file = {socket}
chmod = 0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

"""

_PROGRAM = """\
[program:{name}]
command = {command}
priority = {priority}
autostart = {autostart}
autorestart = true
startsecs = 5
startretries = 3
stopasgroup = true
killasgroup = true
stopwaitsecs = 20
redirect_stderr = true
stdout_logfile = {logs}/{name}.log
stdout_logfile_maxbytes = 20MB
stdout_logfile_backups = 2
"""
