"""Signal handlers and a failing exit: what interrupts a program does not interrupt its record."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from pathlib import Path

import pytest

from mlops.tracking import codec
from mlops.tracking.run_folder import RunFolder
from mlops.tracking.segment import records
from tests.mlops.programs import Home, Program, Recorded

_WATCHDOG_S = 120


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home whose server does not answer."""
    return Home(tmp_path)


def interrupt(process: subprocess.Popen[str]) -> Program:
    """Send the program SIGUSR1 again and again, from its line `ready` until it has ended."""
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
        until = time.monotonic() + _WATCHDOG_S
        while process.poll() is None:
            assert time.monotonic() < until, "the program hangs"
            process.send_signal(signal.SIGUSR1)
            time.sleep(0.001)
        out, err = process.communicate()
        return Program(process.returncode, out, err)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def tags_in_order(folder: RunFolder) -> list[tuple[str, str]]:
    """Each tag as often as it was recorded."""
    found = []
    for segment in folder.segments():
        decoder = codec.Decoder()
        for payload, _ in records(segment):
            record = decoder.decode(payload)
            if isinstance(record, dict) and record["op"] == "texts":
                found += list(record["tags"].items())
    return found


def steps(run: Recorded, metric: str) -> list[int]:
    return sorted(step for key, step, _ in run.metrics if key == metric)


def test_a_handler_that_logs_stops_nothing_and_loses_nothing(home: Home) -> None:
    done = interrupt(
        home.start("""
        import itertools
        handled = itertools.count()
        many = threading.Event()
        def on_signal(number, frame):
            turn = next(handled)
            client.log_metrics({"handler": turn, "other": 1}, step=turn)
            client.set_tags({f"handler{turn % 7}": str(turn)})
            if turn >= 300:
                many.set()
        run = client.start_run(capture_output=False)
        signal.signal(signal.SIGUSR1, on_signal)
        os.write(1, b"ready\\n")
        step = 0
        while not many.is_set():
            client.log_metrics({"loop": step}, step=step)
            client.log_metrics({f"loop{step % 50}": 1, "x": 2}, step=step)
            client.set_tags({"loop": str(step)})
            step += 1
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        run.finish()
        print(step, next(handled))
    """)
    )
    assert done.status == 0, done.err
    loops, turns = map(int, done.out.split())
    run = home.only()
    assert steps(run, "loop") == list(range(loops))
    assert steps(run, "x") == list(range(loops))
    assert steps(run, "handler") == steps(run, "other") == list(range(turns))
    tags = tags_in_order(run.folder)
    assert [value for key, value in tags if key == "loop"] == [str(step) for step in range(loops)]
    assert sorted(int(value) for key, value in tags if key != "loop") == list(range(turns))
    assert run.statuses == ["FINISHED"]


@pytest.mark.parametrize("leave", ["sys.exit(0)", "run.finish('KILLED'); sys.exit(0)"])
def test_a_handler_that_leaves_ends_the_run(home: Home, leave: str) -> None:
    done = interrupt(
        home.start(f"""
        ended = []
        def on_signal(number, frame):
            signal.signal(signal.SIGUSR1, signal.SIG_IGN)
            client.log_metrics({{"last": 1}})
            client.set_tags({{"stopped": "yes"}})
            {leave}
        for _ in range(8):
            run = client.start_run(capture_output=False)
            step = 0
            try:
                signal.signal(signal.SIGUSR1, on_signal)
                if not ended:
                    os.write(1, b"ready\\n")
                while True:
                    client.log_metrics({{"loop": step}}, step=step)
                    step += 1
            except SystemExit:
                ended.append(step)
                run.finish("KILLED")
    """)
    )
    assert done.status == 0, done.err
    runs = [Recorded(folder) for folder in home.folders()]
    assert len(runs) == 8
    for run in runs:
        assert run.statuses == ["KILLED"]
        assert steps(run, "last") == [0]
        assert tags_in_order(run.folder) == [("stopped", "yes")]
        assert steps(run, "loop") == list(range(len(steps(run, "loop"))))


def test_a_handler_that_finishes_a_run_that_is_being_finished_stops_nothing(home: Home) -> None:
    # The server takes connections and does not answer: the end waits for it, and is interrupted there.
    done = interrupt(
        home.start("""
        import itertools, socket
        silent = socket.create_server(("127.0.0.1", 0))
        os.environ["MLOPS_MLFLOW_URI"] = "http://127.0.0.1:%d" % silent.getsockname()[1]
        os.environ["MLOPS_FLUSH_TIMEOUT_S"] = "5"
        client = MLOpsClient.from_project("alpha")
        handled = itertools.count()
        run = client.start_run(capture_output=False)
        client.log_metrics({"x": 1})
        def on_signal(number, frame):
            next(handled)
            run.finish()
        signal.signal(signal.SIGUSR1, on_signal)
        os.write(1, b"ready\\n")
        run.finish()
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        print(next(handled))
    """)
    )
    assert done.status == 0, done.err
    assert int(done.out) > 0
    run = home.only()
    assert (run.statuses, steps(run, "x")) == (["FINISHED"], [0])


def test_a_run_whose_end_fails_keeps_no_other_from_ending(home: Home) -> None:
    done = home.run("""
        runs = [client.start_run(name, capture_output=False).__enter__() for name in ("a", "b", "c")]
        broken, end = runs[1], runs[1].tracking.end_run
        def end_run(run_id, status):
            if run_id == broken.key:
                raise OSError(5, "Input/output error")
            return end(run_id, status)
        broken.tracking.end_run = end_run
    """)
    assert done.status == 0, done.err
    ended = {folder.opening().name: Recorded(folder).statuses for folder in home.folders()}
    assert ended == {"a": ["KILLED"], "b": [], "c": ["KILLED"]}
    assert "Input/output error" in done.err


VERBS = {
    "metrics": "client.log_metrics({'verb': 1}, step=turn)",
    "metrics of a new name": "client.log_metrics({f'new{turn}': 1, 'verb': 1}, step=turn)",
    "tags": "client.set_tags({'verb': str(turn)})",
    "tags that fill the segment": "client.set_tags({f'verb{n}': 'x' * 8000 for n in range(9)})",
}


@pytest.mark.parametrize("leave", ["pass", "raise Leave"])
@pytest.mark.parametrize("verb", VERBS)
def test_a_handler_at_any_moment_of_a_verb_loses_nothing(home: Home, verb: str, leave: str) -> None:
    # Python looks for signals where a function begins, and behind each call of one in C: there a profiler is
    # called, too. The n-th such place of the verb is interrupted in its n-th turn.
    done = home.run(f"""
        class Leave(BaseException):
            pass
        def interrupted(turn):
            left = [turn]
            def profile(frame, event, arg):
                if event in ("call", "c_return") and "/mlops/" in frame.f_code.co_filename:
                    left[0] -= 1
                    if left[0] == 0:
                        sys.setprofile(None)
                        client.log_metrics({{"handler": 1}}, step=turn)
                        client.set_tags({{"handler": str(turn)}})
                        {leave}
            try:
                sys.setprofile(profile)
                {VERBS[verb]}
            except Leave:
                pass
            finally:
                sys.setprofile(None)
            return left[0] <= 0
        run = client.start_run(capture_output=False)
        turn = 1
        while interrupted(turn):
            turn += 1
        client.log_metrics({{"after": 1}})
        run.finish()
        print(turn)
    """)
    assert done.status == 0, done.err
    turns = list(range(1, int(done.out)))
    assert len(turns) > 10
    run = home.only()
    assert steps(run, "handler") == turns
    assert [int(value) for key, value in tags_in_order(run.folder) if key == "handler"] == turns
    assert steps(run, "after") == [0]
    assert run.statuses == ["FINISHED"]
    if leave == "pass" and "metrics" in verb:
        assert steps(run, "verb") == [*turns, len(turns) + 1]
