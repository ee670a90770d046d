"""`python -m mlops.gateway`: the gateway's process, as the supervisor runs it."""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import socket
import sys
from urllib.parse import urlsplit

import uvicorn

from mlops.config import MLOpsConfig
from mlops.errors import ConfigError
from mlops.gateway.app import create_app
from mlops.gateway.server import GatewayServer
from mlops.installation import LOOPBACK, Installation
from mlops.logs.redaction import Redactor
from mlops.logs.start import start_logging
from mlops.platform import Platform

log = logging.getLogger("mlops.gateway")

DRAIN_S = 5
"""How long requests under way may take to end after SIGTERM."""
_FILES = 65_536


def main() -> int:
    """Serve until SIGTERM; 2 when the settings or the installation forbid it. With `--fd` on that socket,
    which its owner keeps open while we are replaced."""
    parser = argparse.ArgumentParser("python -m mlops.gateway")
    parser.add_argument("--fd", type=int, help="a listening socket that was inherited")
    inherited = parser.parse_args().fd
    try:
        config = MLOpsConfig.load()
        installation = Installation(config)
        hidden = Redactor(installation.secrets_dir, config.secret_values())
        start_logging("gateway", installation.logs_dir, hidden)
        platform = Platform.open(config)
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a process's last word
        return 2
    _allow_many_connections()
    app = create_app(platform)
    settings = uvicorn.Config(
        app,
        host=LOOPBACK,
        port=urlsplit(platform.addresses.gateway).port or 0,
        log_config=None,  # its lines go where ours do
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    # Not by uvicorn's `fd`: it takes the socket for a Unix one, without TCP_NODELAY and callers' addresses.
    door = settings.bind_socket() if inherited is None else socket.socket(fileno=inherited)
    gc.collect()
    gc.freeze()  # what is there now stays: looking it through for garbage held a request up by 0.15 s
    log.info("the gateway runs", extra={"event": "gateway.running", "address": platform.addresses.gateway})
    GatewayServer(settings, app.state.streams.close).run([door, *_second_door(platform.addresses.evidently)])
    log.info("the gateway stops", extra={"event": "gateway.stopped"})
    return 0


def _second_door(url: str) -> list[socket.socket]:
    """Where Evidently's UI is shown; none where a port was not chosen, or has become another program's: the
    gateway does not wait for that."""
    try:
        return [socket.create_server((LOOPBACK, port))] if (port := urlsplit(url).port) else []
    except OSError as error:
        log.warning("Evidently's UI cannot be shown at %s: %s", url, error)
        return []


def _allow_many_connections() -> None:
    """As many open files as the system lets us have: callers and replicas have a socket each, and the usual
    1,024 are too few for a crowd."""
    with contextlib.suppress(ImportError, ValueError, OSError):  # Windows has no such limit
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _FILES if most == resource.RLIM_INFINITY else min(_FILES, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


if __name__ == "__main__":
    raise SystemExit(main())
