"""Runs in real processes: forks, spawned workers, interrupts, exits and kills; with a server and without."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from mlops import MLOpsClient
from mlops.binding.context import WORKSPACE_HEADER
from mlops.entities import Run, RunStatus
from mlops.tracking.run_folder import run_folders
from tests.mlops.programs import Home, Recorded
from tests.servers import Account

_WAIT_S = 120


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home whose server does not answer."""
    return Home(tmp_path)


@pytest.fixture
def account(mlflow_accounts: tuple[Account, Account]) -> Account:
    return mlflow_accounts[0]


@pytest.fixture
def served(tmp_path: Path, account: Account) -> Home:
    """A home whose server does."""
    return Home(tmp_path, **account.settings())


def wait_until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_for_line(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    for each in process.stdout:
        if each.strip() == line:
            return
    raise AssertionError(f"the program ended: {process.communicate()[1]}")


# -- ends ---------------------------------------------------------------------------------------

ENDS = {
    "finished": ("", 0, "FINISHED", None),
    "raised": ("raise ValueError('bad end')", 1, "FAILED", "ValueError: bad end"),
    "exit 0": ("sys.exit(0)", 0, "FINISHED", None),
    "exit 3": ("sys.exit(3)", 3, "FAILED", "SystemExit: 3"),
    "interrupted": ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -2, "KILLED", None),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_block_ends_with_its_program(home: Home, end: str) -> None:
    body, status, recorded, text = ENDS[end]
    done = home.run(f"""
        with client.start_run():
            client.log_metrics({{"x": 1}})
            {body}
    """)
    assert done.status == status, done.err
    run = home.only()
    assert (run.statuses, run.tags.get("mlops.error")) == ([recorded], text)
    assert run.metrics == [("x", 0, 1.0)]
    assert "Warning" not in done.err
    assert "Nothing is lost" in done.err


@pytest.mark.parametrize("end", [each for each in ENDS if each != "exit 3"])
def test_a_run_left_open_ends_with_its_program(home: Home, end: str) -> None:
    body, status, recorded, text = ENDS[end]
    done = home.run(f"""
        run = client.start_run()
        print("printed")
        client.log_metrics({{"x": 1}})
        {body}
    """)
    assert done.status == status, done.err
    run = home.only()
    assert (run.statuses, run.tags.get("mlops.error")) == ([recorded], text)
    assert run.files["output.log"].startswith("printed\n")
    assert "Warning" not in done.err


def test_a_run_left_open_in_a_prompt_is_finished_though_a_line_failed(home: Home) -> None:
    done = home.run("""
        import code
        lines = iter(["run = client.start_run()", "1 / 0", "client.log_metrics({'x': 1})"])
        sys.ps1 = ">>> "
        console = code.InteractiveConsole({"client": client})
        for line in lines:
            console.push(line)
    """)
    assert "ZeroDivisionError" in done.err
    assert (home.only().statuses, home.only().metrics) == (["FINISHED"], [("x", 0, 1.0)])


def test_an_interrupt_of_the_wait_for_delivery_loses_nothing(home: Home) -> None:
    # A server that takes connections and does not answer: the end waits for it.
    process = home.start("""
        import socket
        silent = socket.create_server(("127.0.0.1", 0))
        os.environ["MLOPS_MLFLOW_URI"] = "http://127.0.0.1:%d" % silent.getsockname()[1]
        client = MLOpsClient.from_project("alpha")
        with client.start_run():
            print("printed")
            client.log_metrics({"x": 1})
            os.write(1, b"leaving\\n")
    """)
    wait_for_line(process, "leaving")
    wait_until(lambda: home.only().statuses)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=_WAIT_S)
    assert process.returncode == -2, err
    assert "KeyboardInterrupt" in err
    run = home.only()
    assert (run.statuses, run.metrics) == (["FINISHED"], [("x", 0, 1.0)])
    assert run.files == {"output.log": "printed\nleaving\n"} or run.files == {"output.log": "printed\n"}


def test_a_daemon_threads_block_is_killed_with_its_program(home: Home) -> None:
    done = home.run("""
        begun = threading.Event()
        def work():
            with client.start_run():
                begun.set()
                time.sleep(3600)
        threading.Thread(target=work, daemon=True).start()
        begun.wait()
    """)
    assert (done.status, home.only().statuses) == (0, ["KILLED"]), done.err


def test_a_run_goes_on_after_its_end_before_a_server_knew_of_it(home: Home) -> None:
    done = home.run("""
        with client.start_run() as run:
            client.log_metrics({"x": 1})
        with client.start_run(run_id=run.key) as again:
            client.log_metrics({"y": 2})
            raise ValueError("second")
    """)
    assert done.status == 1, done.err
    run = home.only()
    assert run.statuses == ["FINISHED", "RUNNING", "FAILED"]
    assert run.tags == {"mlops.error": "ValueError: second"}
    assert run.metrics == [("x", 0, 1.0), ("y", 0, 2.0)]


# -- forks --------------------------------------------------------------------------------------

CHILD_ENDS = {
    "exits": "sys.exit(0)",
    "fails": "raise ValueError('child')",
    "exits at once": "os._exit(0)",
    "is killed": "os.kill(os.getpid(), signal.SIGKILL)",
}


@pytest.mark.parametrize("end", CHILD_ENDS)
@pytest.mark.parametrize("block", [True, False])
def test_a_forked_child_writes_into_the_run_and_does_not_end_it(home: Home, end: str, block: bool) -> None:
    done = home.run(f"""
        from contextlib import nullcontext
        run = client.start_run()
        with run if {block} else nullcontext():
            client.log_metrics({{"parent": 1}})
            child = os.fork()
            if child == 0:
                client.log_metrics({{"child": 2}})
                {CHILD_ENDS[end]}
            os.waitpid(child, 0)
            client.log_metrics({{"parent": 3}})
    """)
    assert done.status == 0, done.err
    run = home.only()
    assert run.statuses == ["FINISHED"]
    assert "mlops.error" not in run.tags
    assert sorted(run.metrics) == [("child", 0, 2.0), ("parent", 0, 1.0), ("parent", 0, 3.0)]


def test_a_forked_childs_own_run_is_its_own(home: Home) -> None:
    done = home.run("""
        with client.start_run("outer"):
            child = os.fork()
            if child == 0:
                with client.start_run("inner"):
                    client.log_metrics({"of": 1})
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            client.log_metrics({"of": 0})
    """)
    assert done.status == 0, done.err
    outer, inner = (Recorded(folder) for folder in home.folders())
    assert (outer.statuses, outer.metrics) == (["FINISHED"], [("of", 0, 0.0)])
    assert (inner.statuses, inner.metrics) == (["FINISHED"], [("of", 0, 1.0)])
    assert inner.opening.tags["mlflow.parentRunId"] == outer.opening.key


def test_a_forked_childs_own_run_left_open_keeps_what_the_child_prints(home: Home) -> None:
    done = home.run("""
        outer = client.start_run("outer")
        print("parent")
        child = os.fork()
        if child == 0:
            print("nobody's")
            inner = client.start_run("inner")
            print("child")
            sys.exit(0)
        assert os.waitpid(child, 0)[1] == 0
        outer.finish()
    """)
    assert done.status == 0, done.err
    outer, inner = (Recorded(folder) for folder in home.folders())
    assert outer.files == {"output.log": "parent\n"}
    assert inner.files["output.log"].startswith("child\n")
    assert (outer.statuses, inner.statuses) == (["FINISHED"], ["FINISHED"])


WORKERS = """
    import multiprocessing
    def work(number, key):
        if key is None:
            client.log_metrics({f"m{number}": number}, step=number)
            return
        with client.start_run(run_id=key):
            client.log_metrics({f"m{number}": number}, step=number)
    def main(method):
        context = multiprocessing.get_context(method)
        with client.start_run() as run:
            key = run.key if method == "spawn" else None
            workers = [context.Process(target=work, args=(n, key)) for n in range(3)]
            for each in workers:
                each.start()
            for each in workers:
                each.join()
            assert [each.exitcode for each in workers] == [0, 0, 0]
            client.log_metrics({"main": 9})
        return run
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_multiprocessing_workers_write_into_the_run_and_only_leave_it(home: Home, method: str) -> None:
    done = home.run(
        WORKERS
        + f"""
    if __name__ == "__main__":
        main("{method}")
    """
    )
    assert done.status == 0, done.err
    run = home.only()
    assert run.statuses == ["FINISHED"]
    assert sorted(run.metrics) == [("m0", 0, 0.0), ("m1", 1, 1.0), ("m2", 2, 2.0), ("main", 0, 9.0)]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_records_reach_the_server(served: Home, method: str) -> None:
    done = served.run(
        WORKERS
        + f"""
    if __name__ == "__main__":
        run = main("{method}")
        os.write(1, run.id.encode())
    """
    )
    assert done.status == 0, done.err
    seen = served.client().get_run(done.out)
    assert (seen.status, seen.metrics) == (RunStatus.FINISHED, {"m0": 0, "m1": 1, "m2": 2, "main": 9})


# -- with a server ------------------------------------------------------------------------------


def test_a_program_leaves_a_finished_run_with_its_log(served: Home, account: Account) -> None:
    done = served.run("""
        with client.start_run("first") as run:
            client.log_metrics({"x": 1})
            print("printed")
        assert run.url.startswith("http"), run.url
        os.write(1, run.id.encode())
    """)
    assert done.status == 0, done.err
    assert done.err == ""
    seen = served.client().get_run(done.out.splitlines()[-1])
    assert (seen.name, seen.status, seen.metrics) == ("first", RunStatus.FINISHED, {"x": 1})
    assert log_of(account, seen) == "printed\n"
    assert list(run_folders(served.workspace.journal_dir)) == []


def test_a_killed_programs_run_is_marked_by_the_next_start_and_has_its_log(
    served: Home, account: Account
) -> None:
    process = served.start("""
        run = client.start_run("victim")
        client.log_metrics({"x": 1})
        print("last words")
        print(end="half a li")
        os.write(1, b"\\nready\\n")
        time.sleep(3600)
    """)
    wait_for_line(process, "ready")
    process.kill()
    process.communicate()
    client = served.client()
    with client.start_run("next"):
        pass
    victim = wait_for_ended(served, client, "victim")
    assert (victim.status, victim.metrics) == (RunStatus.KILLED, {"x": 1})
    assert log_of(account, victim) == "last words\nhalf a li"
    assert list(run_folders(served.workspace.journal_dir)) == []


def test_children_of_a_run_name_their_parent_at_the_server(served: Home) -> None:
    client = served.client()
    with client.start_run() as outer, client.start_run() as inner:
        pass
    assert client.get_run(inner.id).tags["mlflow.parentRunId"] == client.get_run(outer.key).mlflow_id


def test_a_run_is_resumed_by_another_process(served: Home, account: Account) -> None:
    client = served.client()
    with client.start_run("first") as run:
        client.log_metrics({"x": 1})
        print("first")
    done = served.run(f"""
        with client.start_run(run_id={run.key!r}) as run:
            client.log_metrics({{"y": 2}})
            print("second")
    """)
    assert done.status == 0, done.err
    seen = client.get_run(run.id)
    assert (seen.status, seen.metrics) == (RunStatus.FINISHED, {"x": 1, "y": 2})
    assert log_of(account, seen) == "first\n"


@pytest.mark.parametrize("experiment", [None, "trials"])
def test_a_runs_page_is_known_without_asking(served: Home, experiment: str | None) -> None:
    client = served.client()
    with client.start_run(experiment_name=experiment) as run:
        told = client._workspace.tracking.snapshot(run.key)
    assert told.url == run.url == client.get_run(run.key).url
    assert f'<a href="{run.url}"' in run._repr_html_()


def test_a_run_goes_on_again_and_again_in_one_process(served: Home) -> None:
    client = served.client()
    with client.start_run() as run:
        pass
    for step in range(5):
        with client.start_run(run_id=run.key):
            client.log_metrics({"step": step}, step=step)
            client.log_metrics({f"of{step}": 1})
        assert client.get_run(run.id).status is RunStatus.FINISHED
    assert client.get_run(run.id).metrics == {"step": 4, **{f"of{step}": 1 for step in range(5)}}


def wait_for_ended(home: Home, client: MLOpsClient, name: str) -> Run:
    found: list[Run] = []

    def ended() -> bool:
        found[:] = client.search_runs(f"attributes.run_name = '{name}'")
        return bool(found) and found[0].status is not RunStatus.RUNNING and not home.folders()

    wait_until(ended)
    return found[0]


def log_of(account: Account, run: Run) -> str:
    """The artifact `output.log`, as the project's account downloads it."""
    ask = httpx.Client(
        base_url=f"{account.url}/api/2.0",
        auth=(account.username, account.password),
        headers={WORKSPACE_HEADER: account.namespace},
        trust_env=False,
    )
    with ask:
        found = ask.get("/mlflow/runs/get", params={"run_id": run.id}).json()
        place = urlsplit(found["run"]["info"]["artifact_uri"]).path
        answer = ask.get(f"/mlflow-artifacts/artifacts{place}/output.log")
    return answer.raise_for_status().text
