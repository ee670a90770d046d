"""Sparks of runs: of each at most one, kept beside the index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select, text

from mlops.store.indexed_runs import IndexedRun
from mlops.store.sparks import Spark
from mlops.store.tables import run_sparks

_PUT = text("""
INSERT INTO run_sparks (run_id, key, width, least, greatest)
SELECT run_id, key, width, CAST(least AS float8[]), CAST(greatest AS float8[])
  FROM unnest(CAST(:run_id AS text[]), CAST(:key AS text[]), CAST(:width AS bigint[]),
              CAST(:least AS text[]), CAST(:greatest AS text[])) AS new(run_id, key, width, least, greatest)
 WHERE run_id IN (SELECT id FROM runs)
    ON CONFLICT (run_id) DO UPDATE
   SET key = excluded.key, width = excluded.width, least = excluded.least, greatest = excluded.greatest
 WHERE (run_sparks.*) IS DISTINCT FROM (excluded.*)
""")


def put_sparks(connection: Connection, found: Sequence[IndexedRun]) -> int:
    """Keep the sparks of those that have one; returns how many changed."""
    sparks = [(run.id, run.spark) for run in found if run.spark is not None]
    if not sparks:
        return 0
    columns = {
        "run_id": [run for run, _ in sparks],
        "key": [spark.key for _, spark in sparks],
        "width": [spark.width for _, spark in sparks],
        "least": [_array(spark.least) for _, spark in sparks],
        "greatest": [_array(spark.greatest) for _, spark in sparks],
    }
    return connection.execute(_PUT, columns).rowcount


def read_sparks(connection: Connection, ids: Sequence[str]) -> dict[str, Spark]:
    """Run -> its spark, of these runs."""
    statement = select(run_sparks).where(run_sparks.c.run_id.in_(list(ids)))
    return {row.run_id: _spark(row) for row in connection.execute(statement)}


def _spark(row: Row[Any]) -> Spark:
    return Spark(row.key, row.width, tuple(row.least), tuple(row.greatest))


def _array(values: Sequence[float]) -> str:
    # As text: an array of arrays would be one of two dimensions, which unnest takes apart.
    return "{" + ",".join(map(repr, values)) + "}"
