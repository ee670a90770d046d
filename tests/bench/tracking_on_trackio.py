"""Trackio's `log`, at the same rate as ours; run by the Python of its own environment."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.bench.tracking_pace import answer, summary, timed


def main(request: dict[str, float], to: Path) -> None:
    """Log into a new run."""
    import trackio

    trackio.init(project="bench")
    calls = int(request["seconds"] * request["rate"])
    taken = timed(trackio.log, calls, request["rate"], int(request["width"]))
    trackio.finish()
    answer(to, summary(taken))


if __name__ == "__main__":
    main(json.loads(sys.argv[2]), Path(sys.argv[3]))
