"""A process of ours that does one job: told what by JSON on its standard input, it answers with JSON as the
last line of its output. What it takes of memory ends with it, and it can be ended at any moment."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

LOG_CHARS = 8000
"""Of the end of what a process said of itself that are kept."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process came to its end."""

    code: int
    """Its exit code; that of a signal is negative."""
    answer: Mapping[str, Any]
    """Its last line; empty where that is no JSON object."""
    log: str
    """The end of its standard error."""


class Child:
    """`python -m <module>` in a group of its own. It writes to files, so that no pipe can fill up."""

    def __init__(self, module: str, order: Mapping[str, Any]) -> None:
        self._out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `ended` and `kill`
        self._err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        with tempfile.TemporaryFile() as told:
            told.write(json.dumps(dict(order)).encode())
            told.seek(0)
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=told,
                stdout=self._out,
                stderr=self._err,
                start_new_session=True,
            )

    def wait(self, seconds: float) -> bool:
        """Until it has ended, at most so long; returns whether it has."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self.has_ended()

    def has_ended(self) -> bool:
        """Whether it has; never waits."""
        return self._process.poll() is not None

    def kill(self) -> str:
        """End it and all of its group, wherever it is; returns the end of its standard error."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        return self.ended().log

    def ended(self) -> Ended:
        """What it left, once it has ended; asked for once."""
        with self._out as out, self._err as err:
            return Ended(self._process.returncode, _last_json(_content(out)), _content(err)[-LOG_CHARS:])


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _last_json(text: str) -> dict[str, Any]:
    lines = text.strip().splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def read_order() -> dict[str, Any]:
    """In the process: what it is to do."""
    order: dict[str, Any] = json.load(sys.stdin)
    return order


def tell(answer: Mapping[str, Any]) -> None:
    """In the process: answer."""
    sys.stdout.write("\n" + json.dumps(dict(answer)) + "\n")


def limit_memory(memory_mb: int) -> None:
    """In the process: take no more address space than so many MiB, which is two to three times what is used.
    Where the system does not limit it (macOS) it is not limited."""
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    wanted = memory_mb * 2**20
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (wanted, most))


def peak_mb() -> float:
    """In the process: the most memory it held, in 10^6 bytes; 0 where the system does not tell (macOS)."""
    # Not by `getrusage`, which counts what the process held before it became this program.
    status = Path("/proc/self/status")
    told = status.read_text() if status.exists() else ""
    found = re.search(r"^VmHWM:\s+(\d+) kB", told, re.M)
    return int(found[1]) * 1024 / 1e6 if found else 0.0
