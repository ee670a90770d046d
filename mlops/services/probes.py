"""Questions that tell whether a service answers, and whether the answer is its own."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from mlops.services.base import Probe

# Never by the user's http_proxy: what is asked is on this machine, or an address of the settings.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def http_probe(url: str, port: int, *, timeout_s: float = 5.0) -> Probe:
    """`url` answers 2xx, and the port is held by the service's own processes.

    The second half matters: after a kill -9 of MLflow's parent its orphaned workers keep the port and
    answer 200, and a new server starts in vain against the taken port.
    """

    def probe(pids: frozenset[int]) -> str | None:
        return _foreign_listener(port, pids) or http_problem(url, timeout_s)

    return probe


def http_problem(url: str, timeout_s: float = 5.0) -> str | None:
    """Why `url` does not answer 2xx, or None."""
    try:
        with _DIRECT.open(url, timeout=timeout_s) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        return f"{url} answers {error.code}"
    except (OSError, http.client.HTTPException) as error:
        return f"{url}: {getattr(error, 'reason', error)}"
    return None


def port_probe(port: int) -> Probe:
    """The port is held by the service's own processes (for what speaks no HTTP)."""
    return lambda pids: _foreign_listener(port, pids)


def heartbeat_probe(path: Path, max_age_s: float = 15.0) -> Probe:
    """The JSON file `path` was written lately (`at`, Unix time) by one of the service's processes (`pid`)."""

    def probe(pids: frozenset[int]) -> str | None:
        try:
            beat = json.loads(path.read_text())
            pid, at = int(beat["pid"]), float(beat["at"])
        except (OSError, ValueError, KeyError, TypeError):
            return "has not reported yet"
        if pid not in pids:
            return "has not reported yet"
        age = time.time() - at
        return None if age <= max_age_s else f"last reported {age:.0f} s ago"

    return probe


def _foreign_listener(port: int, pids: frozenset[int]) -> str | None:
    if any(port in listening_ports(pid) for pid in pids):
        return None
    return f"none of its processes listens on port {port}"


def listening_ports(pid: int) -> set[int]:
    """TCP ports on which the process listens; empty when it is gone."""
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp")
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return set()
    return {found.laddr.port for found in connections if found.status == psutil.CONN_LISTEN}
