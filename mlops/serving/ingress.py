"""What runs in a Ray Serve replica besides the model: the application, and Ray's own socket on loopback."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp

from mlops.errors import ConfigError
from mlops.serving.replica import ReplicaOptions, open_replica

SECRET_VARIABLE = "REPLICA_SECRET"  # noqa: S105 - a name
"""Environment variable of a replica elsewhere: what its callers send, since no file there may hold it."""

_CONSTRUCTOR_TRIES = 2


@dataclass(frozen=True, slots=True)
class ReplicaLogs:
    """Where replicas log, on the machines that have these folders."""

    folder: str
    secrets: str
    """What is in its files is not written."""
    project: str = ""
    model: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class ReplicaOrder:
    """All that a replica's process is told."""

    bento: str
    """The Bento's folder."""
    options: ReplicaOptions
    loopback: bool
    """Whether nothing of the replica may listen beyond this machine."""
    memory_mb: int | None = None
    """That the process may take; None where something else sees to it."""
    logs: ReplicaLogs | None = None
    """None where something else looks after what a process says."""


def application(args: Mapping[str, Any]) -> Any:
    """The Ray Serve application that a config file names as `mlops.serving.ingress:application`.

    `args` are `name` (the deployment's, below which the file has its options), `bento` (a folder that every
    node has), `threads` (of one answer) and `max_batch` (rows of one call). Its replicas take the secret from
    `SECRET_VARIABLE`; the callers' header is `mlops.serving.headers.SECRET_HEADER`. Raises `ConfigError` on
    other arguments."""
    name, bento = args.get("name"), args.get("bento")
    counts = {key: args.get(key) for key in ("threads", "max_batch")}
    known = isinstance(name, str) and isinstance(bento, str)
    if not known or len(args) != 4 or not all(type(each) is int and each > 0 for each in counts.values()):
        raise ConfigError(
            f"`args` of the application are {dict(args)!r}",
            remedy="Give `name`, `bento`, `threads` and `max_batch`, as"
            " `efficientai-toolkit mlops:export kuberay` does.",
        )
    order = _order_elsewhere(str(bento), **counts)
    return replica_class(order).options(name=name).bind()


def _order_elsewhere(bento: str, **counts: Any) -> Callable[[], ReplicaOrder]:
    def order() -> ReplicaOrder:
        # Read in the replica, so that the secret is in no file and in none of Ray's tables.
        secret = os.environ.get(SECRET_VARIABLE, "").strip()
        if not secret:
            raise ConfigError(
                f"the environment of the replica has no {SECRET_VARIABLE}",
                remedy="Make the Kubernetes Secret that the RayService names.",
            )
        return ReplicaOrder(bento, ReplicaOptions(secret, **counts), loopback=False)

    return order


def replica_class(order: Callable[[], ReplicaOrder]) -> Any:
    """The Ray Serve deployment whose replicas do what `order`, called in each of them, says."""
    from ray import serve

    def build() -> Any:
        return build_replica(order())

    @serve.deployment(max_constructor_retry_count=_CONSTRUCTOR_TRIES)
    @serve.ingress(build)
    class Replica:
        def check_health(self) -> None:
            check_memory(order().memory_mb)

    return Replica


def build_replica(order: ReplicaOrder) -> ASGIApp:
    """The replica's application; Ray Serve calls this before it opens the replica's sockets."""
    from pathlib import Path

    if order.logs is not None:
        _log_to(order.logs)
    if order.loopback:
        _keep_to_loopback()
    app = open_replica(Path(order.bento), order.options)
    check_memory(order.memory_mb)
    return app


def _log_to(logs: ReplicaLogs) -> None:
    from pathlib import Path

    from mlops.logs.redaction import Redactor
    from mlops.logs.start import start_replica_logging

    start_replica_logging(
        Path(logs.folder),
        Redactor(Path(logs.secrets)),
        project=logs.project,
        fields={"model": logs.model, "version": logs.version},
    )


def check_memory(limit_mb: int | None) -> None:
    """Raise `MemoryError` where this process takes more than that many megabytes: Ray Serve replaces a
    replica whose health check raises, and a model that leaks takes down no other."""
    import psutil

    taken = psutil.Process().memory_info().rss / 10**6
    if limit_mb is not None and taken > limit_mb:
        raise MemoryError(
            f"the replica takes {taken:.0f} MB, and may take {limit_mb}: raise"
            " `quotas.replica_memory_mb` in project.toml and register the project again"
        )


def _keep_to_loopback() -> None:
    # Ray 2.60 binds the replica's inter-deployment gRPC port to "[::]:0" whatever the node's address
    # is, and has no setting for it. A test reads the sockets, so a Ray that changes this is noticed.
    import ray.serve._private.replica as serve_replica

    bind = serve_replica.add_port_to_grpc_server

    def bind_to_loopback(server: Any, address: str) -> int:
        port: int = bind(server, address.replace("[::]", "127.0.0.1"))
        return port

    serve_replica.add_port_to_grpc_server = bind_to_loopback
