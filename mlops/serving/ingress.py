"""What runs in a Ray Serve replica besides the model: the application, and Ray's own socket on loopback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp

from mlops.serving.replica import ReplicaOptions, open_replica


@dataclass(frozen=True, slots=True)
class ReplicaOrder:
    """All that a replica's process is told."""

    bento: str
    """The Bento's folder."""
    options: ReplicaOptions
    loopback: bool
    """Whether nothing of the replica may listen beyond this machine."""


def build_replica(order: ReplicaOrder) -> ASGIApp:
    """The replica's application; Ray Serve calls this before it opens the replica's sockets."""
    from pathlib import Path

    if order.loopback:
        _keep_to_loopback()
    return open_replica(Path(order.bento), order.options)


def _keep_to_loopback() -> None:
    # Ray 2.60 binds the replica's inter-deployment gRPC port to "[::]:0" whatever the node's address
    # is, and has no setting for it. A test reads the sockets, so a Ray that changes this is noticed.
    import ray.serve._private.replica as serve_replica

    bind = serve_replica.add_port_to_grpc_server

    def bind_to_loopback(server: Any, address: str) -> int:
        port: int = bind(server, address.replace("[::]", "127.0.0.1"))
        return port

    serve_replica.add_port_to_grpc_server = bind_to_loopback
