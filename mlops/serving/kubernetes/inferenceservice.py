"""An InferenceService for KServe: the Bento in a predictor of its own, by the Open Inference Protocol.

Fields after the published models of kserve 0.21.0 (PyPI: kserve/models/v1beta1_predictor_spec.py). Of a
custom predictor KServe reads the protocol from the variable `PROTOCOL` of its first container
(kserve/kserve, pkg/apis/serving/v1beta1/predictor_custom.go).
"""

from __future__ import annotations

from typing import Any

from mlops.entities import Side
from mlops.serving.kubernetes.order import BENTO, ExportOrder, labels, metadata, resources, unprivileged

PORT = 8080
_ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - of the pod, whose callers the cluster chooses


def inference_service(order: ExportOrder) -> dict[str, Any]:
    """The manifest. A canary's has `canaryTrafficPercent`: applied over the champion's, which has the same
    name, KServe gives the new revision that share and leaves the rest to the last one."""
    predictor: dict[str, Any] = {
        "minReplicas": order.deployment.replicas,
        "maxReplicas": order.most_replicas,
        "containerConcurrency": order.limits.max_ongoing,
        "labels": labels(order),
        "containers": [_container(order)],
    }
    if order.deployment.side is Side.CANARY:
        predictor["canaryTrafficPercent"] = order.deployment.weight
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": metadata(order),
        "spec": {"predictor": predictor},
    }


def command(
    order: ExportOrder, bento: str = BENTO, host: str = _ALL_ADDRESSES, port: int = PORT
) -> list[str]:
    """What the container runs."""
    return [
        "python", "-m", "mlops.serving.standalone", "--bento", bento, "--host", host, "--port", str(port),
        "--threads", str(order.limits.threads), "--max-ongoing", str(order.limits.max_ongoing),
        "--max-batch", str(order.limits.max_batch),
    ]  # fmt: skip


def _container(order: ExportOrder) -> dict[str, Any]:
    return {
        "name": "kserve-container",
        "image": order.image_name,
        "command": command(order),
        "env": [{"name": "PROTOCOL", "value": "v2"}],
        "ports": [{"name": "http1", "containerPort": PORT, "protocol": "TCP"}],
        "resources": resources(f"{round(1000 * order.limits.cpus)}m", order.pod_memory),
        "securityContext": unprivileged(),
        "readinessProbe": {
            "httpGet": {"path": "/v2/health/ready", "port": PORT},
            "periodSeconds": 5,
            "timeoutSeconds": 2,
            "failureThreshold": 3,
        },
    }
