"""what turned out to be right, by request; inferences are found by their request"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "ground_truths",
        sa.Column("project", sa.Text(), sa.ForeignKey("projects.name", ondelete="CASCADE"), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("output", sa.Text(), nullable=False),
        sa.Column("truths", JSONB(), nullable=False),
        sa.Column("earlier", JSONB(), nullable=False, server_default=sa.text("'[]'")),
        sa.Column("logged_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("logged_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project", "request_id", "model", "output"),
    )
    op.create_index("ground_truths_by_time", "ground_truths", ["logged_at"])
    op.add_column(
        "drift_jobs",
        sa.Column("has_performance", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.create_index("inferences_of_request", "inferences", ["project", "request_id"])


def downgrade() -> None:
    op.drop_index("inferences_of_request", "inferences")
    op.drop_column("drift_jobs", "has_performance")
    op.drop_table("ground_truths")
