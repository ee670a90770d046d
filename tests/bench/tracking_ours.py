"""What our client does in the tracking benchmarks, each scenario in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from mlops.client import MLOpsClient
from tests.bench.tracking_acknowledged import Acknowledged
from tests.bench.tracking_child import until
from tests.bench.tracking_pace import answer, names, summary, timed, values

_PROJECT = "bench"
_LONG_S = 3600.0


def latency(client: MLOpsClient, request: dict[str, Any]) -> object:
    """Microseconds of `log_metrics` at a steady rate."""
    calls = int(request["seconds"] * request["rate"])
    with client.start_run():
        return summary(timed(client.log_metrics, calls, request["rate"], request["width"]))


def throughput(client: MLOpsClient, request: dict[str, Any]) -> object:
    """Points a second from the first call until the run has ended, which waits for the server."""
    keys = names(request["width"])
    with client.start_run() as run:
        begun = time.perf_counter()
        for step in range(request["calls"]):
            client.log_metrics(values(keys, step), step)
    seconds = time.perf_counter() - begun
    return {"key": run.key, "rate": request["calls"] * len(keys) / seconds}


def killed(client: MLOpsClient, request: dict[str, Any]) -> object:
    """Log, and note each call that returned, until the parent kills; or die by one's own hand right after
    `calls` calls have returned."""
    keys, gap = names(request["width"]), 1 / request["rate"]
    with client.start_run() as run:
        acknowledged = Acknowledged.create(Path(request["acknowledged"]), run.key)
        begun, step = time.perf_counter(), 0
        while True:
            metrics = values(keys, step)
            time.sleep(max(0.0, begun + step * gap - time.perf_counter()))
            client.log_metrics(metrics, step)
            step += 1
            acknowledged.calls = step
            if step == request["calls"]:
                os.kill(os.getpid(), signal.SIGKILL)


def recover(client: MLOpsClient, request: dict[str, Any]) -> object:
    """Start a run, as the project's next process does; what was left is delivered by it."""
    with client.start_run() as run:
        until(lambda: all(path.name == run.key for path in Path(request["journal"]).glob("[!.]*")), _LONG_S)
    return {"key": run.key}


def outage(client: MLOpsClient, request: dict[str, Any]) -> object:
    """Log without a server; tell the growth of memory and the journal's size; end when told to."""
    process, journal, go = psutil.Process(), Path(request["journal"]), Path(request["go"])
    keys = names(request["width"])
    with client.start_run() as run:
        client.log_metrics(values(keys, 0), 0)
        before = process.memory_info().rss
        watch = _Watch(lambda: process.memory_info().rss)
        timed(
            lambda _, step: client.log_metrics(values(keys, step + 1), step + 1),
            request["calls"] - 1,
            request["rate"],
            request["width"],
        )
        found = {"key": run.key, "grown": watch.most - before, "journal": _allocated(journal)}
        Path(request["done"]).touch()
        until(go.exists, _LONG_S)
        watch.most = 0
        begun = time.perf_counter()
    delivery = {"delivery_s": time.perf_counter() - begun, "delivery_grown": watch.most - before}
    return found | delivery


def one_of_many(client: MLOpsClient, request: dict[str, Any]) -> object:
    """Log steps at full pace once all processes are ready."""
    keys = names(request["width"])
    with client.start_run() as run:
        Path(request["ready"]).touch()
        until(Path(request["go"]).exists, _LONG_S)
        for step in range(request["calls"]):
            client.log_metrics(values(keys, step), step)
    return {"key": run.key}


def sender_cpu(client: MLOpsClient, request: dict[str, Any]) -> object:
    """Percent of one core that the sender's threads take of a steady stream, until all is at the server."""
    with client.start_run() as run:
        begun, used = time.perf_counter(), _sender_s()
        timed(client.log_metrics, request["calls"], request["rate"], request["width"])
    used = _sender_s() - used
    return {"key": run.key, "percent": 100 * used / (time.perf_counter() - begun)}


def _sender_s() -> float:
    ours = [each for each in threading.enumerate() if each.name in ("mlops-sender", "mlops-sync")]
    if len(ours) != 2:
        raise RuntimeError(f"the sender has {len(ours)} threads")
    clocks = [time.pthread_getcpuclockid(each.ident) for each in ours if each.ident is not None]
    return sum(time.clock_gettime(clock) for clock in clocks)


def _allocated(folder: Path) -> int:
    return sum(each.stat().st_blocks * 512 for each in folder.rglob("*") if each.is_file())


class _Watch:
    """The largest value a question was answered with, asked ten times a second by a thread."""

    def __init__(self, ask: Callable[[], int]) -> None:
        self.most = 0
        self._ask = ask
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.most = max(self.most, self._ask())
            time.sleep(0.1)


_SCENARIOS: dict[str, Callable[[MLOpsClient, dict[str, Any]], object]] = {
    each.__name__: each for each in (latency, throughput, killed, recover, outage, one_of_many, sender_cpu)
}

if __name__ == "__main__":
    answer(
        Path(sys.argv[3]),
        _SCENARIOS[sys.argv[1]](MLOpsClient.from_project(_PROJECT), json.loads(sys.argv[2])),
    )
