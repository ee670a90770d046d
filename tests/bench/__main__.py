"""`make bench`: run the benchmarks and print a table; `--write` renews their rows in docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import (
    alerts,
    command_line,
    dashboard,
    data,
    drift,
    drilling,
    drilling_training,
    hardware,
    inference_log,
    runs_index,
    serving,
    serving_changes,
    serving_kill,
    serving_logging,
    serving_overload,
    stack,
    tracking_history,
    tracking_kill,
    tracking_latency,
    tracking_outage,
    tracking_processes,
    tracking_throughput,
)
from tests.bench.result import HEADER, Result

SUITES: dict[str, Callable[[bool], Iterator[Result]]] = {
    "alerts": alerts.run,
    "command-line": lambda _: command_line.run(),
    "dashboard": dashboard.run,
    "data": lambda _: data.run(),
    "drift": drift.run,
    "drilling": lambda _: drilling.run(),
    "drilling-training": lambda _: drilling_training.run(),
    "hardware": lambda _: hardware.run(),
    "inference-log": inference_log.run,
    "runs-index": runs_index.run,
    "serving": serving.run,
    "serving-drilling": serving.run_drilling,
    "serving-changes": serving_changes.run,
    "serving-logging": serving_logging.run,
    "serving-overload": serving_overload.run,
    "serving-kill": serving_kill.run,
    "stack": lambda _: stack.run(),
    "tracking-latency": tracking_latency.run,
    "tracking-throughput": tracking_throughput.run,
    "tracking-kill": tracking_kill.run,
    "tracking-history": tracking_history.run,
    "tracking-outage": tracking_outage.run,
    "tracking-processes": tracking_processes.run,
}
"""Each takes whether it is to be quick."""
_MAY_BE_QUICK = ("alerts", "dashboard", "drift", "inference-log", "runs-index", "serving", "tracking-")
_PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def main() -> None:
    """Run the chosen suites."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; all by default")
    parser.add_argument("--write", action="store_true", help="renew docs/benchmarks.md")
    parser.add_argument(
        "--quick", action="store_true", help="shorten the suites that take long, to see that they run"
    )
    chosen = parser.parse_args()
    if chosen.write and chosen.quick:
        parser.error("the page is not written from a quick run")
    if unknown := set(chosen.suites) - SUITES.keys():
        parser.error(f"unknown suite {', '.join(sorted(unknown))}; use {', '.join(SUITES)}")
    rows: list[list[str]] = []
    for name in chosen.suites or SUITES:
        print(f"{name} …", file=sys.stderr)
        quick = chosen.quick and name.startswith(_MAY_BE_QUICK)
        for result in SUITES[name](quick):
            rows.append(result.row())
            if quick:
                rows[-1][0] += " (QUICK)"
            print("  " + "; ".join(rows[-1]), file=sys.stderr)
    print(_table(rows))
    if chosen.write:
        _PAGE.write_text(_page(_renewed(_rows_of(_PAGE.read_text()), rows)))


def _table(rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (HEADER, ["---"] * len(HEADER), *rows))


def _rows_of(page: str) -> list[list[str]]:
    table = [line for line in page.splitlines() if line.startswith("| ")]
    return [line.strip("| ").split(" | ") for line in table[2:]]


def _renewed(known: list[list[str]], rows: list[list[str]]) -> list[list[str]]:
    """The rows known, those that were measured again in their places, and what is new."""
    measured = {_comparison(row): row for row in rows}
    kept = [measured.pop(_comparison(row), row) for row in known]
    return kept + list(measured.values())


def _comparison(row: list[str]) -> tuple[str, str]:
    return row[0], row[2].partition(":")[0]


def _page(rows: list[list[str]]) -> str:
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return f"""# Benchmarks

Written by `make bench WRITE=1`, last on {datetime.now(UTC):%Y-%m-%d}, on {machine}, Python
{platform.python_version()}. `SUITES=…` renews the rows of those alone. Ours and the peer's come from the same
run; a ratio is the median over pairs, with its smallest and largest. Absolute times drift with the machine's
load: read the ratios.

{_table(rows)}

- **Training** (`mixer`, `cnn`, …) are stored results of `make bench-train`: out-of-fold errors on synthetic
  holes, which share the generator's picture of a tip with the `combined` fit; time and memory are of all
  processes, without the services. **One hole** goes through the network with its scaler and merging; the
  int8 model's weights are those of an untrained network, which its time does not depend on.
- **mlops:start** is timed from the call to the moment every service's own process answers, with byte code
  cached; the peer is the slower of MLflow and Ray started alone, on the same data, in the same round.
- **Memory** is the sum of the proportional set sizes of every process. Ours: Postgres, MLflow, Ray with one
  deployment, worker, gateway, supervisor. The peer: the same Postgres, `mlflow server` and
  `ray start --head` with their defaults, and the same model in one plain Serve deployment.
- **Command line**: whole processes, in turn.
- **log_metrics** is the public verb inside `with client.start_run()`: 10 metrics, 1,000 calls a second, three
  rounds of 20 s in turn with Trackio's `log` at the same pace, and 60 s of ours at a stretch. Every call
  counts, the first included; "longest" is of all of them. The sender delivers meanwhile to Postgres and one
  MLflow worker on this machine, which compete for its cores. Trackio runs with its defaults in an
  environment of its own. MLflow's `log_metrics` is called as fast as it returns.
- **To the server** is timed from the first call until the run's end returned, which waits for the server;
  the points are then counted in the database. MLflow's asynchronous logging sends fewer of them: rates are
  compared. `log_batch` is timed without its run's end.
- **metric_history** goes from the client through the gateway to Postgres; the points are put there by SQL.
- **kill -9**: one process after the other, at random moments of up to 2 s of 500 calls a second; every other
  one dies by its own hand the moment a call has returned. Each start delivers what was left before, and may
  be killed at it; after the last a further start delivers the rest. The database is compared with what each
  process had noted in shared memory after each call.
- **Without a server**: memory is the largest resident size over the one after the first call; the journal is
  what its files occupy on the disk.
- **Alerts**: the watch's own thread over a real Postgres, and webhooks to a receiver on this machine. The
  storm's watch is ended as by SIGTERM, after what it is telling that moment; one that is killed by -9 may
  tell that one again, with the same id. A service is down from the moment that the supervisor's file says so.
- **Sampling a run** counts the processor time of all threads and of the commands that are run. No Mac was at
  hand: what its commands cost there is not in it, and the last row reads outputs of our own.
- **Reading whole logs**: every section, check and problem of ours, from bytes in memory, against the data
  section of the same files in pandas; logs and holes are synthetic, and so are the errors of key points.
- **Sender**: processor time of its threads, those that send and those that bring the journal to the disk.
- **Served models** (`serving`, `serving-drilling`): the gateway with authentication, checks and inference
  log, one replica; each peer has one process for the model, one thread of ONNX Runtime, and gives all
  outputs. Before anything is timed all answer, and must say the same. The **drilling model** is the real
  network with weights as they were drawn, asked for the windows of one synthetic hole as `/predict`'s JSON
  of some 70 kB. A model's own time is that of ONNX Runtime alone with arrays at hand: reading the JSON is
  not in it, and has a row of its own; FastAPI's row shows what a server without any checks takes for the
  same. The same windows as binary tensors of the Open Inference Protocol are in rows of ours alone. The
  load is made in another process; what it costs itself is printed for each server.
- **Deploy** (`serving-changes`) is timed from the call of `deploy_model`, with packaging, to the first 200
  for a caller who asks every 50 ms; no version of the model was served before.
- **Promote and rollback** (`serving-changes`): from the client's call to the last answer of the old
  version, under eight clients who ask 250 times a second together, a command 1.2 s after the other has
  returned. "Undone": before the next one the old version answered again.
- **Overload** (`serving-overload`): one replica, 64 clients who ask at their times whether they were
  answered or not, together twice as often as sixteen clients were answered just before, each with
  `X-Request-Timeout: 1`. It is over when twenty answers in a row to one client have a median of at most 1.5
  times that before.
- **Inference log** (`inference-log`): the store's own writer, a thousand requests a transaction, into the
  embedded Postgres on the same cores; the figures are of slices of two seconds.
- **What the log costs who asks** (`serving-logging`): the gateway's median over 10 s with `log_share` 1 and
  0, six times in turns, the order changing. At 200 requests/s the log takes 50 of them, at 50/s each. Drift
  reports, which the worker would make of what is logged in a process of low priority, are off. At 200/s the
  drilling model has these two cores busy, so each ms of work is several of waiting.
- **Index of runs** (`runs-index`): 50 projects with 50,000 runs of ten metrics, five params, five tags, put
  into MLflow's own tables by SQL. Questions are timed in the store, from the query to the runs with all their
  metrics, each twenty times after one that does not count; the figure is of all of them. The peer is MLflow's
  REST API, asked the same of each workspace by one connection, on the same data; both found the same runs.
  "Seen" is from the call of `log_metrics` to the row in the index: through journal, sender, MLflow and the
  index's thread.
- **Drift** (`drift`): the large report is one process from its start to its end, with Evidently's import. The
  windows have 30 columns of numbers of several shapes, counts, flags, categories and texts, against a
  reference of 10,000 rows; a window alarms when any row of its report drifted. "Found after" is the first of
  windows that grow from 50 to 10,000 inferences in which the shifted column drifted, over 20 streams; "inf"
  is not at all. Evidently's defaults choose a test by the reference's size and judge each column alone.
- **kill -9** (`serving-kill`): tiny model, eight clients; "asked once" counts requests whose first try
  failed, which is what clients without retries lose. A retry comes 0.25, 0.5, 1, 2 and 4 s after a 502,
  503, 504 or no answer.
"""


if __name__ == "__main__":
    main()
