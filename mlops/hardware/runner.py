"""Running one of the system's own commands to read what it prints."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from contextlib import suppress

Run = Callable[[tuple[str, ...], float], bytes]
"""Command, longest time in seconds -> what it printed. Raises `OSError` for a command that is missing,
`subprocess.SubprocessError` for one that failed or took too long."""

_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"}
_GRACE_S = 0.5
"""A process that was killed is gone within this time, unless it was not ours to kill."""


def run(command: tuple[str, ...], timeout_s: float) -> bytes:
    """Run a command, named by its absolute path, in no one's language and without a terminal to ask at.

    Unlike `subprocess.run` it waits no longer than half a second beyond its time for a command that it may
    not kill, as `sudo` is one once it became root.
    """
    # Descriptors are not inherited anyway; closing them all would cost a fork of a large process.
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=_ENVIRONMENT,
        close_fds=False,
    )
    try:
        printed, _ = child.communicate(timeout=timeout_s)
    except BaseException:
        _end(child)
        raise
    if child.returncode != 0:
        raise subprocess.CalledProcessError(child.returncode, command, printed)
    return printed


def _end(child: subprocess.Popen[bytes]) -> None:
    with suppress(PermissionError, ProcessLookupError):
        child.kill()
    if child.stdout is not None:
        child.stdout.close()  # what writes on is ended by that
    try:
        child.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        with suppress(RuntimeError):  # no thread is left
            threading.Thread(target=child.wait, name="mlops-reaper", daemon=True).start()
