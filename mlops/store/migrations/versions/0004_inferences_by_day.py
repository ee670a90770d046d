"""the inference log in partitions by time

What was logged so far becomes one partition as it stands, up to the midnight after it: nothing is copied, and
only the primary key is built anew.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COLUMNS = "id, at, project, model, version, side, request_id, status, latency_s, features"


def upgrade() -> None:
    op.execute("LOCK TABLE inferences IN ACCESS EXCLUSIVE MODE")
    newest, last = op.get_bind().execute(sa.text("SELECT max(at), max(id) FROM inferences")).one()
    op.execute("ALTER TABLE inferences RENAME TO inferences_before")
    op.execute("ALTER TABLE inferences_before ALTER COLUMN id DROP IDENTITY")
    op.execute("ALTER TABLE inferences_before DROP CONSTRAINT inferences_pkey")
    op.execute("ALTER INDEX inferences_of_model RENAME TO inferences_before_of_model")
    _create(sa.PrimaryKeyConstraint("at", "id"), first=(last or 0) + 1, postgresql_partition_by="RANGE (at)")
    if newest is None:
        op.drop_table("inferences_before")
        return
    op.create_primary_key("inferences_before_pkey", "inferences_before", ["at", "id"])
    ended = _next_midnight(max(newest, datetime.now(UTC)))
    op.execute(
        "ALTER TABLE inferences ATTACH PARTITION inferences_before"
        f" FOR VALUES FROM (MINVALUE) TO ('{ended:%Y-%m-%d %H:%M:%S}+00')"
    )


def downgrade() -> None:
    op.execute("LOCK TABLE inferences IN ACCESS EXCLUSIVE MODE")
    last = op.get_bind().execute(sa.text("SELECT max(id) FROM inferences")).scalar_one()
    op.execute("ALTER TABLE inferences RENAME TO inferences_parts")
    op.execute("ALTER TABLE inferences_parts ALTER COLUMN id DROP IDENTITY")
    op.execute("ALTER INDEX inferences_pkey RENAME TO inferences_parts_pkey")
    op.execute("ALTER INDEX inferences_of_model RENAME TO inferences_parts_of_model")
    _create(sa.PrimaryKeyConstraint("id"), first=(last or 0) + 1)
    op.execute(f"INSERT INTO inferences ({_COLUMNS}) SELECT {_COLUMNS} FROM inferences_parts")  # noqa: S608
    op.drop_table("inferences_parts")


def _create(key: sa.PrimaryKeyConstraint, first: int, **options: Any) -> None:
    op.create_table(
        "inferences",
        sa.Column("id", sa.BigInteger(), sa.Identity(start=first), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("latency_s", sa.Double(), nullable=False),
        sa.Column("features", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], ondelete="CASCADE"),
        key,
        **options,
    )
    op.create_index("inferences_of_model", "inferences", ["project", "model", "at"])


def _next_midnight(moment: datetime) -> datetime:
    return datetime.combine(moment.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
