"""when each project's MLflow elsewhere was last read, and metrics whose values are still to be counted"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("indexed_projects", sa.Column("read_at", sa.DateTime(timezone=True)))
    op.add_column("indexed_projects", sa.Column("problem", sa.Text(), nullable=False, server_default=""))
    op.create_index(
        "run_metrics_uncounted", "run_metrics", ["project", "run_id"], postgresql_where=sa.text("points = 0")
    )


def downgrade() -> None:
    op.drop_index("run_metrics_uncounted", "run_metrics")
    op.drop_column("indexed_projects", "problem")
    op.drop_column("indexed_projects", "read_at")
