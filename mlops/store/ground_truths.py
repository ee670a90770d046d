"""What turned out to be right, logged by request: early or late, again, or otherwise than before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.errors import ForeignKeyViolation
from sqlalchemy import Engine, bindparam, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError

from mlops.entities import GroundTruth, GroundTruthsLogged
from mlops.errors import ProjectNotFound
from mlops.store.tables import ground_truths

MOST_EARLIER = 20
"""Contradicted truths of an output that are kept, the newest ones."""

Row = Mapping[str, Any]
"""`request_id`, `model` ("" is whichever was asked), `output`, and `truths`: a list."""


class GroundTruths:
    """The table `ground_truths`: one row for each output of a request, whether its inference is in the log or
    not; `mlops.store.labelled` brings the two together."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, project: str, rows: Sequence[Row], who: str) -> GroundTruthsLogged:
        """Keep them, all or none. Of rows for one output of one request the last one counts; what contradicts
        what was there takes its place, and the old one is kept beside it. Raises `ProjectNotFound`."""
        last = {(row["request_id"], row["model"], row["output"]): row["truths"] for row in rows}
        ordered = sorted(last)  # who logs the same at once takes the same locks in the same order
        if not ordered:
            return GroundTruthsLogged()
        values = {
            "project": project,
            "who": who,
            "rows": [
                {"request_id": request, "model": model, "output": output, "truths": last[key]}
                for key in ordered
                for request, model, output in [key]
            ],
        }
        try:
            with self._engine.begin() as connection:
                told = connection.execute(_PUT, values).all()
        except IntegrityError as error:
            if isinstance(error.orig, ForeignKeyViolation):
                raise ProjectNotFound(project) from None
            raise
        new = sum(row.is_new for row in told)
        return GroundTruthsLogged(new, len(ordered) - len(told), len(told) - new)

    def of_request(self, project: str, request_id: str) -> list[GroundTruth]:
        """What is known of a request, by model and output; empty where nothing is."""
        table = ground_truths.c
        statement = (
            select(ground_truths)
            .where(table.project == project, table.request_id == request_id)
            .order_by(table.model, table.output)
        )
        with self._engine.connect() as connection:
            return [
                GroundTruth(
                    request_id=row.request_id, model=row.model, output=row.output, truths=tuple(row.truths),
                    logged_at=row.logged_at, logged_by=row.logged_by,
                    earlier=tuple(tuple(each) for each in row.earlier),
                )
                for row in connection.execute(statement)
            ]  # fmt: skip

    def projects(self) -> set[str]:
        """Of which there are any."""
        with self._engine.connect() as connection:
            return set(connection.scalars(_PROJECTS))

    def forget(self, days: Mapping[str, float]) -> int:
        """Remove what was logged longer ago than each project, by name, keeps its inferences, about 100,000
        at most; returns how many are gone."""
        gone = 0
        for project, kept in days.items():
            limit = datetime.now(UTC) - timedelta(days=kept)
            while gone < _MOST_FORGOTTEN:
                with self._engine.begin() as connection:
                    found = connection.execute(
                        _FORGET, {"project": project, "limit": limit, "batch": _BATCH}
                    ).rowcount
                gone += found
                if found < _BATCH:
                    break
        return gone


_BATCH, _MOST_FORGOTTEN = 10_000, 100_000

# `xmax = 0` is a row that this statement inserted; one that says what was there already is not touched.
_PUT = text(f"""
INSERT INTO ground_truths AS kept (project, request_id, model, output, truths, logged_by)
SELECT :project, given.request_id, given.model, given.output, given.truths, :who
  FROM jsonb_to_recordset(:rows) AS given(request_id text, model text, output text, truths jsonb)
    ON CONFLICT (project, request_id, model, output) DO UPDATE
   SET truths = excluded.truths,
       earlier = CASE WHEN jsonb_array_length(kept.earlier) >= {MOST_EARLIER} THEN kept.earlier - 0
                      ELSE kept.earlier END || jsonb_build_array(kept.truths),
       logged_at = excluded.logged_at,
       logged_by = excluded.logged_by
 WHERE kept.truths <> excluded.truths
RETURNING xmax = 0 AS is_new
""").bindparams(bindparam("rows", type_=JSONB))  # noqa: S608 - the number is ours

_PROJECTS = text("""
SELECT name FROM projects
 CROSS JOIN LATERAL (SELECT FROM ground_truths WHERE project = projects.name LIMIT 1) AS any_one
""")

_FORGET = text("""
DELETE FROM ground_truths
 WHERE ctid = ANY (ARRAY(SELECT ctid FROM ground_truths
                          WHERE project = :project AND logged_at < :limit LIMIT :batch))
""")
