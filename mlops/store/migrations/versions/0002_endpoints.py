"""sides and weights of deployments, followed aliases, traffic"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deployments", sa.Column("side", sa.Text(), server_default="champion", nullable=False))
    op.add_column("deployments", sa.Column("weight", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "followed_aliases",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("stamp", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("project", "model"),
    )
    op.create_table(
        "traffic",
        sa.Column("deployment_id", sa.Integer(), nullable=False),
        sa.Column("began", sa.DateTime(timezone=True), nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.Column("latencies", postgresql.ARRAY(sa.Integer()), nullable=False),
        sa.ForeignKeyConstraint(["deployment_id"], ["deployments.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("deployment_id", "began"),
    )


def downgrade() -> None:
    op.drop_table("traffic")
    op.drop_table("followed_aliases")
    op.drop_column("deployments", "weight")
    op.drop_column("deployments", "side")
