"""drift reports: jobs, and the rows that they found"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "drift_jobs",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Text(), server_default="", nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("error_type", sa.Text(), server_default="", nullable=False),
        sa.Column("has_page", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        *(
            sa.Column(name, sa.Integer(), server_default="0", nullable=False)
            for name in ("reference_rows", "current_rows", "inferences", "judged", "drifted")
        ),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
    )
    model = ["project", "model", "version", "trigger"]
    op.create_index("drift_jobs_of_model", "drift_jobs", [*model, sa.text("id DESC")])
    op.create_index("drift_jobs_of_project", "drift_jobs", ["project", sa.text("id DESC")])
    op.create_index("drift_jobs_by_time", "drift_jobs", ["asked_at"])
    is_open = "state IN ('queued', 'running')"
    op.create_index(
        "drift_jobs_due",
        "drift_jobs",
        model,
        unique=True,
        postgresql_where=sa.text(f"{is_open} AND trigger <> 'request'"),
    )
    op.create_index("drift_jobs_open", "drift_jobs", ["id"], postgresql_where=sa.text(is_open))
    op.create_table(
        "drift_columns",
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("column", "side", "check", "kind", "method", "reason", "detail")
        ),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("threshold", sa.Double(), nullable=True),
        sa.Column("drifted", sa.Boolean(), nullable=False),
        sa.Column("reference_missing", sa.Double(), nullable=False),
        sa.Column("current_missing", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["drift_jobs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "place"),
    )


def downgrade() -> None:
    op.drop_table("drift_columns")
    op.drop_table("drift_jobs")
