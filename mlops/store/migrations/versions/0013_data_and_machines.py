"""versions of data and who used them; what projects take of the disk; runs that measured their machine"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "data_versions",
        sa.Column("project", sa.Text(), sa.ForeignKey("projects.name", ondelete="CASCADE"), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("files", sa.BigInteger(), nullable=False),
        sa.Column("git_revision", sa.Text(), nullable=False),
        sa.Column("remote", sa.Text(), nullable=False),
        sa.Column("checks", JSONB(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("project", "path", "hash"),
    )
    op.create_index("data_versions_by_time", "data_versions", ["project", sa.text("seen_at DESC")])
    op.create_table(
        "run_data",
        sa.Column("run_id", sa.Text(), sa.ForeignKey("runs.id", ondelete="CASCADE"), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("declared", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "path", "hash"),
    )
    op.create_index("run_data_of_version", "run_data", ["project", "path", "hash", "declared"])
    op.create_index(
        "runs_measured", "runs", [sa.text("started_at DESC"), sa.text("id DESC")],
        postgresql_where=sa.text("tags ? 'hardware.os'"),
    )  # fmt: skip
    op.create_index(
        "run_metrics_energy", "run_metrics", ["time_ms"], postgresql_include=["project", "last"],
        postgresql_where=sa.text("key = 'system/energy_joules'"),
    )  # fmt: skip
    op.add_column("projects", sa.Column("disk_bytes", sa.BigInteger()))
    # What runs used is read from MLflow's tables once for those that are in the index.
    op.execute("UPDATE run_index SET rebuild_asked_at = now()")


def downgrade() -> None:
    op.drop_column("projects", "disk_bytes")
    op.drop_index("run_metrics_energy", "run_metrics")
    op.drop_index("runs_measured", "runs")
    op.drop_table("run_data")
    op.drop_table("data_versions")
