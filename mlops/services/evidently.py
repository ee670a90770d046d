"""Evidently's UI: a service that runs while somebody wants it. That they do stands in a file, so that
neither the end of the UI nor that of the supervisor forgets it; stopping the stack does."""

from __future__ import annotations

import sys
from pathlib import Path

from mlops.installation import LOOPBACK, Installation, write_private
from mlops.services.base import Service
from mlops.services.names import EVIDENTLY
from mlops.services.probes import http_probe


def service(installation: Installation, port: int) -> Service:
    """The service, which listens on `port`. Who may see what of it the gateway says."""
    return Service(
        name=EVIDENTLY,
        command=[sys.executable, "-m", "mlops.monitoring.evidently_ui"],
        env={"DO_NOT_TRACK": "1", "GIT_COMMIT": ""},  # or it asks git for the revision of its own folder
        probe=http_probe(f"http://{LOOPBACK}:{port}/health", port),
        address=installation.evidently_url,
        start_timeout_s=300.0,  # it reads what all projects have
        wanted=_wanted_file(installation).exists,
    )


def want(installation: Installation) -> None:
    """Have the supervisor start it."""
    write_private(_wanted_file(installation), "")


def want_no_more(installation: Installation) -> bool:
    """Have the supervisor stop it; returns whether it was wanted."""
    was = _wanted_file(installation).exists()
    _wanted_file(installation).unlink(missing_ok=True)
    return was


def _wanted_file(installation: Installation) -> Path:
    return installation.run_dir / "evidently.wanted"
