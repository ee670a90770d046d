"""What `--help` and `mlops:status` cost next to `dvc --help`, as whole processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.result import Comparison, Result

ROUNDS = 11
_BIN = Path(sys.executable).parent


def run() -> Iterator[Result]:
    """Rounds of the three commands in turn, after one that is not counted."""
    with tempfile.TemporaryDirectory() as home:
        ours_help, status, dvc = [], [], []
        for number in range(ROUNDS + 1):
            timed = (
                _seconds([str(_BIN / "efficientai-toolkit"), "--help"], home),
                _seconds([str(_BIN / "efficientai-toolkit"), "mlops:status"], home),
                _seconds([str(_BIN / "dvc"), "--help"], home),
            )
            if number:
                for kept, seconds in zip((ours_help, status, dvc), timed, strict=True):
                    kept.append(seconds)
    yield Comparison("efficientai-toolkit --help", "s", ours_help, "dvc --help", dvc, 1.5)
    yield Comparison("efficientai-toolkit mlops:status", "s", status, "dvc --help", dvc, 4.0)


def _seconds(command: list[str], home: str) -> float:
    begun = time.perf_counter()
    subprocess.run(command, env={**os.environ, "MLOPS_HOME": home}, capture_output=True, check=False)
    return time.perf_counter() - begun
