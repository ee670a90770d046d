"""What Ray's head and its drivers must agree on: one command on loopback, with nothing that is not needed.

This module is also loaded by the head itself, by `RAY_START_HOOK`; it imports nothing heavy.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

# Below Ray's client port and worker range, above the privileged ones: see `Installation`.
_WORKER_PORTS = (10002, 19999)
_OBJECT_STORE_BYTES = 128 * 1024 * 1024


def head_command(*, port: int, temp_dir: Path, agent_port: int, dashboard: bool = False) -> list[str]:
    """The head in the foreground. `port` is its GCS's, `agent_port` its agent's HTTP port, both
    outside 10002–19999. `temp_dir` must be short: Ray's sockets lie in it (104 bytes on macOS)."""
    return [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--head",
        "--block",
        "--node-ip-address=127.0.0.1",
        f"--port={port}",
        f"--dashboard-agent-listen-port={agent_port}",
        f"--min-worker-port={_WORKER_PORTS[0]}",
        f"--max-worker-port={_WORKER_PORTS[1]}",
        f"--object-store-memory={_OBJECT_STORE_BYTES}",
        f"--include-dashboard={'true' if dashboard else 'false'}",
        "--dashboard-host=127.0.0.1",
        "--include-log-monitor=false",
        "--no-monitor",
        "--disable-usage-stats",
        f"--temp-dir={temp_dir}",
    ]


def head_environment(token_file: Path) -> dict[str, str]:
    """What the head's environment must hold besides the user's own; replicas inherit it."""
    return {
        **serve_environment(loopback=True),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        "RAY_START_HOOK": _HOOK,
        # Ray's workers show titles; without this they write them over their environment, and with it
        # over the mark that tells which processes are ours.
        "SPT_NOENV": "1",
    }


def serve_environment(*, loopback: bool, token: str = "") -> dict[str, str]:
    """What head and driver must agree on; `token` is for a driver."""
    found = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_SERVE_ENABLE_DIRECT_INGRESS": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",
        "RAY_SERVE_PORT_QUARANTINE_S": "5",
    }
    if loopback:
        # "0" makes Ray keep 127.0.0.1 as the node's address instead of looking up the machine's, and
        # then every one of its servers binds to loopback. It is Ray's default on macOS.
        found["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    if token:
        found |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    return found


def drop_client_server(ray_params: Any, head: bool) -> None:
    """Ray calls this before it starts: without a port it runs no Ray Client server, which would be
    one more process and one more open port."""
    if head:
        ray_params.ray_client_server_port = None


_HOOK = f"{__name__}.{drop_client_server.__name__}"
