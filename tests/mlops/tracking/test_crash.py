"""kill -9 at random moments, in the middle of calls and of sending: what was acknowledged arrives once."""

from __future__ import annotations

import ast
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.mlops.tracking.conftest import Lab, wait_until
from tests.mlops.tracking.proxy import Exchange, Proxy

_ROUNDS = 6

_PROGRAM = """
import json, os, sys
from pathlib import Path
from mlops.tracking.mlflow import MLflowTracker
settings, journal, acknowledged = json.loads(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
tracker = MLflowTracker(**settings, journal=journal)
run = tracker.start_run("killed", {}, None)
out = os.open(acknowledged, os.O_WRONLY | os.O_CREAT)
os.write(out, (run.key + "\\n").encode())
step = 0
while True:
    tracker.log(run.key, metrics={"a": step / 3, "b": 1.0}, step=step)
    os.write(out, b"%d\\n" % step)
    step += 1
    if step % 50 == 0:
        import time; time.sleep(0.01)
"""

_NEXT = """
import json, sys, time
from pathlib import Path
from mlops.entities import RunStatus
from mlops.tracking.mlflow import MLflowTracker
settings, journal = json.loads(sys.argv[1]), Path(sys.argv[2])
tracker = MLflowTracker(**settings, journal=journal)
run = tracker.start_run("next", {}, None)
tracker.end_run(run.key, RunStatus.FINISHED)
until = time.monotonic() + 120
while list(journal.iterdir()) and time.monotonic() < until:
    time.sleep(0.05)
print([each.name for each in journal.iterdir()])
assert "mlflow" not in sys.modules
"""


def _unreliable(exchange: Exchange) -> bool:
    """Cut one connection in three, before or after the server has done what it was asked."""
    if random.random() > 1 / 3:
        return False
    if random.random() > 1 / 2:
        exchange.forward()
    return True


def _refused(lab: Lab, key: str) -> list[str]:
    (path,) = Path(lab.journal).rglob(f"{key}/refused.jsonl")
    return path.read_text().splitlines()


@pytest.mark.parametrize("reliable", [True, False])
def test_what_was_acknowledged_before_a_kill_arrives_once(
    lab: Lab, proxy: Proxy, tmp_path: Path, reliable: bool
) -> None:
    proxy.fault = None if reliable else _unreliable
    settings = json.dumps(lab.account.settings() | {"url": proxy.url})
    killed: dict[str, int] = {}
    for number in range(_ROUNDS):
        path = tmp_path / f"acknowledged-{number}"
        with subprocess.Popen([sys.executable, "-c", _PROGRAM, settings, lab.journal, path]) as child:
            wait_until(lambda path=path: path.exists() and path.read_text().count("\n") > 2, "it logs")
            time.sleep(random.uniform(0, 1))
            child.kill()
        # The last line may be cut: its call had returned, and it is not counted.
        key, *steps = path.read_text().rpartition("\n")[0].split("\n")
        assert [int(step) for step in steps] == list(range(len(steps)))
        killed[key] = len(steps)
    assert len(killed) == _ROUNDS
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-c", _NEXT, settings, lab.journal],
        capture_output=True,
        text=True,
        check=False,
    )
    # A kill may cut the record of the call that it met, which had not returned: that is told.
    cut = ast.literal_eval(done.stdout)
    refused = [json.loads(line) for key in cut for line in _refused(lab, key)]
    assert done.returncode == 0, done.stderr
    assert all(each["op"] == "torn" for each in refused)
    assert len(refused) == len(cut) == len(killed.keys() & cut)
    # Of a server in trouble the end of the run is told; the rest follows.
    assert len(done.stderr.splitlines()) <= len(cut) or not reliable
    for key, count in killed.items():
        steps = [step for step, _, _ in lab.history(key, "a")]
        # One call more than was counted may have reached the journal.
        assert steps in (list(range(count)), list(range(count + 1)))
        assert [step for step, _, _ in lab.history(key, "b")] == steps
        assert lab.run(key)["info"]["status"] == "KILLED"
