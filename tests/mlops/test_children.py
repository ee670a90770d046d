"""Processes of ours that do one job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import psutil
import pytest

from mlops.children import Child

MODULE = "tests.mlops.one_job"


def ended(order: dict[str, object]) -> Child:
    child = Child(MODULE, order)
    assert child.wait(30)
    return child


def test_it_is_told_and_answers() -> None:
    found = ended({"do": "answer", "with": {"text": "é\0\n"}}).ended()
    assert found.code == 0
    assert found.answer == {"told": {"text": "é\0\n"}}
    assert "a warning of it" in found.log


@pytest.mark.parametrize(("do", "code"), [("mumble", 0), ("nothing", 0), ("list", 0), ("fail", 3)])
def test_what_is_no_answer_is_empty(do: str, code: int) -> None:
    found = ended({"do": do}).ended()
    assert (found.code, found.answer) == (code, {})


def test_one_that_says_a_lot_does_not_hang_and_its_end_is_kept() -> None:
    found = ended({"do": "shout"}).ended()
    assert found.answer == {"done": True}
    assert found.log.endswith("the end\n")
    assert len(found.log) <= 8000


def test_it_is_killed_with_what_it_began() -> None:
    child = Child(MODULE, {"do": "hang"})
    started = psutil.Process(child._process.pid)
    deadline = time.monotonic() + 30
    while not started.children():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (grandchild,) = started.children()
    assert not child.has_ended()
    assert not child.wait(0.01)
    child.kill()
    assert child.has_ended()
    psutil.wait_procs([grandchild], timeout=10)
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


def test_its_memory_is_limited_and_told() -> None:
    greedy = ended({"do": "take", "mb": 900, "limit_mb": 600}).ended()
    assert greedy.answer == {"error": "MemoryError"}
    fed = ended({"do": "take", "mb": 200, "limit_mb": 600}).ended()
    if sys.platform == "linux":
        assert 200 < fed.answer["peak_mb"] < 600


def test_the_process_itself_is_what_the_module_says() -> None:
    order = json.dumps({"do": "answer", "with": 1}).encode()
    done = subprocess.run(
        [sys.executable, "-m", MODULE], input=order, capture_output=True, check=True, env=os.environ
    )
    assert json.loads(done.stdout.splitlines()[-1]) == {"told": 1}
