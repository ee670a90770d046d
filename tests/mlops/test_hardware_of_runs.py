"""What the machine did, beside the runs of real programs; with a server and without."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from mlops import MLOpsClient
from mlops.entities import Run
from mlops.tracking.run_folder import run_folders
from tests.mlops.programs import Home, Recorded
from tests.servers import Account

SAMPLED = {"MLOPS_HARDWARE_INTERVAL_S": "0.1"}
FIGURE = "system/system_memory_usage_megabytes"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home whose server does not answer."""
    return Home(tmp_path)


@pytest.fixture
def served(tmp_path: Path, mlflow_accounts: tuple[Account, Account]) -> Home:
    """A home whose server does."""
    return Home(tmp_path, **mlflow_accounts[0].settings())


def the_run(home: Home) -> Recorded:
    """The run that the journal holds."""
    (folder,) = run_folders(home.workspace.journal_dir)
    return Recorded(folder)


def samples(recorded: Recorded, figure: str = FIGURE) -> list[float]:
    return [value for name, _, value in recorded.metrics if name == figure]


def at_the_server(home: Home, name: str) -> tuple[MLOpsClient, Run]:
    client = home.client()
    (run,) = client.search_runs(f"attributes.run_name = '{name}'")
    return client, run


def test_a_run_is_sampled_from_its_start_to_its_end_without_a_server(home: Home) -> None:
    done = home.run(
        """
        with client.start_run():
            time.sleep(0.5)
        ended = time.time()
        time.sleep(0.5)
        """,
        **SAMPLED,
    )

    assert done.status == 0, done.err
    recorded = the_run(home)
    assert 3 <= len(samples(recorded)) <= 7
    assert min(samples(recorded)) > 10
    assert len(samples(recorded, "system/cpu_utilization_percentage")) >= 2
    assert recorded.tags["hardware.sources"] == "Linux, psutil"
    assert recorded.tags["hardware.mps_available"] == "false"
    assert recorded.tags["hardware.os"]


def test_mlflow_shows_the_samples_as_its_system_metrics(served: Home) -> None:
    done = served.run(
        """
        with client.start_run("sampled"):
            time.sleep(1.2)
        """,
        **SAMPLED,
    )

    assert done.status == 0, done.err
    client, run = at_the_server(served, "sampled")
    history = client.metric_history(run.id, FIGURE)
    assert len(history) >= 5
    assert {point.step for point in history} <= {0, 1, 2}
    assert run.tags["hardware.os"]


@pytest.mark.parametrize(
    ("argument", "environment"),
    [("log_system_metrics=False", SAMPLED), ("", {"MLOPS_HARDWARE_INTERVAL_S": "0"})],
    ids=["by the run", "by the setting"],
)
def test_sampling_can_be_turned_off(home: Home, argument: str, environment: dict[str, str]) -> None:
    done = home.run(
        f"""
        with client.start_run({argument}):
            client.log_metrics({{"x": 1}})
            time.sleep(0.3)
        """,
        **environment,
    )

    assert done.status == 0, done.err
    assert [name for name, _, _ in the_run(home).metrics] == ["x"]
    assert not [name for name in the_run(home).tags if name.startswith("hardware.")]


def test_a_sample_on_demand_is_recorded_where_sampling_is_off(home: Home) -> None:
    done = home.run(
        """
        with client.start_run():
            sample = client.log_apple_silicon_metrics()
            assert sample.memory_used_bytes > 0
            assert sample.thermal_state is None
        """
    )

    assert done.status == 0, done.err
    assert len(samples(the_run(home))) == 1


def test_a_forked_child_leaves_the_sampling_to_its_parent(home: Home) -> None:
    done = home.run(
        """
        with client.start_run():
            time.sleep(0.2)
            child = os.fork()
            if child == 0:
                time.sleep(0.3)
                client.log_metrics({"child": 1})
                os._exit(0)
            os.waitpid(child, 0)
            client.log_metrics({"after": 1})
            time.sleep(0.3)
        """,
        **SAMPLED,
    )

    assert done.status == 0, done.err
    recorded = the_run(home)
    names = [name for name, _, _ in recorded.metrics]
    assert {"child", "after"} <= set(names)
    assert 4 <= len(samples(recorded)) <= 12, "one sampler, and not two"
    assert recorded.tags["hardware.os"]


def test_forked_workers_that_ask_for_a_sample_get_one(home: Home) -> None:
    done = home.run(
        """
        with client.start_run():
            child = os.fork()
            if child == 0:
                client.log_apple_silicon_metrics()
                os._exit(0)
            _, status = os.waitpid(child, 0)
            assert status == 0
        """
    )

    assert done.status == 0, done.err
    assert len(samples(the_run(home))) == 1


def test_samples_survive_a_kill(home: Home) -> None:
    process = home.start(
        """
        run = client.start_run()
        print("begun", flush=True)
        time.sleep(60)
        """,
        **SAMPLED,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "begun"
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()

    assert len(samples(the_run(home))) >= 2
    assert the_run(home).tags["hardware.os"]


PAST = """
    tracking = client._workspace.tracking
    with client.start_run(run_id={key!r}):
        client.log_metrics({{"y": 1}})
        past = tracking.past({key!r})
    print(past.metrics["system/energy_joules"], past.tags["hardware.worst_thermal_state"])
"""


def interrupted_in_the_heat(home: Home) -> str:
    """The key of a run that a killed program left; its figures are given, this machine has none."""
    done = home.run(
        """
        run = client.start_run()
        client.log_metrics({"system/energy_joules": 100.0})
        client.set_tags({"hardware.worst_thermal_state": "critical"})
        print(run.key, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    return done.out.strip()


def test_the_past_of_a_run_that_no_server_knows_is_in_the_journal(home: Home) -> None:
    done = home.run(PAST.format(key=interrupted_in_the_heat(home)))

    assert done.status == 0, done.err
    assert done.out.split() == ["100.0", "critical"]


def test_the_past_of_a_run_is_at_the_server(served: Home) -> None:
    done = served.run(PAST.format(key=interrupted_in_the_heat(served)))

    assert done.status == 0, done.err
    assert done.out.split() == ["100.0", "critical"]


def test_a_past_that_only_a_server_knows_is_not_taken_for_none(home: Home) -> None:
    done = home.run(
        """
        from mlops.errors import ServiceUnavailable
        tracking = client._workspace.tracking
        for unknown in ("r-" + "0" * 32, "f" * 32):
            with client.start_run(run_id=unknown):
                try:
                    tracking.past(unknown)
                except ServiceUnavailable:
                    print("unknown")
        """
    )

    assert done.status == 0, done.err
    assert done.out.split() == ["unknown", "unknown"]


def test_a_run_of_the_whole_process_is_sampled_until_the_program_ends(home: Home) -> None:
    done = home.run("client.start_run(); time.sleep(0.4)", **SAMPLED)

    assert done.status == 0, done.err
    assert len(samples(the_run(home))) >= 3


def test_a_run_inside_a_run_has_samples_of_its_own(home: Home) -> None:
    done = home.run(
        """
        with client.start_run():
            with client.start_run():
                time.sleep(0.3)
        """,
        **SAMPLED,
    )

    assert done.status == 0, done.err
    folders = run_folders(home.workspace.journal_dir)
    assert [len(samples(Recorded(folder))) >= 2 for folder in folders] == [True, True]


def test_a_worker_that_joins_a_run_does_not_sample_it_again(home: Home, tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(
        """
import sys, threading
from mlops import MLOpsClient

with MLOpsClient.from_project(sys.argv[1]).start_run(run_id=sys.argv[2]):
    assert "mlops-hardware" not in [each.name for each in threading.enumerate()]
"""
    )
    done = home.run(
        f"""
        import subprocess

        with client.start_run() as run:
            subprocess.run([sys.executable, {str(worker)!r}, client.project.name, run.key], check=True)
            assert "mlops-hardware" in [each.name for each in threading.enumerate()]
        """,
        **SAMPLED,
    )

    assert done.status == 0, done.err
