"""The processes that answer for a model, to be watched or killed."""

from __future__ import annotations

import contextlib
import time
from urllib.parse import urlsplit

import psutil

from mlops.services import processes
from mlops.services.status import read_status
from mlops.store.store import Store
from tests.bench.served import Model


def replica_urls(model: Model) -> set[str]:
    """Of the champion's replicas, as the gateway's routes have them."""
    store = Store(model.stack.installation.database_url())
    try:
        endpoint = store.deployments.routes().get((model.project, model.name))
        return set() if endpoint is None else {replica.url for replica in endpoint.champion.replicas}
    finally:
        store.close()


def replicas(model: Model) -> list[psutil.Process]:
    """Their processes, which listen where the routes say."""
    ports = {urlsplit(url).port for url in replica_urls(model)}
    pids = {
        each.pid
        for each in psutil.net_connections("tcp")
        if each.status == psutil.CONN_LISTEN and each.laddr.port in ports and each.pid
    }
    return [psutil.Process(pid) for pid in sorted(pids)]


def gateway(model: Model) -> psutil.Process:
    """The gateway's process that the supervisor started."""
    pid = next(each.pid for each in read_status(model.stack.installation) if each.name == "gateway")
    assert pid is not None
    return psutil.Process(pid)


def serve_proxy(model: Model, seconds: float = 30.0) -> psutil.Process:
    """Ray Serve's own proxy, which answers nobody."""
    deadline = time.monotonic() + seconds
    while True:
        for process in processes.services_of(model.stack.installation.root):
            with contextlib.suppress(psutil.Error):
                if "ProxyActor" in " ".join(process.cmdline()):
                    return process
        assert time.monotonic() < deadline, "Ray Serve has no proxy"
        time.sleep(0.2)
