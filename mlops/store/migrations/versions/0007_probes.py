"""for how long each service answered, and its restarts"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "probes",
        sa.Column("installation", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("began", sa.DateTime(timezone=True), nullable=False),
        sa.Column("life", sa.Text(), nullable=False),
        sa.Column("up_s", sa.Double(), nullable=False),
        sa.Column("down_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("installation", "began", "service", "life"),
    )
    op.create_table(
        "restarts",
        sa.Column("installation", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("installation", "at", "service"),
    )


def downgrade() -> None:
    op.drop_table("restarts")
    op.drop_table("probes")
