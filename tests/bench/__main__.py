"""`make bench`: run the benchmarks and print a table; `--write` also renews docs/benchmarks.md."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from tests.bench import command_line, stack
from tests.bench.result import HEADER, Result

SUITES: dict[str, Callable[[], Iterator[Result]]] = {"command-line": command_line.run, "stack": stack.run}
_PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def main() -> None:
    """Run the chosen suites."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}; all by default")
    parser.add_argument("--write", action="store_true", help="renew docs/benchmarks.md")
    chosen = parser.parse_args()
    if unknown := set(chosen.suites) - SUITES.keys():
        parser.error(f"unknown suite {', '.join(sorted(unknown))}; use {', '.join(SUITES)}")
    rows = []
    for name in chosen.suites or SUITES:
        print(f"{name} …", file=sys.stderr)
        for result in SUITES[name]():
            rows.append(result.row())
            print("  " + "; ".join(rows[-1]), file=sys.stderr)
    lines = [f"| {' | '.join(row)} |" for row in (HEADER, ["---"] * len(HEADER), *rows)]
    print("\n".join(lines))
    if chosen.write:
        _PAGE.write_text(_page(lines))


def _page(lines: list[str]) -> str:
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return f"""# Benchmarks

Written by `make bench WRITE=1` on {datetime.now(UTC):%Y-%m-%d}, on {machine},
Python {platform.python_version()}. Ours and the peer's come from
the same run; a ratio is the median over pairs, with its smallest and largest. Absolute times drift with the
machine's load: read the ratios.

{chr(10).join(lines)}

- **mlops:start** is timed from the call to the moment every service's own process answers, with byte code
  cached; the peer is the slower of MLflow and Ray started alone, on the same data, in the same round.
- **Memory** is the sum of the proportional set sizes of every process. Ours: Postgres, MLflow, Ray with one
  deployment, worker, gateway, supervisor. The peer: the same Postgres, `mlflow server` and
  `ray start --head` with their defaults, and the same model in one plain Serve deployment.
- **Command line**: whole processes, in turn.
"""


if __name__ == "__main__":
    main()
