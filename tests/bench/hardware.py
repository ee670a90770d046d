"""What it costs to look at the machine: a sample, a run's sampling, the import; next to MLflow's monitors."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mlops.hardware.machine import open_readers
from mlops.hardware.sampler import HardwareSampler
from tests.bench.result import Comparison, Measure, Result
from tests.mlops.hardware.macs import mac
from tests.mlops.programs import Home

ROUNDS, SAMPLES = 11, 100
_INTERVAL_S = 5.0


def run() -> Iterator[Result]:
    """Rounds of samples, ours and MLflow's in turn."""
    ours, peer, imports = [], [], []
    readers, monitors = open_readers(), _mlflow_monitors()
    for _ in range(ROUNDS):
        ours.append(_milliseconds(readers.read))
        peer.append(_milliseconds(monitors))
        imports.append(1000 * (_process_s("import mlops.hardware") - _process_s("pass")))
    yield Measure("A sample of this machine", "ms", ours, 5)
    yield Comparison(
        "A sample of this machine", "ms", ours, "MLflow's CPU, disk and network monitors", peer, None
    )
    yield Measure("import mlops.hardware, over a bare interpreter", "ms", imports, 50)
    with tempfile.TemporaryDirectory() as folder:
        shares = [_share_percent(Path(folder) / str(number)) for number in range(3)]
    yield Measure("Sampling a run every 5 s, journal included, of a core", "%", shares, 1)
    on_a_mac = open_readers(system="Darwin", run=mac())
    yield Measure(
        "Reading a Mac's (synthetic) outputs, without its commands",
        "ms",
        [_milliseconds(on_a_mac.read) for _ in range(ROUNDS)],
        None,
    )


def _milliseconds(read: Callable[[], object]) -> float:
    """The mean of some samples, after one that is not counted."""
    read()
    begun = time.perf_counter()
    for _ in range(SAMPLES):
        read()
    return 1000 * (time.perf_counter() - begun) / SAMPLES


def _mlflow_monitors() -> Callable[[], None]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

    monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]

    def collect() -> None:
        for monitor in monitors:
            monitor.collect_metrics()
            monitor.aggregate_metrics()
            monitor.clear_metrics()

    return collect


def _process_s(code: str) -> float:
    """The quickest of three starts, with byte code written."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    times = []
    for _ in range(3):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], env=environment, check=True)
        times.append(time.perf_counter() - begun)
    return min(times)


def _share_percent(folder: Path) -> float:
    """The CPU time of a run's samples, as a share of a core at the default interval."""
    folder.mkdir()
    tracker = Home(folder).workspace.tracking
    run = tracker.start_run("sampled", {}, None)
    sampler = HardwareSampler(
        open_readers,
        lambda metrics, tags, step: tracker.log(run.key, metrics=metrics, tags=tags, step=step),
        interval_s=0,
        started_s=time.time(),
    )
    sampler.sample()
    begun = _cpu_s()
    for _ in range(SAMPLES):
        sampler.sample()
    return 100 * (_cpu_s() - begun) / SAMPLES / _INTERVAL_S


def _cpu_s() -> float:
    """Of all threads, the journal's sender among them, and of the commands that were run."""
    return sum(os.times()[:4])
