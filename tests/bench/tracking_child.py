"""A measurement in a process of its own, so that none finds what another left in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]


class Child:
    """`python -m MODULE SCENARIO REQUEST ANSWER`; it answers by a file, since a run captures what is
    printed."""

    def __init__(
        self,
        module: str,
        scenario: str,
        request: Mapping[str, Any],
        folder: Path,
        environment: Mapping[str, str],
        python: Path = Path(sys.executable),
    ) -> None:
        """Start it; `environment` is added to ours, of which MLflow's settings are left out."""
        self._files = Path(tempfile.mkdtemp(prefix=f"{scenario}-", dir=folder))
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "MLOPS_"))}
        with (self._files / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [python, "-m", module, scenario, json.dumps(request), self._files / "answer"],
                cwd=_ROOT,
                env={**kept, **environment},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def result(self, seconds: float) -> Any:
        """What it measured, once it has ended well."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = None
        if code != 0:
            raise RuntimeError(f"ended with {code} within {seconds:.0f} s:\n{self.log}")
        return json.loads((self._files / "answer").read_text())

    def until(self, condition: Callable[[], bool], seconds: float) -> None:
        """Wait for something the living child does; raises `RuntimeError` when it does not come."""
        until(lambda: condition() or self.process.poll() is not None, seconds)
        if not condition():
            raise RuntimeError(f"ended with {self.process.returncode}:\n{self.log}")

    def stop(self) -> None:
        """End it, if it still lives."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    @property
    def log(self) -> str:
        """The last of what it printed."""
        return (self._files / "log").read_text(errors="replace")[-4000:]


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until `condition()`; raises `TimeoutError`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s")
        time.sleep(0.01)
