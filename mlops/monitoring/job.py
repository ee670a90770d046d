"""A drift report in a process of its own: memory and time of it are bounded, and Evidently is loaded there.

`python -m mlops.monitoring.job` is that process. It reads a `ReportOrder` as JSON, and its last line of
output is JSON: `{"report": path, "peak_mb": …}` or `{"error": …}`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from mlops.entities import ColumnDrift, ColumnKind, DriftCheck, DriftReport
from mlops.errors import DriftReportFailed, MLOpsError
from mlops.monitoring.base import DriftSettings
from mlops.monitoring.files import replacing

REPORT, PAGE = "report.json", "report.html"
_LOG_CHARS = 8000
_LEFT = "Give it a smaller window or reference, or more of what it lacked."


@dataclass(frozen=True, slots=True)
class ReportOrder:
    """What a report is made of."""

    reference: str
    """Path of the reference's sample."""
    current: str
    """Path of the window's sample."""
    folder: str
    """Where `report.json` and `report.html` go; it is made."""
    settings: DriftSettings = field(default_factory=DriftSettings)
    page: bool = True
    """Whether `report.html` is wanted; it is most of the work."""
    memory_mb: int = 6144
    """Of address space, which is two to three times what is used. Where the system does not limit it (macOS)
    it is not limited."""


@dataclass(frozen=True, slots=True)
class Reported:
    """What a report's process left."""

    report: DriftReport
    json_file: Path
    page: Path | None
    peak_mb: float
    """The most memory its process held, in 10^6 bytes; 0 where the system does not tell (macOS)."""


def run_report(order: ReportOrder, timeout_s: float = 300.0) -> Reported:
    """Make a report in a process of its own and wait for it; on a time-out its whole group is killed.

    Raises `DriftReportFailed` when it takes too long, runs out of memory or breaks, and what the process
    itself raises: `SampleUnreadable`.
    """
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        asked.write(json.dumps(asdict(order)).encode())
        asked.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", __name__], stdin=asked, stdout=out, stderr=err, start_new_session=True
        )
        _wait(process, timeout_s, err)
        answer = _last_json(_content(out))
        log = _content(err)[-_LOG_CHARS:]
    if "report" in answer:
        path = Path(answer["report"])
        page = path.with_name(PAGE) if order.page else None
        report = report_from_json(json.loads(path.read_text()))
        return Reported(report, path, page, float(answer["peak_mb"]))
    if isinstance(answer.get("error"), dict):
        raise MLOpsError.from_json(answer)
    raise DriftReportFailed(f"its process ended with {process.returncode}", log, remedy=_LEFT)


def _wait(process: subprocess.Popen[bytes], timeout_s: float, err: IO[bytes]) -> None:
    """Until it has ended; where waiting ends first, none of its group is left."""
    try:
        process.wait(timeout_s)
    except BaseException as error:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise
        log = _content(err)[-_LOG_CHARS:]
        raise DriftReportFailed(f"it took longer than {timeout_s:g} s", log, remedy=_LEFT) from None


def report_to_json(report: DriftReport) -> dict[str, Any]:
    """Plain values; times in ISO 8601. `drifted` and `share` stand beside what they follow from."""
    content = asdict(report)
    content |= {
        name: value.isoformat() if value else None
        for name, value in (("since", report.since), ("until", report.until))
    }
    return {"drifted": report.drifted, "share": report.share} | content


def report_from_json(content: Mapping[str, Any]) -> DriftReport:
    """The report that `report_to_json` told."""
    fields = {name: value for name, value in content.items() if name not in ("drifted", "share")}
    for name in ("since", "until"):
        fields[name] = datetime.fromisoformat(fields[name]) if fields[name] else None
    fields["columns"] = tuple(
        ColumnDrift(**row | {"check": DriftCheck(row["check"]), "kind": ColumnKind(row["kind"])})
        for row in fields["columns"]
    )
    return DriftReport(**fields)


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _last_json(text: str) -> dict[str, Any]:
    lines = text.strip().splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def main() -> int:
    """The process: limit itself, make the report, and print where it is or why it is not."""
    content = json.load(sys.stdin)
    order = ReportOrder(**content | {"settings": DriftSettings(**content["settings"])})
    _limit(order.memory_mb)
    try:
        answer: dict[str, Any] = {"report": str(_report(order)), "peak_mb": _peak_mb()}
    except MLOpsError as error:
        answer = error.to_json()
    except MemoryError:
        what = f"it needs more than memory_mb={order.memory_mb}"
        answer = DriftReportFailed(what, remedy=_LEFT).to_json()
    except Exception as error:  # noqa: BLE001 - whatever it was, the caller is told
        log = traceback.format_exc()[-_LOG_CHARS:]
        answer = DriftReportFailed(repr(error), log, remedy="Report this with the log.").to_json()
    sys.stdout.write("\n" + json.dumps(answer) + "\n")
    return 0 if "report" in answer else 1


def _limit(memory_mb: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    wanted = memory_mb * 2**20
    if most != resource.RLIM_INFINITY:
        wanted = min(wanted, most)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (wanted, most))


def _peak_mb() -> float:
    """Not by `getrusage`, which counts what the process held before it became this program."""
    status = Path("/proc/self/status")
    told = status.read_text() if status.exists() else ""
    found = re.search(r"^VmHWM:\s+(\d+) kB", told, re.M)
    return int(found[1]) * 1024 / 1e6 if found else 0.0


def _report(order: ReportOrder) -> Path:
    from mlops.monitoring.evidently import EvidentlyMonitor
    from mlops.monitoring.sample import Sample

    folder = Path(order.folder)
    report = EvidentlyMonitor().report(
        Sample.read(Path(order.reference)),
        Sample.read(Path(order.current)),
        order.settings,
        folder / PAGE if order.page else None,
    )
    path = folder / REPORT
    with replacing(path) as part:
        part.write_text(json.dumps(report_to_json(report), indent=1))
    return path


if __name__ == "__main__":
    sys.exit(main())
