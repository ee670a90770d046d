"""`python -m mlops.gateway`: the gateway's process, as the supervisor runs it."""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

import uvicorn

from mlops.config import MLOpsConfig
from mlops.errors import ConfigError
from mlops.gateway.app import create_app
from mlops.installation import LOOPBACK
from mlops.platform import Platform

DRAIN_S = 5
"""How long requests under way may take to end after SIGTERM."""


def main() -> int:
    """Serve until SIGTERM; 2 when the settings or the installation forbid it."""
    try:
        platform = Platform.open(MLOpsConfig.load())
    except ConfigError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a process's last word
        return 2
    uvicorn.run(
        create_app(platform),
        host=LOOPBACK,
        port=urlsplit(platform.addresses.gateway).port or 0,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=DRAIN_S,
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
