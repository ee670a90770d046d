from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from mlops.hardware.runner import run

PYTHON = sys.executable


def test_what_a_command_prints_is_returned() -> None:
    assert run((PYTHON, "-c", "print('figures')"), 20) == b"figures\n"


def test_a_command_is_run_in_no_ones_language_and_sees_nothing_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET", "hidden")
    script = "import os; print(os.environ['LC_ALL'], 'SECRET' in os.environ)"

    assert run((PYTHON, "-c", script), 20) == b"C False\n"


def test_a_command_that_asks_gets_no_answer() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        run((PYTHON, "-c", "input('password: ')"), 20)


def test_a_command_that_hangs_is_ended() -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        run((PYTHON, "-c", "import time; time.sleep(60)"), 0.2)


def test_a_command_that_may_not_be_killed_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    refused: list[int] = []

    def refuse(child: subprocess.Popen[bytes]) -> None:
        refused.append(child.pid)
        raise PermissionError("it is root's")

    monkeypatch.setattr(subprocess.Popen, "kill", refuse)
    with pytest.raises(subprocess.TimeoutExpired):
        run((PYTHON, "-c", "import time; time.sleep(60)"), 0.1)

    [pid] = refused
    os.kill(pid, 0)  # it lives on: raises where it does not
    os.kill(pid, signal.SIGKILL)
    for thread in threading.enumerate():
        if thread.name == "mlops-reaper":
            thread.join(20)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)  # and no zombie is left of it


def test_a_command_is_ended_whatever_interrupts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    def interrupted(child: subprocess.Popen[bytes], **options: float) -> None:
        begun.append(child)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run((PYTHON, "-c", "import time; time.sleep(60)"), 20)

    assert begun[0].wait(20) == -signal.SIGKILL


def test_a_command_that_is_missing_or_fails_raises() -> None:
    with pytest.raises(FileNotFoundError):
        run(("/nowhere/ioreg",), 1)
    with pytest.raises(subprocess.CalledProcessError):
        run((PYTHON, "-c", "raise SystemExit(1)"), 20)
