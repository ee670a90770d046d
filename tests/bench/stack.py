"""Start-up and idle memory of the whole stack, next to the tools with their defaults."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil

from mlops.client import MLOpsClient
from mlops.config import MLOpsConfig
from mlops.entities import ServiceState
from mlops.errors import MLOpsError
from mlops.installation import Installation
from mlops.registration import register
from mlops.services import catalog, control, processes
from mlops.services.base import Service
from mlops.services.status import supervisor_pid
from mlops.services.supervisor import Supervisor
from mlops.store.store import Store
from tests.bench import defaults
from tests.bench.digits import DIGITS, served_sample
from tests.bench.result import Comparison, Measure, Result

ROUNDS = 3
SETTLE_S = 20.0


def run() -> Iterator[Result]:
    """Start, memory, and the same of the defaults."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        installation = Installation(MLOpsConfig(home=Path(folder) / "home"))
        try:
            yield from _of_ours(installation, Path(folder))
        finally:
            control.stop(installation)


def _of_ours(installation: Installation, folder: Path) -> Iterator[Result]:
    control.start(installation)
    client, sample = _serve_digits(installation, folder)
    memory = _settled_memory(installation.root, supervisor_pid(installation))
    whole, answering, alone = [], [], []
    for _ in range(ROUNDS):
        control.stop(installation)
        alone.append(max(_alone(installation, name) for name in ("mlflow", "ray")))
        begun = time.perf_counter()
        control.start(installation)
        whole.append(time.perf_counter() - begun)
        _until(lambda: _answers(client, sample), 120)
        answering.append(time.perf_counter() - begun)
    control.stop(installation)
    yield Comparison("mlops:start to all healthy", "s", whole, "slowest service alone", alone, 1.8)
    yield Measure("mlops:start to a recorded deployment's answer", "s", answering, 25.0)
    theirs = defaults.memory(installation, folder, _settled_memory)
    yield Comparison("idle memory with one deployment", "MB (PSS)", memory, "tools' defaults", theirs, 0.55)


def _serve_digits(installation: Installation, folder: Path) -> tuple[MLOpsClient, list[list[float]]]:
    store = Store(installation.database_url())
    root = DIGITS.copy_to(folder / "digits")
    register(root, installation, store)
    store.close()
    client = MLOpsClient.from_project("digits", config=installation.config)
    return client, served_sample(client)


def _answers(client: MLOpsClient, sample: list[list[float]]) -> bool:
    try:
        client.predict("digits", {"X": sample})
    except MLOpsError:
        return False
    return True


def _alone(installation: Installation, name: str) -> float:
    """Seconds from spawn to healthy of one service; what it needs runs already."""
    services = {service.name: service for service in catalog.services(installation)}
    needed = [services[other] for other in services[name].after]
    return asyncio.run(_time_one(installation, needed, replace(services[name], after=())))


async def _time_one(installation: Installation, needed: list[Service], service: Service) -> float:
    stop = asyncio.Event()
    tasks = []
    try:
        for part in (*needed, service):
            status_file = installation.run_dir / f"bench-{part.name}.json"
            keeper = Supervisor(
                installation.root,
                [part],
                [],
                logs=installation.logs_dir,
                status_file=status_file,
                environment=dict(os.environ),
            )
            begun = time.perf_counter()
            tasks.append(asyncio.create_task(keeper.run_until(stop)))
            while f'"state": "{ServiceState.HEALTHY}"' not in _text(status_file):
                await asyncio.sleep(0.02)
            seconds = time.perf_counter() - begun
    finally:
        stop.set()
        await asyncio.gather(*tasks)
    return seconds


def _settled_memory(home: Path, extra_pid: int | None) -> list[float]:
    """MB of PSS of every process of the stack, three times once it has come to rest."""
    time.sleep(SETTLE_S)
    figures = []
    for _ in range(3):
        found = processes.services_of(home)
        if extra_pid is not None:
            found[psutil.Process(extra_pid)] = "supervisor"
        shares: dict[str, float] = {}
        for process, service in found.items():
            shares[service] = shares.get(service, 0.0) + process.memory_full_info().pss / 1e6
        figures.append(sum(shares.values()))
        time.sleep(2)
    listed = ", ".join(f"{name} {share:.0f}" for name, share in sorted(shares.items()))
    print(f"  {statistics.median(figures):.0f} MB in {len(found)} processes: {listed}", file=sys.stderr)
    return figures


def _until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.02)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
