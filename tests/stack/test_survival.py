"""kill -9 of one part after another: it is back, the deployment answers, nothing is lost."""

from __future__ import annotations

import contextlib
import inspect
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
from mlops.services.names import SERVICES
from mlops.services.sockets import listeners
from mlops.services.status import read_status, supervisor_pid

BACK_WITHIN_S = 60.0


def until(condition: Callable[[], bool], deadline: float | None = None) -> None:
    """Wait for the condition until `deadline`, a moment of the monotonic clock."""
    deadline = time.monotonic() + BACK_WITHIN_S if deadline is None else deadline
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {inspect.getsource(condition).strip()}"
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


def main_of(name: str) -> Callable[[Installation], psutil.Process | None]:
    """Finds the service's process that the supervisor started."""

    def find(stack: Installation) -> psutil.Process | None:
        pid = next(status.pid for status in read_status(stack) if status.name == name)
        try:
            return psutil.Process(pid) if pid else None
        except psutil.NoSuchProcess:
            return None

    return find


def part_of(service: str, name: str) -> Callable[[Installation], psutil.Process | None]:
    """Finds the service's process whose command holds `name`."""

    def find(stack: Installation) -> psutil.Process | None:
        for process in processes.marked(stack.root, service):
            with contextlib.suppress(psutil.Error):
                if name in " ".join(process.cmdline()):
                    return process
        return None

    return find


Find = Callable[[Installation], psutil.Process | None]

VICTIMS: dict[str, tuple[str, Find]] = {
    "postgres": ("postgres", main_of("postgres")),
    "mlflow's parent": ("mlflow", main_of("mlflow")),
    "mlflow's worker": ("mlflow", part_of("mlflow", "uvicorn")),
    "ray's head": ("ray", main_of("ray")),
    "ray's gcs": ("ray", part_of("ray", "gcs_server")),
    "worker": ("worker", main_of("worker")),
    "gateway": ("gateway", main_of("gateway")),
}


def test_every_child_of_the_supervisor_is_a_victim(stack: Installation) -> None:
    assert {service for service, _ in VICTIMS.values()} == set(SERVICES)


@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_part_is_back_and_nothing_is_lost(
    victim: str, stack: Installation, digits: MLOpsClient, served_digits: Any
) -> None:
    service, find = VICTIMS[victim]
    until(lambda: all_healthy(stack) and answers(digits, served_digits))
    name = f"while {victim} dies"
    with digits.start_run(name) as run:
        log_everything(digits, range(3))
        before, process = restarts(stack, service), find(stack)
        assert process is not None
        process.kill()
        deadline = time.monotonic() + BACK_WITHIN_S
        until(lambda: restarts(stack, service) > before, deadline)
        until(lambda: find(stack) not in (None, process), deadline)
        until(lambda: all_healthy(stack), deadline)
        until(lambda: answers(digits, served_digits), deadline)
        log_everything(digits, range(3, 6))
    assert_everything_is_kept(digits, run.id, range(6))
    assert [found.id for found in digits.search_runs() if found.name == name] == [run.id]


def log_everything(client: MLOpsClient, steps: range) -> None:
    """A metric, a param and a tag for each step, each under a key of its own."""
    for step in steps:
        client.log_metrics({f"step_{step}": float(step)}, step=step)
        client.log_params({f"param_{step}": step})
        client.set_tags({f"tag_{step}": f"of {step}"})


def assert_everything_is_kept(client: MLOpsClient, run_id: str, steps: range) -> None:
    found = client.get_run(run_id)
    assert found.metrics == {f"step_{step}": float(step) for step in steps}
    assert found.params == {f"param_{step}": str(step) for step in steps}
    assert found.tags.items() >= {f"tag_{step}": f"of {step}" for step in steps}.items()
    assert found.status.value == "FINISHED"


def test_killed_supervisor_is_replaced_and_nothing_runs_twice(
    stack: Installation, digits: MLOpsClient, served_digits: Any
) -> None:
    until(lambda: all_healthy(stack) and answers(digits, served_digits))
    old = supervisor_pid(stack)
    assert old is not None
    with digits.start_run("while the supervisor dies") as run:
        log_everything(digits, range(3))
        os.kill(old, signal.SIGKILL)
        deadline = time.monotonic() + BACK_WITHIN_S
        until(lambda: supervisor_pid(stack) is None, deadline)
        assert answers(digits, served_digits), "the services go on without their supervisor"
        assert {status.state for status in read_status(stack)} == {ServiceState.STOPPED}
        control.start(stack)
        assert supervisor_pid(stack) not in (None, old)
        until(lambda: all_healthy(stack), deadline)
        until(lambda: answers(digits, served_digits), deadline)
        log_everything(digits, range(3, 6))
    assert_everything_is_kept(digits, run.id, range(6))
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
        if (process.info["cmdline"] or [])[1:3] == ["-m", "mlops.services"]
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
    assert control.stop(stack)
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
