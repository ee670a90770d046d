"""A RayService for KubeRay: the deployment as the platform's own Ray would run it.

Fields after ray-project/kuberay, helm-chart/kuberay-operator/crds/ray.io_rayservices.yaml (ray.io/v1).
"""

from __future__ import annotations

import math
from importlib.metadata import version
from typing import Any

import yaml

from mlops.serving.ingress import SECRET_VARIABLE
from mlops.serving.kubernetes.order import BENTO, ExportOrder, labels, metadata, resources, unprivileged
from mlops.serving.ray import deployment_options

APPLICATION = "mlops.serving.ingress:application"
SECRET_KEY = "secret"  # noqa: S105 - a name
_HEAD_CPU, _HEAD_MEMORY = "1", "2Gi"
_PORTS = {"gcs-server": 6379, "dashboard": 8265, "client": 10001, "serve": 8000}


def ray_service(order: ExportOrder) -> dict[str, Any]:
    """The manifest. Replicas run in worker pods alone, as many pods as replicas; where their number has
    bounds, Ray's autoscaler adds and removes pods between them."""
    cluster = {
        "rayVersion": version("ray"),
        "enableInTreeAutoscaling": order.most_replicas > order.deployment.replicas,
        "headGroupSpec": {
            "rayStartParams": {"num-cpus": "0"},
            "template": _template(order, _head(order)),
        },
        "workerGroupSpecs": [
            {
                "groupName": "replicas",
                "replicas": order.deployment.replicas,
                "minReplicas": order.deployment.replicas,
                "maxReplicas": order.most_replicas,
                "rayStartParams": {},
                "template": _template(order, _worker(order)),
            }
        ],
    }
    config = yaml.safe_dump(serve_config(order), sort_keys=False)
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": metadata(order),
        "spec": {"serveConfigV2": config, "rayClusterConfig": cluster},
    }


def serve_config(order: ExportOrder, bento: str = BENTO) -> dict[str, Any]:
    """The Ray Serve config of the deployment (`ray.serve.schema.ServeDeploySchema`), whose replicas open the
    Bento in the folder `bento`."""
    limits = order.limits
    options = deployment_options(order.deployment, limits)
    args = {
        "name": options["name"], "bento": bento, "threads": limits.threads, "max_batch": limits.max_batch
    }  # fmt: skip
    return {
        "applications": [
            {
                "name": order.name,
                "import_path": APPLICATION,
                "route_prefix": "/",
                "args": args,
                "deployments": [options],
            }
        ]
    }


def secret_name(order: ExportOrder) -> str:
    """The Kubernetes Secret whose `SECRET_KEY` callers send."""
    return f"{order.name}-replica"


def _template(order: ExportOrder, container: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"labels": labels(order)}, "spec": {"containers": [container]}}


def _head(order: ExportOrder) -> dict[str, Any]:
    ports = [{"name": name, "containerPort": port} for name, port in _PORTS.items()]
    return _container(order, "ray-head", resources(_HEAD_CPU, _HEAD_MEMORY)) | {"ports": ports}


def _worker(order: ExportOrder) -> dict[str, Any]:
    # KubeRay tells Ray the limit as the pod's cores, in whole ones.
    cores = str(math.ceil(order.limits.cpus))
    limited = resources(cores, order.pod_memory)
    limited["limits"] = {"cpu": cores, **limited["limits"]}
    container = _container(order, "ray-worker", limited)
    reference = {"secretKeyRef": {"name": secret_name(order), "key": SECRET_KEY}}
    container["env"].append({"name": SECRET_VARIABLE, "valueFrom": reference})
    return container


def _container(order: ExportOrder, name: str, amounts: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "image": order.image_name,
        "resources": amounts,
        "securityContext": unprivileged(),
        "env": [{"name": "RAY_USAGE_STATS_ENABLED", "value": "0"}],
    }
