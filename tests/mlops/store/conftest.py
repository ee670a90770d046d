"""Rows of the inference log, and its partitions as a test finds them: none."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine

from mlops.store.database import connect
from mlops.store.partitions import Partitions
from mlops.store.store import Store


@pytest.fixture
def inference() -> Callable[..., dict[str, Any]]:
    """Makes a row of `alpha/depth`, `days` old."""

    def make(days: float = 0.0, **fields: object) -> dict[str, Any]:
        return {
            "at": datetime.now(UTC) - timedelta(days=days), "project": "alpha", "model": "depth",
            "version": 3, "side": "champion", "request_id": "r-1", "status": 200, "latency_s": 0.004,
            "features": '{"rows": 1, "inputs": {"x": [1.5]}, "outputs": {"y": [3]}}',
        } | fields  # fmt: skip

    return make


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Of a user of the database beside the store."""
    made = connect(database_url)
    yield made
    made.dispose()


@pytest.fixture
def tables(store: Store, database_url: str) -> Callable[[], list[str]]:
    """Every table of the log but itself, attached or not; there is none when the test begins."""

    def read() -> list[str]:
        with psycopg.connect(database_url) as connection:
            found = connection.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'inferences_%' ORDER BY 1"
            )
            return [name for (name,) in found]

    with psycopg.connect(database_url) as connection:
        for name in read():
            connection.execute(f"DROP TABLE {name}")
    return read


@pytest.fixture
def partitions(store: Store, tables: Callable[[], list[str]]) -> Partitions:
    """Of a log that has none, over the store's own engine."""
    return Partitions(store._engine)
