"""The inference log beside what turned out to be right, added up in Postgres.

Rows are compared and added up there, so that neither the gateway nor the worker, who have others to serve,
reads them. What stands for a request's rows in the log is a sample of them (`mlops.features`): each is
compared with the truth of its own row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg.errors import QueryCanceled
from sqlalchemy import Engine, text

from mlops.entities import Side
from mlops.errors import InvalidInput, ServiceUnavailable
from mlops.feature_limits import MOST_ROWS

MOST_CONFUSIONS = 10_000
EPOCH = datetime(2000, 1, 3, tzinfo=UTC)
"""Parts of the time are counted from here on: a Monday, so that weeks begin there."""


@dataclass(frozen=True, slots=True)
class Span:
    """Whose inferences, and of when: from `since` on and before `until`."""

    project: str
    model: str
    since: datetime
    until: datetime
    version: int | None = None


@dataclass(frozen=True, slots=True)
class Effort:
    """How much a question may take."""

    most: int = 200_000
    """Outputs of inferences that are compared, the newest ones."""
    patience_s: float = 15.0
    """How long Postgres may be at it."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What the labelled requests of one version, side, output and part of the time add up to. `x_n` is the
    sum over requests of the product of a request's `x` and the number of its rows."""

    began: datetime
    version: int
    side: Side
    output: str
    first: datetime
    last: datetime
    requests: int
    """Of which a row could be compared."""
    contradicted: int
    unusable: int
    rows: int
    rows_rows: float
    classes: int
    """Rows of which truth and prediction are whole numbers, texts or truth values,"""
    numbers: int
    """and of which both are numbers."""
    hits: float
    hits_hits: float
    hits_n: float
    off: float
    """Sum of |prediction - truth|, of the rows whose both are numbers; `square` of its square, `bias` of
    prediction - truth."""
    off_off: float
    off_n: float
    square: float
    square_square: float
    square_n: float
    bias: float
    bias_bias: float
    bias_n: float
    truth: float
    truth_truth: float
    """Of the squares of the truths, by row."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often a version gave one class for another."""

    version: int
    side: Side
    output: str
    truth: Any
    prediction: Any
    rows: int


@dataclass(frozen=True, slots=True)
class Pair:
    """A prediction and its truth."""

    request_id: str
    truth: Any
    prediction: Any


class Labelled:
    """Inferences that have a ground truth. Every verb raises `InvalidInput` where the span has more of them
    than can be compared with that effort."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def sums(self, span: Span, step_s: float | None = None, effort: Effort | None = None) -> list[Sums]:
        """By part of the time (`step_s` long; all at once if not given), version, side and output."""
        found = self._ask(_COMPARED + _SUMS, span, step_s, effort)
        return [Sums(**row | {"side": Side(row["side"])}) for row in found]

    def confusions(self, span: Span, effort: Effort | None = None) -> list[Confusion]:
        """Of rows whose truth and prediction are whole numbers, texts or truth values; at most
        `MOST_CONFUSIONS` + 1."""
        found = self._ask(_COMPARED + _CONFUSIONS, span, effort=effort)
        return [Confusion(**row | {"side": Side(row["side"])}) for row in found]

    def pairs(self, span: Span, output: str) -> list[Pair]:
        """Rows that can be compared in that output, newest first."""
        return [Pair(**row) for row in self._ask(_COMPARED + _PAIRS, span, output=output)]

    def _ask(
        self,
        statement: str,
        span: Span,
        step_s: float | None = None,
        effort: Effort | None = None,
        **more: object,
    ) -> list[dict[str, Any]]:
        effort = effort or Effort()
        values = {
            "project": span.project, "model": span.model, "since": span.since, "until": span.until,
            "version": span.version, "step": f"{step_s or 0.0} s", "epoch": EPOCH, "most": effort.most,
        } | more  # fmt: skip
        try:
            with self._engine.connect() as connection:
                connection.execute(text(f"SET LOCAL statement_timeout = {effort.patience_s * 1000:.0f}"))
                return [dict(row) for row in connection.execute(text(statement), values).mappings()]
        except ServiceUnavailable as error:
            if not isinstance(error.__context__, QueryCanceled):
                raise
            raise InvalidInput(
                "window", f"{span.since.isoformat()} to {span.until.isoformat()}",
                f"has more inferences than can be compared within {effort.patience_s:g} s",
                remedy="Ask for a shorter one.",
            ) from None  # fmt: skip


# Which of a request's rows a place of its sample is: as `mlops.features` spreads them. Both round halves to
# even.
_ROW = """
CASE WHEN asked <= 1 THEN 0 ELSE round(place_of_most * CASE WHEN most > 1 THEN (asked - 1)::float8 / (most -
1)
                                                            ELSE 0 END)::int END
"""

_COMPARED = f"""
WITH answered AS (
  SELECT i.at, i.id, i.request_id, i.version, i.side, g.output, g.model, g.truths,
         jsonb_array_length(g.earlier) > 0 AS contradicted,
         CASE WHEN jsonb_typeof(i.features->'outputs') = 'object' THEN i.features->'outputs' END AS outputs,
         CASE WHEN jsonb_typeof(i.features->'rows') = 'number' THEN (i.features->>'rows')::numeric END AS
         asked
    FROM inferences AS i
    JOIN ground_truths AS g
      ON g.project = i.project AND g.request_id = i.request_id AND g.model IN ('', i.model)
   WHERE i.project = :project AND i.model = :model AND i.at >= :since AND i.at < :until
     AND i.features IS NOT NULL AND g.project = :project
     AND (CAST(:version AS int) IS NULL OR i.version = :version)
   ORDER BY i.at DESC, i.id DESC
   LIMIT :most
), labelled AS (
  -- What names the model counts before what names none.
  SELECT DISTINCT ON (at, id, output) * FROM answered ORDER BY at, id, output, model DESC
), columns AS (
  SELECT *,
         CASE WHEN jsonb_typeof(outputs->output) = 'array' THEN outputs->output END AS predicted,
         CASE WHEN jsonb_typeof(outputs->(output || '[0]')) = 'array' THEN outputs->(output || '[0]') END AS
         scored
    FROM labelled
), sampled AS (
  SELECT *, jsonb_array_length(coalesce(predicted, scored)) AS kept, least(asked, {MOST_ROWS})::int AS most,
         asked = jsonb_array_length(truths) AS fits
    FROM columns
), places AS (
  SELECT s.*, place,
         CASE WHEN kept > 1 AND kept <> most THEN round(place * ((most - 1)::float8 / (kept - 1)))
              ELSE place END AS place_of_most
    FROM sampled AS s LEFT JOIN LATERAL generate_series(0, kept - 1) AS place ON true
), told AS (
  SELECT p.*, CASE WHEN fits THEN nullif(truths->({_ROW}), 'null') END AS truth FROM places AS p
), paired AS (
  -- An array of scores is the class of the greatest, where a class is what the truth says.
  SELECT t.*,
         CASE WHEN predicted IS NOT NULL THEN nullif(predicted->place, 'null')
              WHEN jsonb_typeof(truth) = 'number' AND scale((truth #>> '{{}}')::numeric) = 0 THEN (
                SELECT CASE WHEN count(*) = count(score)
                            THEN to_jsonb((array_agg(class ORDER BY score DESC NULLS LAST, class))[1]) END
                  FROM (SELECT substring(each.key from '[0-9]+(?=\\]$)')::int AS class,
                               CASE WHEN jsonb_typeof(each.value) = 'array'
                                     AND jsonb_typeof(each.value->place) = 'number'
                                    THEN (each.value->>place)::float8 END AS score
                          FROM jsonb_each(outputs) AS each
                         WHERE left(each.key, length(output) + 1) = output || '['
                           AND substr(each.key, length(output) + 1) ~ '^\\[[0-9]{{1,4}}\\]$') AS scores)
         END AS prediction
    FROM told AS t
), compared AS (
  SELECT at, request_id, version, side, output, contradicted, truth, prediction,
         CASE WHEN CAST(:step AS interval) > '0' THEN date_bin(CAST(:step AS interval), at, :epoch)
              ELSE CAST(:since AS timestamptz) END AS began,
         truth IS NOT NULL AND prediction IS NOT NULL AS usable,
         {{numeric}} AS numbers,
         {{classes}} AS classes
    FROM paired
)
"""  # noqa: S608 - the numbers are ours


def _both(condition: str) -> str:
    return " AND ".join(condition.format(value=value) for value in ("truth", "prediction"))


# Beyond 1e30 squares of squares do not fit: such a value is none that a figure could be made of.
_NUMBER = (
    "CASE WHEN jsonb_typeof({value}) = 'number' THEN abs(({value} #>> '{{}}')::numeric) < 1e30 ELSE false END"
)
_CLASS = (
    "CASE jsonb_typeof({value}) WHEN 'number' THEN scale(({value} #>> '{{}}')::numeric) = 0"
    " WHEN 'string' THEN true WHEN 'boolean' THEN true ELSE false END"
)
_COMPARED = _COMPARED.replace("{numeric}", _both(_NUMBER)).replace("{classes}", _both(_CLASS))

_SUMS = """
, valued AS (
  SELECT *, CASE WHEN numbers THEN (truth #>> '{}')::float8 END AS t,
         CASE WHEN numbers THEN (prediction #>> '{}')::float8 END AS p
    FROM compared
), by_request AS (
  SELECT began, version, side, output, request_id, min(at) AS first, max(at) AS last,
         bool_or(contradicted) AS contradicted,
         count(*) FILTER (WHERE NOT usable) AS unusable,
         (count(*) FILTER (WHERE usable))::float8 AS n,
         count(*) FILTER (WHERE usable AND classes) AS classes,
         count(*) FILTER (WHERE usable AND numbers) AS numbers,
         (count(*) FILTER (WHERE usable AND truth = prediction))::float8 AS hits,
         coalesce(sum(abs(p - t)), 0) AS off,
         coalesce(sum((p - t) * (p - t)), 0) AS square,
         coalesce(sum(p - t), 0) AS bias,
         coalesce(sum(t), 0) AS truth,
         coalesce(sum(t * t), 0) AS truth_truth
    FROM valued GROUP BY began, version, side, output, request_id
)
SELECT began, version, side, output, min(first) AS first, max(last) AS last,
       count(*) FILTER (WHERE n > 0) AS requests,
       count(*) FILTER (WHERE contradicted) AS contradicted,
       sum(unusable)::bigint AS unusable,
       sum(n)::bigint AS rows, sum(n * n) AS rows_rows,
       sum(classes)::bigint AS classes, sum(numbers)::bigint AS numbers,
       sum(hits) AS hits, sum(hits * hits) AS hits_hits, sum(hits * n) AS hits_n,
       sum(off) AS off, sum(off * off) AS off_off, sum(off * n) AS off_n,
       sum(square) AS square, sum(square * square) AS square_square, sum(square * n) AS square_n,
       sum(bias) AS bias, sum(bias * bias) AS bias_bias, sum(bias * n) AS bias_n,
       sum(truth) AS truth, sum(truth_truth) AS truth_truth
  FROM by_request
 GROUP BY began, version, side, output
 ORDER BY began, version, side, output
"""

_CONFUSIONS = f"""
SELECT version, side, output, truth, prediction, count(*) AS rows
  FROM compared WHERE usable AND classes
 GROUP BY version, side, output, truth, prediction
 ORDER BY version, side, output, truth, prediction
 LIMIT {MOST_CONFUSIONS + 1}
"""  # noqa: S608 - the number is ours

_PAIRS = """
SELECT request_id, truth, prediction
  FROM compared WHERE usable AND output = :output ORDER BY at DESC, request_id
"""
