"""A platform that was used for long, by SQL: tables that are large enough for Postgres to shun reading them
whole. All of it is synthetic."""

from __future__ import annotations

import psycopg

_RUNS = """
INSERT INTO projects
SELECT format('p%s', n), format('p%s', n), '/nowhere', '1', '' FROM generate_series(0, 9) AS n;

INSERT INTO runs (id, project, name, status, started_at, tags, params, words)
SELECT md5(n::text), format('p%s', n % 10), format('lora %s', n),
       CASE WHEN n % 500 = 0 THEN 'RUNNING' WHEN n % 20 = 0 THEN 'FAILED' ELSE 'FINISHED' END,
       to_timestamp(1700000000 + n * 60),
       jsonb_build_object('sweep', (n / 100)::text, 'stage', CASE WHEN n % 3 = 0 THEN 'prod' ELSE 'dev' END,
                          'mlops.run_key', md5((n + 1)::text), 'mlflow.source.name', 'train.py'),
       jsonb_build_object('lr', (n % 17)::text, 'depth', '12', 'optimiser', 'adam'),
       array_to_tsvector(ARRAY['lora', n::text])
  FROM generate_series(1, 10000) AS n;

INSERT INTO run_metrics
SELECT md5(n::text), key, format('p%s', n % 10), value, value, value, 1, 1, 1
  FROM generate_series(1, 10000) AS n, unnest(ARRAY['loss', 'metric1', 'metric2']) AS key,
       LATERAL (SELECT abs(hashtext(n || key)) / 2147483648.0 AS value) AS drawn;
"""

_REST = """
INSERT INTO run_sparks SELECT md5(n::text), 'loss', 1, '{0, 1}', '{1, 2}' FROM generate_series(1, 10000) AS n;

INSERT INTO data_versions
SELECT format('p%s', n % 10), 'data/raw', md5(n::text) || '.dir', 1000, 10, '', '', '[]', now()
  FROM generate_series(1, 5000) AS n;
INSERT INTO run_data
SELECT md5(n::text), format('p%s', n % 10), 'data/raw', md5((n % 5000)::text) || '.dir', false
  FROM generate_series(1, 10000) AS n;

INSERT INTO model_versions
SELECT format('p%s', n % 10), format('model%s', n / 10 % 5), n / 50 + 1, md5(n::text), now(), 'ada', '',
       'mlflow-artifacts:/workspaces/p/models/m-' || md5(n::text),
       'mlflow-artifacts:/workspaces/p/1/artifacts', '{"flavor": "onnx", "data.path": "data/raw"}',
       CASE WHEN n >= 9950 THEN '{champion}' ELSE '{}' END::text[]
  FROM generate_series(0, 9999) AS n;
INSERT INTO deployments (project, model, version, state, replicas)
SELECT format('p%s', n % 10), format('model%s', n / 10), 200, 'running', 1 FROM generate_series(0, 49) AS n;
INSERT INTO traffic
SELECT id, now() - n * interval '1 min', 10, 1, array_fill(1, ARRAY[40])
  FROM deployments, generate_series(1, 400) AS n;

INSERT INTO audit (at, who, action, project, detail)
SELECT now() - n * interval '1 min', 'admin', 'promote', format('p%s', n % 10),
       jsonb_build_object('model', format('model%s', n / 10 % 5), 'version', 1)
  FROM generate_series(1, 10000) AS n;
INSERT INTO alerts (project, rule, kind, subject, severity, state, message, channels, tells_end, began_at,
                    fired_at, ended_at)
SELECT format('p%s', n % 10), format('rule%s', n), 'error_rate', 'model0', 'warning',
       CASE WHEN n % 50 = 0 THEN 'firing' ELSE 'resolved' END, 'it fails', '{}', true,
       now() - n * interval '2 min', now() - n * interval '2 min',
       CASE WHEN n % 50 = 0 THEN NULL ELSE now() - n * interval '1 min' END
  FROM generate_series(1, 10000) AS n;

INSERT INTO drift_jobs (project, model, version, trigger, state, asked_at, since, until, ended_at, judged)
SELECT format('p%s', n % 10), format('model%s', n / 10 % 5), 200, 'schedule', 'done',
       now() - n * interval '10 min', now(), now(), now(), 10
  FROM generate_series(1, 5000) AS n;
INSERT INTO drift_columns (job_id, place, "column", side, "check", kind, method, score, threshold, drifted,
                           reference_missing, current_missing, reason, detail)
SELECT id, place, format('column%s', place), 'inputs', 'distribution', 'numerical', 'ks', 0.1, 0.2, false, 0,
       0, '', ''
  FROM drift_jobs, generate_series(0, 9) AS place;

INSERT INTO probes
SELECT 'here', format('service%s', n % 5), now() - n / 5 * interval '5 min', 'life', 300, 0
  FROM generate_series(1, 20000) AS n;
INSERT INTO restarts
SELECT 'here', format('service%s', n % 5), now() - n * interval '1 h', 'crash', ''
  FROM generate_series(1, 5000) AS n;
"""


def add_runs(database_url: str) -> None:
    """Ten registered projects with ten thousand runs, as the server's own housekeeping leaves them."""
    _execute(database_url, _RUNS)


def add_rest(database_url: str) -> None:
    """What else pages show of them."""
    _execute(database_url, _REST)


def _execute(database_url: str, statements: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(statements)
        connection.execute("VACUUM ANALYZE")
