"""the index of all runs: metrics in rows of their own, params, words, and how far MLflow was read"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DELETE FROM runs")  # the worker fills it anew, from MLflow's own tables
    op.drop_index("runs_by_project", "runs")
    op.drop_column("runs", "metrics")
    op.add_column("runs", sa.Column("experiment", sa.Text(), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("user", sa.Text(), nullable=False, server_default=""))
    op.add_column("runs", sa.Column("params", JSONB(), nullable=False, server_default="{}"))
    op.add_column("runs", sa.Column("words", TSVECTOR(), nullable=False, server_default=""))
    newest = [sa.text("started_at DESC"), sa.text("id DESC")]
    op.create_index("runs_by_start", "runs", newest)
    op.create_index("runs_by_project", "runs", ["project", *newest])
    op.create_index("runs_by_status", "runs", ["status", *newest])
    op.create_index(
        "runs_failed", "runs", [sa.text("coalesce(ended_at, started_at)")],
        postgresql_where=sa.text("status = 'FAILED'"),
    )  # fmt: skip
    for column in ("params", "tags", "words"):
        op.create_index(f"runs_{column}", "runs", [column], postgresql_using="gin")
    op.create_table(
        "run_metrics",
        sa.Column("run_id", sa.Text(), sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("last", sa.Double()),
        sa.Column("min", sa.Double()),
        sa.Column("max", sa.Double()),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("time_ms", sa.BigInteger(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "key"),
    )
    for column in ("last", "min", "max"):
        op.create_index(f"run_metrics_by_{column}", "run_metrics", ["key", column, "run_id"])
    op.create_index("run_metrics_of_project", "run_metrics", ["project", "key"])
    op.create_table(
        "run_names",
        sa.Column("project", sa.Text(), sa.ForeignKey("projects.name", ondelete="CASCADE"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project", "kind", "name"),
    )
    op.create_table(
        "indexed_projects",
        sa.Column("project", sa.Text(), sa.ForeignKey("projects.name", ondelete="CASCADE"), primary_key=True),
        sa.Column("namespace", sa.Text(), nullable=False),
    )
    op.create_table(
        "run_index",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("source", sa.Text(), nullable=False, server_default=""),
        sa.Column("horizon", sa.BigInteger()),
        sa.Column("indexed_at", sa.DateTime(timezone=True)),
        sa.Column("rebuild_asked_at", sa.DateTime(timezone=True)),
    )


def downgrade() -> None:
    for table in ("run_index", "indexed_projects", "run_names", "run_metrics"):
        op.drop_table(table)
    op.execute("DELETE FROM runs")
    for index in ("by_start", "by_project", "by_status", "failed", "params", "tags", "words"):
        op.drop_index(f"runs_{index}", "runs")
    for column in ("experiment", "user", "params", "words"):
        op.drop_column("runs", column)
    op.add_column("runs", sa.Column("metrics", JSONB(), nullable=False, server_default="{}"))
    op.create_index("runs_by_project", "runs", ["project", sa.text("started_at DESC")])
