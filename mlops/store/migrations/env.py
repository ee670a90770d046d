"""Alembic's environment: runs over the connection that `mlops.store.upgrade` hands in."""

from __future__ import annotations

from alembic import context

from mlops.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
