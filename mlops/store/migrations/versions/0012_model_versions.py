"""the index of model versions; the alias that a champion is still to have; actions by model"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "model_versions",
        sa.Column("project", sa.Text(), sa.ForeignKey("projects.name", ondelete="CASCADE"), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("run_location", sa.Text(), nullable=False),
        sa.Column("tags", JSONB(), nullable=False),
        sa.Column("aliases", ARRAY(sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("project", "model", "version"),
    )
    op.add_column("followed_aliases", sa.Column("wanted", sa.Integer()))
    op.create_index(
        "audit_of_model", "audit", ["project", sa.text("(detail ->> 'model')"), sa.text("id DESC")]
    )


def downgrade() -> None:
    op.drop_index("audit_of_model", "audit")
    op.drop_column("followed_aliases", "wanted")
    op.drop_table("model_versions")
