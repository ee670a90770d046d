"""Whether this Python's torch can use the Apple GPU."""

from __future__ import annotations

import sys

from mlops.hardware.base import HardwareSample, sampled


class Mps:
    """torch's own answer, `torch.backends.mps.is_available()`."""

    name = "torch"
    tells = ("mps_available",)

    def __init__(self, *, import_torch: bool) -> None:
        """torch takes seconds to import: without `import_torch` only a program that uses it is told."""
        self._import_torch = import_torch

    def read(self) -> HardwareSample | None:
        """Raises `ImportError` where torch should be imported and is not installed."""
        if "torch" not in sys.modules and not self._import_torch:
            return sampled(self.name, ("mps_available: this program does not use torch",))
        import torch

        return sampled(self.name, mps_available=bool(torch.backends.mps.is_available()))
