"""How a program that refuses to run as root is run when we are root."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mlops.errors import ServiceStartFailed

NOBODY = 65534


@dataclass(frozen=True, slots=True)
class Guise:
    """As whom a command is run."""

    prefix: tuple[str, ...] = ()
    """Stands before the command's own arguments."""
    uid: int | None = None
    """Whom its files must belong to; None where they stay ours."""

    def hand_over(self, path: Path) -> None:
        """Give a file or folder to the one who runs."""
        if self.uid is not None:
            os.chown(path, self.uid, self.uid)

    def can_run(self, program: Path) -> bool:
        """Whether the one who runs can reach the program."""
        command = [*self.prefix, str(program), "--version"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@functools.cache
def guise(service: str) -> Guise:
    """Ours, for an ordinary user. For root: a user namespace in which we are `nobody` (files stay
    root's, no account is made); where namespaces are off, as in many containers, `nobody` itself.

    Raises `ServiceStartFailed` where neither can be had.
    """
    if os.geteuid() != 0:
        return Guise()
    in_namespace = Guise(("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"))
    as_nobody = Guise(("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"), uid=NOBODY)
    for found in (in_namespace, as_nobody):
        if shutil.which(found.prefix[0]) and found.can_run(Path("/bin/true")):
            return found
    raise ServiceStartFailed(
        service,
        "it does not run as root, and neither unshare nor setpriv can change who runs it;"
        " start as an ordinary user, or set MLOPS_DATABASE_URL to a server elsewhere",
    )
