"""kill -9 of one part after another: it is back, the deployment answers, nothing is lost."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import pytest

from mlops.client import MLOpsClient
from mlops.entities import ServiceState
from mlops.errors import MLOpsError
from mlops.installation import Installation
from mlops.services import control, processes
from mlops.services.sockets import listeners
from mlops.services.status import read_status, supervisor_pid

BACK_WITHIN_S = 60.0


def until(condition: Callable[[], bool], seconds: float = BACK_WITHIN_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)


def all_healthy(stack: Installation) -> bool:
    return all(status.state is ServiceState.HEALTHY for status in read_status(stack))


def restarts(stack: Installation, name: str) -> int:
    return next(status.restarts for status in read_status(stack) if status.name == name)


def answers(client: MLOpsClient, trained: Any) -> bool:
    try:
        outputs = client.predict("digits", {"X": trained.sample.tolist()})
    except MLOpsError:
        return False
    return bool(outputs["label"] == [trained.expected])


def kill_main(stack: Installation, name: str) -> None:
    pid = next(status.pid for status in read_status(stack) if status.name == name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def kill_named(stack: Installation, service: str, name: str) -> None:
    victim = next(p for p in processes.marked(stack.root, service) if name in " ".join(p.cmdline()))
    victim.kill()


VICTIMS: dict[str, tuple[str, Callable[[Installation], None]]] = {
    "postgres": ("postgres", lambda stack: kill_main(stack, "postgres")),
    "mlflow's parent": ("mlflow", lambda stack: kill_main(stack, "mlflow")),
    "mlflow's worker": ("mlflow", lambda stack: kill_named(stack, "mlflow", "uvicorn")),
    "ray's head": ("ray", lambda stack: kill_main(stack, "ray")),
    "ray's gcs": ("ray", lambda stack: kill_named(stack, "ray", "gcs_server")),
    "worker": ("worker", lambda stack: kill_main(stack, "worker")),
    "gateway": ("gateway", lambda stack: kill_main(stack, "gateway")),
}


@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_part_is_back_and_nothing_is_lost(
    victim: str, stack: Installation, digits: MLOpsClient, served_digits: Any
) -> None:
    service, kill = VICTIMS[victim]
    until(lambda: all_healthy(stack) and answers(digits, served_digits))
    logged: list[int] = []
    with digits.start_run(f"while {victim} dies") as run:
        for step in range(3):
            digits.log_metrics({"step": float(step)}, step=step)
            logged.append(step)
        before = restarts(stack, service)
        kill(stack)
        until(lambda: restarts(stack, service) > before)
        until(lambda: all_healthy(stack))
        until(lambda: answers(digits, served_digits))
        digits.log_metrics({"step": 3.0}, step=3)
    found = digits.get_run(run.id)
    assert found.metrics["step"] == 3.0
    assert found.status.value == "FINISHED"
    assert len([r for r in digits.search_runs() if r.name == f"while {victim} dies"]) == 1


def test_killed_supervisor_is_replaced_and_nothing_runs_twice(
    stack: Installation, digits: MLOpsClient, served_digits: Any
) -> None:
    until(lambda: answers(digits, served_digits))
    old = supervisor_pid(stack)
    assert old is not None
    os.kill(old, signal.SIGKILL)
    until(lambda: supervisor_pid(stack) is None)
    assert answers(digits, served_digits), "the services go on without their supervisor"
    assert {status.state for status in read_status(stack)} == {ServiceState.STOPPED}
    control.start(stack)
    assert supervisor_pid(stack) not in (None, old)
    until(lambda: answers(digits, served_digits))
    mains = processes.marked(stack.root, "gateway")
    assert len(mains) == 1


def test_two_starts_at_once_start_one_stack(stack: Installation) -> None:
    control.stop(stack)
    command = [sys.executable, "-m", "mlops.cli", "mlops:start"]
    environment = {**os.environ, "MLOPS_HOME": str(stack.root)}
    starts = [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [start.wait(120) for start in starts] == [0, 0]
    supervisors = [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.info["cmdline"]
        and process.info["cmdline"][-2:] == ["-m", "mlops.services"]
        and _home_of(process) == str(stack.root)
    ]
    assert len(supervisors) == 1
    assert len(processes.marked(stack.root, "gateway")) == 1


def test_stop_leaves_no_process_and_no_port(
    stack: Installation, digits: MLOpsClient, served_digits: Any
) -> None:
    until(lambda: answers(digits, served_digits))
    held = listeners(stack)
    pids = {process.pid for process in processes.marked(stack.root)} | {supervisor_pid(stack)}
    assert len(pids) > 6
    begun = time.monotonic()
    assert control.stop(stack)
    assert time.monotonic() - begun < 30
    assert processes.marked(stack.root) == []
    assert supervisor_pid(stack) is None
    assert listeners(stack) == []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    assert held
    assert control.stop(stack) is False
    control.start(stack)
    until(lambda: answers(digits, served_digits))


def _home_of(process: psutil.Process) -> str:
    try:
        return process.environ().get("MLOPS_HOME", "")
    except psutil.Error:
        return ""
