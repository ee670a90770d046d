"""indexes for the newest and the named versions of models, and the newest of data"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "model_versions_with_aliases", "model_versions", ["project", "model"],
        postgresql_where=sa.text("cardinality(aliases) > 0"),
    )  # fmt: skip
    op.create_index("data_versions_by_path", "data_versions", ["project", "path", sa.text("seen_at DESC")])


def downgrade() -> None:
    op.drop_index("data_versions_by_path", "data_versions")
    op.drop_index("model_versions_with_aliases", "model_versions")
