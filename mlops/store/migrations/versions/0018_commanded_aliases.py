"""which transaction wants an alias moved: an alias that was moved before is overruled"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("followed_aliases", sa.Column("command", sa.BigInteger()))


def downgrade() -> None:
    op.drop_column("followed_aliases", "command")
