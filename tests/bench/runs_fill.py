"""Synthetic runs, put straight into MLflow's own tables by SQL: logging as many takes hours."""

from __future__ import annotations

from pathlib import Path

import psycopg

from mlops.entities import ProjectWorkspace
from mlops.store.store import Store

METRICS, PARAMS, POINTS = 10, 5, 2
"""Of each run; points of each metric."""

_FILL = """
INSERT INTO workspaces (name) SELECT format('p%%s', p) FROM generate_series(1, %(projects)s) AS p;

INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, workspace)
SELECT 1000 + p, 'experiment', 'file:///nowhere', 'active', format('p%%s', p)
  FROM generate_series(1, %(projects)s) AS p;

CREATE TEMP TABLE made ON COMMIT DROP AS
SELECT n, md5(n::text) AS run_uuid, 1 + n %% %(projects)s AS p, 1700000000000 + n * 60000::bigint AS began
  FROM generate_series(1, %(runs)s) AS n;

INSERT INTO runs (run_uuid, name, source_type, source_name, user_id, status, start_time, end_time,
                  lifecycle_stage, artifact_uri, experiment_id)
SELECT run_uuid, format('%%s-%%s', (ARRAY['mixer', 'cnn', 'lora', 'wear'])[1 + n %% 4], n), 'LOCAL',
       'train.py',
       format('user%%s', n %% 7),
       CASE WHEN n %% 2500 = 0 THEN 'RUNNING' WHEN n %% 20 = 0 THEN 'FAILED' ELSE 'FINISHED' END, began,
       CASE WHEN n %% 2500 = 0 THEN NULL ELSE began + 30000 END, 'active', 'file:///nowhere', 1000 + p
  FROM made;

INSERT INTO tags (run_uuid, key, value)
SELECT run_uuid, tag.key, tag.value
  FROM made, LATERAL (VALUES
       ('mlops.run_key', format('r-%%s', run_uuid)), ('mlflow.user', format('user%%s', n %% 7)),
       ('mlflow.source.name', 'train.py'), ('stage', (ARRAY['dev', 'staging', 'prod'])[1 + n %% 3]),
       ('sweep', (n / 100)::text)) AS tag(key, value);

INSERT INTO params (run_uuid, key, value)
SELECT run_uuid, format('param%%s', k), ((n * (k + 1)) %% 17)::text
  FROM made, generate_series(0, %(params)s - 1) AS k;

INSERT INTO metrics (run_uuid, key, step, timestamp, value, is_nan)
SELECT run_uuid, CASE k WHEN 0 THEN 'loss' ELSE format('metric%%s', k) END, s, began + s * 1000,
       abs(hashint8(n * 64 + k * 8 + s)) / 2147483648.0, FALSE
  FROM made, generate_series(0, %(metrics)s - 1) AS k, generate_series(1, %(points)s) AS s;

INSERT INTO latest_metrics (run_uuid, key, step, timestamp, value, is_nan)
SELECT run_uuid, key, step, timestamp, value, is_nan FROM metrics WHERE step = %(points)s;
"""


def fill(url: str, projects: int, runs: int) -> None:
    """Runs of the workspaces p1, p2, … in the tables that MLflow made at `url`."""
    values = {
        "projects": projects, "runs": runs, "params": PARAMS, "metrics": METRICS, "points": POINTS,
    }  # fmt: skip
    with psycopg.connect(url, cursor_factory=psycopg.ClientCursor) as connection:
        connection.execute(_FILL, values)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")


def register(store: Store, projects: int) -> None:
    """The projects of those workspaces."""
    store.upgrade()
    for number in range(1, projects + 1):
        name = f"p{number}"
        workspace = ProjectWorkspace(
            project_name=name,
            namespace=name,
            mlflow_experiment_id=str(1000 + number),
            dvc_remote_path="/nowhere",
            airflow_dag_prefix=f"{name}__",
            serving_endpoint=f"/projects/{name}",
            root=Path("/nowhere"),
        )
        store.projects.put(workspace, {})
