"""What is written for Kubernetes, and how it is called there."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops.entities import Deployment
from mlops.errors import InvalidInput
from mlops.serving.base import ReplicaLimits

PREFIX = "efficientai-toolkit"
"""Of our labels and annotations, before the slash."""
BENTO = "/opt/model/bento"
"""Where the image has the Bento."""
_NAME_LENGTH = 40
"""The operators append to it, and a DNS label ends at 63."""
_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}")
_UNITS_MB = {"M": 1.0, "Mi": 2**20 / 1e6, "G": 1e3, "Gi": 2**30 / 1e6}
_MEMORY = re.compile(r"[1-9][0-9]{0,8}[MG]i?")


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """A deployment to write for Kubernetes. Raises `InvalidInput` on an image or memory that is none."""

    deployment: Deployment
    bento: Path
    """Its Bento's folder on this machine."""
    limits: ReplicaLimits = field(default_factory=ReplicaLimits)
    """Of each replica."""
    run_id: str = ""
    data: Mapping[str, str] = field(default_factory=dict)
    """What the run used: hash by path."""
    image: str = ""
    """The image's name; empty is `<name>:<version>`."""
    memory: str = ""
    """Memory of a pod, as Kubernetes writes it; empty is a replica's and a gigabyte for Ray."""

    def __post_init__(self) -> None:
        if self.image and not _IMAGE.fullmatch(self.image):
            raise InvalidInput("image", self.image, "is no image's name", remedy="Write it as in name:tag.")
        if self.memory and not _MEMORY.fullmatch(self.memory):
            raise InvalidInput("memory", self.memory, "is no amount of memory", remedy="Write it as in 2Gi.")
        if _megabytes(self.pod_memory) < self.limits.memory_mb:
            raise InvalidInput(
                "memory",
                self.memory,
                f"is less than the {self.limits.memory_mb} MB that a replica has set aside",
                remedy="Give more, or lower `quotas.replica_memory_mb` in project.toml.",
            )

    @property
    def name(self) -> str:
        """Of the object, the same for every version: applying a new version replaces the old one."""
        return object_name(self.deployment.project, self.deployment.model)

    @property
    def image_name(self) -> str:
        """The image's name and tag."""
        return self.image or f"{self.name}:{self.deployment.version}"

    @property
    def pod_memory(self) -> str:
        """As Kubernetes writes it."""
        return self.memory or f"{self.limits.memory_mb + 1000}M"

    @property
    def most_replicas(self) -> int:
        """How many replicas it grows to."""
        return self.deployment.most_replicas or self.deployment.replicas


def object_name(project: str, model: str) -> str:
    """A DNS label (RFC 1123, 40 characters at most, beginning with a letter) for a project's model. Where it
    is not the names as they are, or could be another pair's, a digest of both keeps them apart."""
    wanted = f"{project}-{model}"
    plain = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")
    if plain == wanted and "-" not in project and len(plain) <= _NAME_LENGTH:
        return plain
    digest = hashlib.sha256(f"{project}/{model}".encode()).hexdigest()[:8]
    return f"{plain[: _NAME_LENGTH - 9].rstrip('-')}-{digest}"


def metadata(order: ExportOrder) -> dict[str, Any]:
    """An object's `metadata`: name, labels, and annotations with what labels cannot hold."""
    return {"name": order.name, "labels": labels(order), "annotations": origin(order)}


def labels(order: ExportOrder) -> dict[str, str]:
    """Who it is, for selectors; values as Kubernetes takes them, 63 characters of letters, digits, `-_.`."""
    row = order.deployment
    found = {
        "app.kubernetes.io/name": order.name,
        "app.kubernetes.io/version": str(row.version),
        "app.kubernetes.io/managed-by": PREFIX,
        f"{PREFIX}/project": row.project,
        f"{PREFIX}/model": row.model,
        f"{PREFIX}/version": str(row.version),
        f"{PREFIX}/run": order.run_id,
    }
    return {key: _label_value(value) for key, value in found.items() if value}


def origin(order: ExportOrder) -> dict[str, str]:
    """Where it comes from, in full, as annotations; data versions as JSON: path -> hash."""
    found = {
        f"{PREFIX}/model": f"{order.deployment.project}/{order.deployment.model}/{order.deployment.version}",
        f"{PREFIX}/run": order.run_id,
        f"{PREFIX}/bento": order.deployment.bento,
        f"{PREFIX}/data": json.dumps(dict(order.data)) if order.data else "",
    }
    return {key: value for key, value in found.items() if value}


def resources(cpu: str, memory: str) -> dict[str, Mapping[str, str]]:
    """A container's `resources`: so much is asked for, and of memory no more is given."""
    return {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}}


def unprivileged() -> dict[str, Any]:
    """A container's `securityContext`: an ordinary user, with no way to become another."""
    return {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }


def _megabytes(memory: str) -> float:
    unit = memory.lstrip("0123456789")
    return int(memory.removesuffix(unit)) * _UNITS_MB[unit]


def _label_value(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", text)[:63].strip("._-")
