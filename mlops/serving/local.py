"""A model server in this process: the same application, by uvicorn in threads."""

from __future__ import annotations

import socket
import threading
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.entities import Deployment
from mlops.serving.base import Phase, ReplicaLimits, Served
from mlops.serving.replica import ReplicaOptions, open_replica

if TYPE_CHECKING:
    from mlops.serving.base import ModelServer


class LocalModelServer:
    """Serves on loopback until it is closed or the process ends. `secret` is what replicas demand."""

    def __init__(self, *, secret: str) -> None:
        self._secret = secret
        self._applications: dict[int, _Application] = {}
        self._lock = threading.Lock()

    def deploy(self, deployment: Deployment, bento: Path, limits: ReplicaLimits) -> None:
        """See `ModelServer.deploy`."""
        with self._lock:
            application = self._applications.get(deployment.id)
            if application is None:
                options = ReplicaOptions(self._secret, limits.threads, max_batch=limits.max_batch)
                application = _Application(bento, options, limits.max_ongoing)
                self._applications[deployment.id] = application
            application.wanted = deployment.replicas
        threading.Thread(target=application.settle, daemon=True).start()

    def remove(self, deployment_id: int) -> None:
        """See `ModelServer.remove`."""
        with self._lock:
            application = self._applications.get(deployment_id)
            if application is not None:
                application.wanted = 0
                threading.Thread(target=self._stop, args=(deployment_id, application), daemon=True).start()

    def served(self) -> dict[int, Served]:
        """See `ModelServer.served`."""
        with self._lock:
            return {key: application.served() for key, application in self._applications.items()}

    def close(self) -> None:
        """See `ModelServer.close`."""
        with self._lock:
            applications, self._applications = list(self._applications.values()), {}
        for application in applications:
            application.wanted = 0
            application.settle()

    def _stop(self, deployment_id: int, application: _Application) -> None:
        application.settle()
        with self._lock:
            self._applications.pop(deployment_id, None)


@dataclass
class _Application:
    """One deployment: the replicas there are, and how many are wanted."""

    bento: Path
    options: ReplicaOptions
    max_ongoing: int
    wanted: int = 0
    error: str = ""
    _replicas: list[_Replica] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def settle(self) -> None:
        """Start or stop replicas until there are as many as wanted."""
        with self._lock:
            try:
                while len(self._replicas) < self.wanted:
                    self._replicas.append(_Replica(self.bento, self.options, self.max_ongoing))
            except Exception:  # noqa: BLE001 - a model's own code may fail in any way
                self.error = traceback.format_exc()
            while len(self._replicas) > self.wanted:
                self._replicas.pop().stop()

    def served(self) -> Served:
        """What is the case now."""
        urls = tuple(replica.url for replica in list(self._replicas))
        if self.wanted == 0:
            return Served(Phase.STOPPING, urls)
        if self.error:
            return Served(Phase.FAILED, urls, self.error)
        return Served(Phase.RUNNING if len(urls) == self.wanted else Phase.STARTING, urls)


class _Replica:
    """One uvicorn server in a thread."""

    def __init__(self, bento: Path, options: ReplicaOptions, max_ongoing: int) -> None:
        import uvicorn

        app: Any = open_replica(bento, options)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            app, log_level="error", access_log=False, lifespan="off", limit_concurrency=max_ongoing
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="replica", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Answer what was accepted, then end."""
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()


if TYPE_CHECKING:
    _conforms: type[ModelServer] = LocalModelServer
