"""The pairs of values that the first two columns of an index have."""

from __future__ import annotations

_PAIRS = """(
  WITH RECURSIVE pair AS (
       (SELECT {first}, {second} FROM {table} ORDER BY {first}, {second} LIMIT 1)
       UNION ALL
       SELECT later.* FROM pair CROSS JOIN LATERAL (
              SELECT {first}, {second} FROM {table}
               WHERE ({first}, {second}) > (pair.{first}, pair.{second})
               ORDER BY {first}, {second} LIMIT 1) AS later)
  SELECT {first}, {second} FROM pair)"""


def pairs(table: str, first: str, second: str) -> str:
    """SQL of a subquery with these columns, by names that are ours. It goes from each pair to the next by the
    index, where DISTINCT reads every row (a loose index scan: wiki.postgresql.org/wiki/Loose_indexscan)."""
    return _PAIRS.format(table=table, first=first, second=second)
