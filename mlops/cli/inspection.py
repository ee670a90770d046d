"""mlops:status, doctor, dashboard: looking at the stack."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from mlops.cli.browsing import open_page
from mlops.cli.context import admin_gateway, installation
from mlops.cli.output import Json, age, emit, emit_table, say
from mlops.entities import Availability, ServiceState, ServiceStatus

if TYPE_CHECKING:
    from mlops.installation import Installation
    from mlops.services.doctor import Finding

_OF_NOW = timedelta(minutes=1)
_NEARLY_ALL = 0.99


def status(as_json: Json = False) -> None:
    """Show each service: its state, since when, its last restarts, how much of the last day, week and month
    it answered, its address. Exits with 7 unless all answer.

    Example: efficientai-toolkit mlops:status --json
    """
    from mlops.services.record import read_records, with_records
    from mlops.services.status import read_status

    here = installation()
    statuses = with_records(read_status(here), read_records(here))
    if as_json:
        emit(statuses, True, "")
    else:
        here_now = datetime.now(UTC)
        rows = [
            {
                "SERVICE": seen.name,
                "STATE": seen.state.value,
                "SINCE": seen.since,
                "RESTARTS TODAY": "?" if seen.record is None else seen.record.restarts_day,
                "LAST": _last_restart(seen),
                "ANSWERED (DAY, WEEK, MONTH)": _answered(seen, here_now),
                "ADDRESS": seen.address,
                "DETAIL": seen.detail,
            }
            for seen in statuses
        ]
        emit_table(rows, False, "")
        _tell_waiting_runs()
    if any(seen.state not in (ServiceState.HEALTHY, ServiceState.EXTERNAL) for seen in statuses):
        raise typer.Exit(7)


def _last_restart(seen: ServiceStatus) -> str:
    """As `3 min ago: killed`."""
    last = None if seen.record is None else next(iter(seen.record.restarts), None)
    return "-" if last is None else f"{age(last.at)} ago: {last.cause.value}"


def _answered(seen: ServiceStatus, now: datetime) -> str:
    """Shares of the time in which somebody looked, and of how much that was where it was not nearly all; `?`
    where nothing is recorded. What is not of now, as while Postgres is away, says of when it is."""
    record = seen.record
    if record is None:
        return "?"
    told = "  ".join(_share(each) for each in (record.day, record.week, record.month))
    return told if now - record.as_of < _OF_NOW else f"{told}  as of {age(record.as_of)} ago"


def _share(window: Availability) -> str:
    if window.share is None:
        return "?"
    seen = "" if window.observed > _NEARLY_ALL else f" of {window.observed:.1%}"
    return f"{window.share:.2%}{seen}"


def _tell_waiting_runs() -> None:
    from mlops.tracking import pending

    if waiting := pending.count_waiting(installation().journal_dir):
        runs = f"{waiting} run waits" if waiting == 1 else f"{waiting} runs wait"
        say(f"{runs} in the journal: `efficientai-toolkit mlops:sync --all --status`.")


def doctor(as_json: Json = False) -> None:
    """Look for what commonly goes wrong, and say how to mend it. Exits with 7 when something is.

    Example: efficientai-toolkit mlops:doctor
    """
    from mlops.services.doctor import examine

    here = installation()
    findings = [*examine(here), *_cache_links(here)]
    if as_json:
        emit(findings, True, "")
    else:
        for found in findings:
            print(f"{found.level.value:<7} {found.subject}: {found.detail}")
            if found.remedy:
                print(f"        → {found.remedy}")
    if any(found.level.value == "error" for found in findings):
        raise typer.Exit(7)


def _cache_links(here: Installation) -> Iterator[Finding]:
    """How each project's data is linked from its cache."""
    from mlops.services.doctor import Finding, Level
    from mlops.storage import cache_links

    meanings = {
        "reflink": "reflink: pulled data takes no space of its own",
        "hardlink": "hardlink: pulled data takes no space of its own, and is read-only",
        "copy": "copy: pulled data takes its space twice",
    }
    for found in cache_links(here):
        subject = f"data of {found.project}"
        if found.problem or found.kind not in meanings:
            remedy = "Run `efficientai-toolkit mlops:register` for its folder again."
            yield Finding(Level.WARNING, subject, found.problem or "no cache link works", remedy)
        else:
            yield Finding(Level.OK, subject, f"cache links by {meanings[found.kind]}")


def dashboard(
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open it in the browser.")] = True,
    as_json: Json = False,
) -> None:
    """Open the dashboard, logged in by a link that works once within a minute.

    Example: efficientai-toolkit mlops:dashboard --no-open
    """
    url = admin_gateway().ticket()
    emit({"url": url}, as_json, url)
    if open_browser and not as_json:
        open_page(url, installation().run_dir / "dashboard.html", "Dashboard")


COMMANDS = {
    "mlops:status": status,
    "mlops:doctor": doctor,
    "mlops:dashboard": dashboard,
}
