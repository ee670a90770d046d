"""the course of each run's primary metric; all runs are read again for it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "run_sparks",
        sa.Column("run_id", sa.Text(), sa.ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("width", sa.BigInteger(), nullable=False),
        sa.Column("least", ARRAY(sa.Double()), nullable=False),
        sa.Column("greatest", ARRAY(sa.Double()), nullable=False),
    )
    op.execute("UPDATE run_index SET rebuild_asked_at = now()")


def downgrade() -> None:
    op.drop_table("run_sparks")
