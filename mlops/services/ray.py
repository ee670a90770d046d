"""The embedded Ray: one head on loopback, token auth, no dashboard unless asked."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from mlops.installation import LOOPBACK, Installation
from mlops.services.base import Service
from mlops.services.probes import port_probe


def service(installation: Installation, port: int) -> Service:
    """`ray start --head --block`; it ends when any of its own processes ends, and is then replaced as
    a whole. `ray stop` is never used: it ends every Ray of the machine."""
    return Service(
        name="ray",
        command=[
            str(Path(sys.executable).with_name("ray")),
            *("start", "--head", "--block", "--disable-usage-stats"),
            *("--node-ip-address", LOOPBACK, "--port", str(port)),
            *("--min-worker-port", "10002", "--max-worker-port", "19999"),
            *("--include-dashboard", "true" if installation.config.ray_dashboard else "false"),
            *("--temp-dir", str(installation.short_dir())),
        ],
        env={
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(installation.secret_file("ray_token")),
            "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
        },
        probe=port_probe(port),
        address=f"{LOOPBACK}:{port}",
        stop_signal=signal.SIGTERM,
    )
