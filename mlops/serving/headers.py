"""Headers between the gateway and the replicas."""

from __future__ import annotations

SECRET_HEADER = "X-MLOps-Replica-Secret"  # noqa: S105 - a name
REQUEST_ID_HEADER = "X-Request-Id"
HEADER_LENGTH = "Inference-Header-Content-Length"
"""Of the Open Inference Protocol: where a body's JSON ends and its binary tensors begin."""
LOG_HEADER, FEATURES_HEADER = "X-MLOps-Log", "X-MLOps-Features"
"""With the first a replica is asked to add the second: what of the inference goes into the log."""
WORK_HEADER = "X-MLOps-Work"
"""Of each answer: seconds that it waited in the replica, and requests that its call of the model answered."""
MODEL_HEADER, VERSION_HEADER = "X-MLOps-Model", "X-MLOps-Model-Version"
"""What the model is called, for answers that name it."""
