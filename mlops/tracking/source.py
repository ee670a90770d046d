"""Where a run comes from: user, program and git commit, as the tags that MLflow's own clients set.

Written here because MLflow's providers come with its import, which takes seconds.
"""

from __future__ import annotations

import getpass
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

_GIT_TIMEOUT_S = 2.0


def source_tags() -> dict[str, str]:
    """`mlflow.user`, `mlflow.source.name`, `mlflow.source.type`, `mlflow.source.git.commit`; what is
    not known is left out."""
    program = sys.argv[0] if sys.argv and sys.argv[0] else ""
    tags = {
        "mlflow.user": _user(),
        "mlflow.source.name": program or "<console>",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": _commit(str(Path(program).resolve().parent)) if program else "",
    }
    return {key: value for key, value in tags.items() if value}


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # a user id without a name
        return ""


@lru_cache(maxsize=16)
def _commit(folder: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", folder, "rev-parse", "--verify", "HEAD"],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
