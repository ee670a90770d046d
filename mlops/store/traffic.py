"""How a deployment answers: counts of requests and errors, and a histogram of latencies.

Buckets are fixed, so that the counts of several gateways and windows of ten seconds add up.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, delete, text

from mlops.store.tables import traffic

EDGES_S = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075,
    0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0,
)  # fmt: skip
"""Upper ends of the buckets in s; one more bucket holds what took longer."""


@dataclass(slots=True)
class Traffic:
    """What was answered; errors are answers that the caller is not to blame for."""

    requests: int = 0
    errors: int = 0
    latencies: list[int] = field(default_factory=lambda: [0] * (len(EDGES_S) + 1))

    def record(self, seconds: float, *, failed: bool) -> None:
        """Count a request and how long it took."""
        self.requests += 1
        self.errors += failed
        self.latencies[bisect_left(EDGES_S, seconds)] += 1

    def add(self, other: Traffic) -> None:
        """Count another's requests, too."""
        self.requests += other.requests
        self.errors += other.errors
        self.latencies = [a + b for a, b in zip(self.latencies, other.latencies, strict=True)]

    @property
    def error_rate(self) -> float:
        """Share of the requests that failed; 0 without any."""
        return self.errors / self.requests if self.requests else 0.0

    def quantile(self, share: float) -> float:
        """Upper end in s of the bucket that holds that share of the requests; infinite in the last one."""
        return self.bucket(share)[1]

    def bucket(self, share: float) -> tuple[float, float]:
        """Both ends in s of the bucket that holds that share of the requests."""
        wanted, seen, begin = share * sum(self.latencies), 0, 0.0
        for count, end in zip(self.latencies, (*EDGES_S, math.inf), strict=True):
            seen += count
            if seen >= wanted:
                return begin, end
            begin = end
        return begin, math.inf


class TrafficLog:
    """The table `traffic`; several gateways add to the same windows."""

    WINDOW_S = 10
    KEPT = timedelta(hours=24)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, found: Mapping[int, Traffic], at: datetime | None = None) -> None:
        """Add what deployments, by id, answered just now; one that is gone meanwhile is left out."""
        if not found:
            return
        now = (at or datetime.now(UTC)).timestamp()
        began = datetime.fromtimestamp(now - now % self.WINDOW_S, UTC)
        rows = [
            {
                "id": number,
                "began": began,
                "requests": each.requests,
                "errors": each.errors,
                "latencies": each.latencies,
            }
            for number, each in sorted(found.items())
        ]
        with self._engine.begin() as connection:
            connection.execute(_ADD, rows)

    def since(self, at: datetime, project: str | None = None) -> dict[int, Traffic]:
        """What each deployment, or each of a project, answered in the windows that began at that time or
        later."""
        with self._engine.connect() as connection:
            rows = connection.execute(_SINCE, {"since": at, "project": project})
            return {row.id: Traffic(row.requests, row.errors, list(row.latencies)) for row in rows}

    def series(
        self, project: str, model: str, since: datetime, step_s: int, version: int | None = None
    ) -> list[tuple[datetime, Traffic]]:
        """What all versions of the model answered, or one, by steps of so many s; steps without a request
        are left out."""
        found: dict[datetime, Traffic] = {}
        wanted = {"project": project, "model": model, "version": version, "since": since, "step": step_s}
        with self._engine.connect() as connection:
            for row in connection.execute(_SERIES, wanted):
                found.setdefault(row.at, Traffic()).add(
                    Traffic(row.requests, row.errors, list(row.latencies))
                )
        return list(found.items())

    def all_series(
        self, since: datetime, step_s: int, project: str | None = None
    ) -> dict[int, dict[datetime, Traffic]]:
        """What each deployment, or each of a project, answered by steps of so many s; steps without a request
        are left out."""
        found: dict[int, dict[datetime, Traffic]] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(_ALL_SERIES, {"project": project, "since": since, "step": step_s}):
                found.setdefault(row.id, {})[row.at] = Traffic(row.requests, row.errors, list(row.latencies))
        return found

    def forget_old(self) -> None:
        """Drop windows that are older than a day."""
        with self._engine.begin() as connection:
            connection.execute(delete(traffic).where(traffic.c.began < datetime.now(UTC) - self.KEPT))


_SERIES = text("""
SELECT to_timestamp(floor(extract(epoch FROM began) / :step) * :step) AS at, requests, errors, latencies
  FROM traffic JOIN deployments ON deployments.id = traffic.deployment_id
 WHERE deployments.project = :project AND deployments.model = :model AND began >= :since
   AND (CAST(:version AS int) IS NULL OR deployments.version = :version)
 ORDER BY at
""")

# Summed up by Postgres, as there are many windows; by deployment, so that the table's key finds them.
_BUCKETS = ", ".join(f"sum(latencies[{place + 1}])" for place in range(len(EDGES_S) + 1))
_SUMS = f"""
sum(requests) AS requests, sum(errors) AS errors, ARRAY[{_BUCKETS}] AS latencies
  FROM deployments CROSS JOIN LATERAL (
       SELECT * FROM traffic WHERE deployment_id = deployments.id AND began >= :since) AS windows
 WHERE CAST(:project AS text) IS NULL OR deployments.project = :project
"""  # noqa: S608 - made of numbers
_SINCE = text(f"SELECT deployments.id, {_SUMS} GROUP BY deployments.id")
_ALL_SERIES = text(f"""
SELECT deployments.id, date_bin(make_interval(secs => :step), began, to_timestamp(0)) AS at, {_SUMS}
 GROUP BY 1, 2
""")
_ADD = text("""
INSERT INTO traffic (deployment_id, began, requests, errors, latencies)
SELECT id, :began, :requests, :errors, :latencies FROM deployments WHERE id = :id
    ON CONFLICT (deployment_id, began) DO UPDATE
   SET requests = traffic.requests + excluded.requests,
       errors = traffic.errors + excluded.errors,
       latencies = ARRAY(SELECT a + b FROM unnest(traffic.latencies, excluded.latencies)
                         WITH ORDINALITY AS pair(a, b, place) ORDER BY place)
""")
