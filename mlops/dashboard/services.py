"""Services: their states, restarts and availability; for administrators their logs, and a restart."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

from mlops.dashboard.frame import Page, Region, Scope
from mlops.entities import LogLine, ServiceStatus
from mlops.platform import Platform

LINES = 200
"""Of the logs, on the page."""


def services_page(platform: Platform) -> Page:
    """`/services`."""

    def services(scope: Scope) -> tuple[ServiceStatus, ...]:
        return tuple(platform.services())

    def logs(scope: Scope) -> tuple[tuple[str, LogLine], ...]:
        found = platform.log_lines(
            LINES,
            service=scope.option("service") or None,
            level=scope.option("level") or None,
            text=scope.option("text") or None,
            project=scope.project,
            since=scope.range,
        )
        return tuple(reversed(named(found)))

    return Page(
        path="/services",
        title="Services",
        template="services.html",
        icon="services",
        ranged=True,
        options=("service", "level", "text"),
        regions={
            "services": Region(services, ("status",), every_s=30),
            "logs": Region(logs, ("status",), every_s=5, for_admins=True),
        },
    )


def named(lines: Iterable[LogLine]) -> list[tuple[str, LogLine]]:
    """Each line with a name that stays its own while others come and go."""
    found, seen = [], Counter[str]()
    for line in lines:
        name = hashlib.sha256(repr(line).encode("utf-8", "replace")).hexdigest()[:12]
        seen[name] += 1
        found.append((f"line-{name}-{seen[name]}", line))
    return found
