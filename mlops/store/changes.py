"""Marks of what people look at: where a mark is another than before, something changed.

One look is one short query, so that it can be taken every second: the rows that go on, and the newest of each
project, by their indexes.
"""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import Engine, text

Marks = dict[str, dict[str, str]]
"""Topic -> project ("" is the platform) -> its mark."""

NEWEST = 20
"""Runs and reports of each project that are looked at."""


def read_marks(engine: Engine) -> Marks:
    """The marks of `alerts`, `silences`, `deployments`, `models`, `drift`, `data` and `runs`. Gives up after
    two seconds, and raises what SQLAlchemy raises."""
    found: Marks = defaultdict(dict)
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL statement_timeout = '2s'"))
        for row in connection.execute(_MARKS, {"newest": NEWEST}):
            found[row.topic][row.project] = row.mark
    return dict(found)


# Of a run that goes on it counts as well how many values were logged, and when the last was.
_MARKS = text("""
SELECT 'alerts' AS topic, coalesce(project, '') AS project,
       md5(string_agg(concat_ws('/', id, state, severity, message, acknowledged_by), ' ' ORDER BY id)) AS mark
  FROM alerts WHERE ended_at IS NULL AND state <> 'pending' GROUP BY 2
UNION ALL
SELECT 'silences', coalesce(project, ''), md5(string_agg(id::text, ' ' ORDER BY id))
  FROM silences WHERE until > now() GROUP BY 2
UNION ALL
SELECT 'deployments', project,
       md5(string_agg(concat_ws('/', id, state, side, weight, replicas, most_replicas, updated_at, error), ' '
                      ORDER BY id))
  FROM deployments GROUP BY 2
UNION ALL
SELECT 'models', project,
       md5(concat_ws('/', count(*), max(created_at),
                     string_agg(concat_ws('/', model, version, aliases), ' ' ORDER BY model, version)
                     FILTER (WHERE aliases <> '{}')))
  FROM model_versions GROUP BY 2
UNION ALL
SELECT 'drift', projects.name, md5(string_agg(concat_ws('/', jobs.id, jobs.state, jobs.has_page), ' '))
  FROM projects CROSS JOIN LATERAL (
       SELECT id, state, has_page FROM drift_jobs WHERE project = projects.name
        ORDER BY id DESC LIMIT :newest) AS jobs
 GROUP BY 2
UNION ALL
SELECT 'data', projects.name, md5(string_agg(concat_ws('/', newest.hash, newest.checks), ' '))
  FROM projects CROSS JOIN LATERAL (
       SELECT hash, checks FROM data_versions WHERE project = projects.name
        ORDER BY seen_at DESC LIMIT :newest) AS newest
 GROUP BY 2
UNION ALL
SELECT 'runs', projects.name,
       md5(string_agg(concat_ws('/', latest.id, latest.name, latest.status, latest.ended_at,
                                CASE latest.status WHEN 'RUNNING' THEN latest.metrics END), ' '
                      ORDER BY latest.started_at DESC, latest.id))
  FROM projects CROSS JOIN LATERAL (
       SELECT id, name, status, started_at, ended_at,
              (SELECT concat(sum(points), '/', max(time_ms)) FROM run_metrics WHERE run_id = runs.id)
                AS metrics
         FROM runs WHERE project = projects.name
        ORDER BY started_at DESC, id DESC LIMIT :newest) AS latest
 GROUP BY 2
""")
