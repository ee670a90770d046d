"""The contract of a model server."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from mlops.entities import Deployment
from mlops.project import Quotas, Serving

MAX_ONGOING = 64
"""Requests a replica holds at a time, running or waiting for its threads; more get 503."""


class Phase(StrEnum):
    """Where a deployment stands in the server."""

    STARTING = "starting"
    RUNNING = "running"
    FAILED = "failed"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Served:
    """What the server says of one deployment."""

    phase: Phase
    urls: tuple[str, ...] = ()
    """Base URL of each replica that answers now, loopback, without a trailing slash:
    `POST <url>/predict`, `GET <url>/healthz`, both with the header `X-MLOps-Replica-Secret`."""
    error: str = ""
    """The traceback, when it failed."""


@dataclass(frozen=True, slots=True)
class ReplicaLimits:
    """What one replica may take."""

    cpus: float = 0.5
    """Cores set aside for it."""
    memory_mb: int = 1024
    """Megabytes set aside; a server of processes replaces a replica that takes more."""
    max_ongoing: int = MAX_ONGOING
    """Requests it holds at a time, running or waiting; more get 503."""
    max_batch: int = 1
    """Rows of several requests that one call of the model answers."""

    @property
    def threads(self) -> int:
        """That the model uses for one answer."""
        return max(1, round(self.cpus))


def replica_limits(quotas: Quotas, serving: Serving, model: str) -> ReplicaLimits:
    """Of the model's replicas, as its project says."""
    return ReplicaLimits(
        cpus=quotas.replica_cpus,
        memory_mb=quotas.replica_memory_mb,
        max_batch=serving.batch.get(model, 1),
    )


class ModelServer(Protocol):
    """Runs Bentos. Verbs return at once: the server works on, and `served` tells how far it is.

    Every verb but `close` raises `ServiceUnavailable` within seconds when the server does not
    answer; a later call tries again. Ids are those of `Deployment`."""

    def deploy(self, deployment: Deployment, bento: Path, limits: ReplicaLimits) -> None:
        """Begin to serve the Bento's folder with `deployment.replicas` replicas, or between that and
        `most_replicas` as its load wants, each within the `limits`. Of a deployment that is served already
        the replica count is set, and no moment is without a replica that answers."""

    def remove(self, deployment_id: int) -> None:
        """Begin to drain and stop; an unknown id is fine."""

    def served(self) -> dict[int, Served]:
        """Every deployment the server has; one that was removed is absent once it is gone.
        RUNNING means that every replica asked for answers, FAILED that none came up."""

    def close(self) -> None:
        """Let go of the server; what it serves stays, unless it lives in this process."""
