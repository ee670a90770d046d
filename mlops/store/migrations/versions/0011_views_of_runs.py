"""questions for runs that somebody gave a name"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "run_views",
        sa.Column("id", sa.BigInteger(), sa.Identity(), primary_key=True),
        sa.Column("project", sa.Text(), sa.ForeignKey("projects.name", ondelete="CASCADE")),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    op.create_index("run_views_by_name", "run_views", [sa.text("coalesce(project, '')"), "name"], unique=True)


def downgrade() -> None:
    op.drop_table("run_views")
