"""Postgres as the platform starts it, alone and empty."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops.config import MLOpsConfig
from mlops.installation import Installation
from mlops.services import postgres
from tests.bench.tracking_child import until

_START_S = 60.0


@contextmanager
def running() -> Iterator[Installation]:
    """An installation with an empty database `mlops`; all of it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        installation = Installation(MLOpsConfig(home=Path(folder) / "home"))
        installation.prepare()
        postgres.initialise(installation)
        service = postgres.service(installation, installation.choose_ports(["postgres"])["postgres"])
        with (installation.logs_dir / "postgres.log").open("wb") as log:
            process = subprocess.Popen(service.command, stdout=log, stderr=log, start_new_session=True)
        try:
            until(lambda: service.probe(frozenset([process.pid])) is None, _START_S)
            postgres.create_databases(installation.database_url)
            yield installation
        finally:
            process.send_signal(service.stop_signal)
            process.wait(60)
            shutil.rmtree(postgres.data_dir(installation), ignore_errors=True)  # may lie outside the home
