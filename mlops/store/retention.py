"""How long the inference log keeps what it has: by project, and without keeping its writers waiting.

Days that no project keeps any more are dropped as whole partitions. What projects keep for a shorter time is
deleted row by row, a bounded number in a statement, and a bounded number in a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, text

from mlops.store.partitions import Partition, Partitions


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What a call has removed."""

    partitions: tuple[str, ...]
    """Whole ones, by name."""
    rows: int
    """Of those that stay."""
    finished: bool
    """Whether no more rows are known to be due."""


class Retention:
    """Drops what the table `inferences` shall not keep any longer."""

    BATCH = 10_000
    """Rows that one statement deletes at most."""
    MOST_ROWS = 100_000
    """About how many a call deletes at most, a second or so of work."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._partitions = Partitions(engine)

    def make_room(self) -> None:
        """See that today and the next days have their partitions. Raises `ServiceUnavailable`."""
        self._partitions.make_ahead()

    def forget(self, days: Mapping[str, float]) -> Forgotten:
        """Remove what is older than the days for which each project, by name, keeps its own. Those of the one
        that keeps them longest go with their partition, up to a day later. Raises `ServiceUnavailable`."""
        now, longest = datetime.now(UTC), max(days.values(), default=0.0)
        dropped = self._partitions.drop_before(now - timedelta(days=longest))
        rows = 0
        for each in self._partitions.all():
            limits = {
                project: now - timedelta(days=kept)
                for project, kept in days.items()
                if kept < longest or each.began is None
            }
            rows += self._delete(each, limits, self.MOST_ROWS - rows)
            if rows >= self.MOST_ROWS:
                return Forgotten(tuple(dropped), rows, finished=False)
        return Forgotten(tuple(dropped), rows, finished=True)

    def _delete(self, partition: Partition, limits: Mapping[str, datetime], most: int) -> int:
        """Delete rows older than each project's limit, in batches, until none is left or `most` are gone."""
        limits = {
            name: limit
            for name, limit in limits.items()
            if partition.began is None or limit > partition.began
        }
        gone = 0
        while limits and gone < most:
            with self._engine.begin() as connection:
                found = connection.execute(
                    text(_DELETE.format(partition=partition.name)),
                    {"projects": list(limits), "limits": list(limits.values()), "batch": self.BATCH},
                ).rowcount
            gone += found
            if found < self.BATCH:
                break
        return gone


# By place in the table: neither a join nor a sort, however large the partition is.
_DELETE = """
DELETE FROM ONLY "{partition}" WHERE ctid = ANY (ARRAY(
    SELECT old.ctid
      FROM unnest(CAST(:projects AS text[]), CAST(:limits AS timestamptz[])) AS kept(project, until)
     CROSS JOIN LATERAL (
           SELECT ctid FROM ONLY "{partition}" AS log
            WHERE log.project = kept.project AND log.at < kept.until LIMIT :batch) AS old
     LIMIT :batch))
"""
