"""names of tokens: a project may have several"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tokens", sa.Column("name", sa.Text(), nullable=False, server_default=""))
    op.create_index(
        "tokens_by_name", "tokens", ["project", "name"], unique=True, postgresql_where=sa.text("name <> ''")
    )


def downgrade() -> None:
    op.drop_index("tokens_by_name", "tokens")
    # The release before would take a viewer for nobody it knows, and a named member for the project's own.
    op.execute("DELETE FROM tokens WHERE name <> ''")
    op.drop_column("tokens", "name")
