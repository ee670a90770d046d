"""`python -m mlops.monitoring.evidently_ui`: Evidently's own UI over the workspace, as the supervisor runs
it.

It listens on loopback and answers who knows the installation's secret, the gateway alone: another user of
the machine gets nothing. Who may see what is the gateway's to say. Of Evidently's command line neither is
to be had, its dashboards are read from another folder than its reports, and it tells its makers of its use;
so its app is put together here.
"""

from __future__ import annotations

import contextlib
import gc
import hmac
import io
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import uvicorn

from mlops.config import MLOpsConfig
from mlops.errors import ConfigError
from mlops.installation import LOOPBACK, Installation
from mlops.logs.redaction import Redactor
from mlops.logs.start import start_logging
from mlops.monitoring.evidently_client import HEALTH, SECRET_HEADER
from mlops.monitoring.evidently_files import workspace_of
from mlops.monitoring.evidently_state import WorkspaceState

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

log = logging.getLogger("mlops.evidently")

_DRAIN_S = 3


def main() -> int:
    """Serve until SIGTERM; 2 when the settings or the installation forbid it."""
    os.umask(0o077)
    try:
        config = MLOpsConfig.load()
        installation = Installation(config)
        hidden = Redactor(installation.secrets_dir, config.secret_values())
        start_logging("evidently", installation.logs_dir, hidden)
        secret = installation.secret("evidently_secret")
        port = urlsplit(installation.evidently_ui_url).port
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a process's last word
        return 2
    settings = uvicorn.Config(
        create_app(workspace_of(installation.drift_dir), secret),
        host=LOOPBACK,
        port=port or 0,
        log_config=None,  # its lines go where ours do
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=_DRAIN_S,
    )
    log.info("Evidently's UI runs", extra={"event": "evidently.running"})
    uvicorn.Server(settings).run()
    return 0


def create_app(workspace: Path, secret: str) -> ASGIApp:
    """Evidently's app over `workspace`, behind the secret."""
    workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
    # It prints what it is made of, and its Litestar has newer ways.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):
        state = WorkspaceState(workspace)
        app = evidently_app(workspace, state)
    gc.freeze()  # all that was imported would be looked through for garbage again and again while it reads
    state.refresh()
    return Guard(app, state, secret)


def evidently_app(workspace: Path, state: WorkspaceState) -> Any:
    """Evidently's own Litestar app, which tells nobody of its use, and has what is not there answered with
    404."""
    from evidently.ui.service.components.base import AppBuilder
    from evidently.ui.service.components.dashboard import DashboardComponent
    from evidently.ui.service.components.storage import LocalStorageComponent
    from evidently.ui.service.components.telemetry import TelemetryComponent
    from evidently.ui.service.config import AppConfig
    from evidently.ui.service.local_service import LocalConfig, LocalServiceComponent
    from litestar import Response

    async def project_manager() -> Any:
        return state.manager

    def not_there(*_: Any) -> Any:
        return Response({"detail": "not found"}, status_code=404)

    class Storage(LocalStorageComponent):
        def project_manager_provider(self) -> Any:
            return project_manager

    class Service(LocalServiceComponent):
        def apply(self, ctx: Any, builder: Any) -> None:
            super().apply(ctx, builder)
            builder.exception_handlers |= dict.fromkeys((KeyError, FileNotFoundError), not_there)
            builder.kwargs["openapi_config"] = None  # its pages load scripts from elsewhere

    config: AppConfig = LocalConfig(
        service=Service(),
        storage=Storage(path=str(workspace)),
        dashboard=DashboardComponent(path=str(workspace)),
        telemetry=TelemetryComponent(enabled=False),
    )
    with config.context() as context:
        builder = AppBuilder(context)
        context.apply(builder)
        app = builder.build()
        context.finalize(app)
    return app


class Guard:
    """ASGI middleware: lets those in who know the secret, and has the workspace read first. Its health is
    everybody's."""

    def __init__(self, app: Any, state: WorkspaceState, secret: str) -> None:
        self._app = app
        self._state = state
        self._secret = secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse with 403."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http" and scope["path"] == HEALTH:
            await _say(send, 200, b"ok")
        elif scope["type"] == "http" and self._knows(scope):
            self._state.refresh()  # here, where no other request reads it meanwhile
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await _say(send, 403, b"ask the gateway")
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _knows(self, scope: Scope) -> bool:
        name = SECRET_HEADER.lower().encode()
        given = next((value for key, value in scope["headers"] if key == name), b"")
        return hmac.compare_digest(given, self._secret)


async def _say(send: Send, status: int, text: bytes) -> None:
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


if __name__ == "__main__":
    raise SystemExit(main())
