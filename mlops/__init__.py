"""efficientai-toolkit: one shared MLOps client and services layer for many projects.

The public names; each is imported on first use, so that `import mlops` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlops.active_run import ActiveRun as ActiveRun
    from mlops.client import MLOpsClient as MLOpsClient
    from mlops.config import MLOpsConfig as MLOpsConfig
    from mlops.entities import DataCheck as DataCheck
    from mlops.entities import DataStatus as DataStatus
    from mlops.entities import DataTransfer as DataTransfer
    from mlops.entities import DataVersion as DataVersion
    from mlops.entities import Deployment as Deployment
    from mlops.entities import Inference as Inference
    from mlops.entities import ModelVersion as ModelVersion
    from mlops.entities import ProjectWorkspace as ProjectWorkspace
    from mlops.entities import Run as Run
    from mlops.entities import Side as Side
    from mlops.errors import InvalidInput as InvalidInput
    from mlops.errors import MLOpsError as MLOpsError
    from mlops.hardware.base import AppleSiliconMetrics as AppleSiliconMetrics
    from mlops.hardware.base import CpuLevel as CpuLevel
    from mlops.hardware.base import HardwareSample as HardwareSample
    from mlops.hardware.base import ThermalState as ThermalState
    from mlops.hardware.compute import Compute as Compute
    from mlops.hardware.compute import which_compute as which_compute
    from mlops.hardware.thermal import ThermalAction as ThermalAction

_HOMES = {
    "ActiveRun": "mlops.active_run",
    "MLOpsClient": "mlops.client",
    "MLOpsConfig": "mlops.config",
    "DataCheck": "mlops.entities",
    "DataStatus": "mlops.entities",
    "DataTransfer": "mlops.entities",
    "DataVersion": "mlops.entities",
    "Deployment": "mlops.entities",
    "Inference": "mlops.entities",
    "ModelVersion": "mlops.entities",
    "ProjectWorkspace": "mlops.entities",
    "Run": "mlops.entities",
    "Side": "mlops.entities",
    "InvalidInput": "mlops.errors",
    "MLOpsError": "mlops.errors",
    "AppleSiliconMetrics": "mlops.hardware.base",
    "CpuLevel": "mlops.hardware.base",
    "HardwareSample": "mlops.hardware.base",
    "ThermalState": "mlops.hardware.base",
    "Compute": "mlops.hardware.compute",
    "which_compute": "mlops.hardware.compute",
    "ThermalAction": "mlops.hardware.thermal",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'mlops' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
