"""Trackio, in an environment of its own: beside our dependencies only an ancient one can be had."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from tests.bench.tracking_child import Child

_VERSION = "0.43.0"


@dataclass(frozen=True)
class Trackio:
    """An installed Trackio."""

    python: Path

    @property
    def name(self) -> str:
        """As the table names it."""
        return f"Trackio {_VERSION}"

    @classmethod
    def installed(cls) -> Trackio:
        """Installed into the user's cache when it is not there yet; needs a package index then."""
        folder = platformdirs.user_cache_path("efficientai-toolkit") / "bench" / f"trackio-{_VERSION}"
        python = folder / "bin" / "python"
        if not (folder / "installed").exists():
            folder.mkdir(parents=True, exist_ok=True)
            uv = str(Path(sys.executable).with_name("uv"))
            for command in (
                ["venv", "--clear", "--python", sys.executable, "."],
                ["pip", "install", "--python", str(python), f"trackio=={_VERSION}"],
            ):
                # From there: in our folder uv would hold to our constraints.
                subprocess.run([uv, *command, "--quiet"], cwd=folder, check=True)
            (folder / "installed").touch()
        return cls(python)

    def latency(self, folder: Path, seconds: float, rate: float, width: int) -> dict[str, float]:
        """Microseconds of its calls, without a network or a browser, in a new folder."""
        environment = {"TRACKIO_DIR": str(folder / "trackio"), "HF_HUB_OFFLINE": "1"}
        child = Child(
            "tests.bench.tracking_on_trackio",
            "latency",
            {"seconds": seconds, "rate": rate, "width": width},
            folder,
            environment,
            python=self.python,
        )
        return child.result(seconds + 120)
