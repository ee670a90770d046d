"""No page reads a large table whole: the plan of each of its queries, as Postgres makes it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import event

from mlops.store.store import Store
from tests.mlops import many

LARGE = ("runs", "run_metrics", "run_sparks", "run_data", "data_versions", "model_versions", "traffic",
         "audit", "alerts", "drift_jobs", "drift_columns", "probes", "restarts")  # fmt: skip
RUN = hashlib.md5(b"7007").hexdigest()
OTHER = hashlib.md5(b"8017").hexdigest()
DATA = hashlib.md5(b"2007").hexdigest() + ".dir"
PAGES = (
    *("/", "/?project=p7", "/runs", "/runs?project=p7&sort=-metric:metric1.max&text=lora", "/search?q=lora"),
    *(f"/runs/p7/{RUN}", f"/runs/p7/{RUN}?tab=params", f"/compare?run=p7/{RUN}&run=p7/{OTHER}"),
    *("/models", "/models?project=p7", "/models/p7/model2", "/models/p7/model2/140"),
    *("/deployments", "/deployments?project=p7", "/deployments/p7/model2"),
    *("/monitoring", "/monitoring?project=p7&range=30d", "/monitoring/reports/{report}?project=p7"),
    *("/data", "/data?project=p7", f"/data/version?project=p7&path=data/raw&hash={DATA}"),
    *("/pipelines", "/hardware", "/hardware?project=p7", "/services"),
)


@pytest.fixture
def used(store: Store, database_url: str) -> Iterator[Store]:
    many.add_runs(database_url)
    many.add_rest(database_url)
    yield store
    with psycopg.connect(database_url) as connection:
        connection.execute("TRUNCATE probes, restarts, projects CASCADE")


def test_no_page_reads_a_large_table_whole(
    used: Store, browse: Callable, database_url: str, subtests: pytest.Subtests
) -> None:
    asked: list[tuple[str, object]] = []

    def note(_: object, __: object, statement: str, values: object, *___: object) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")):
            asked.append((statement, values))

    report = used.drift.latest("p7")[0].id
    event.listen(used._engine, "before_cursor_execute", note)
    with psycopg.connect(database_url) as connection:
        for page in PAGES:
            with subtests.test(page):
                asked.clear()
                assert browse(page.format(report=report)).status_code == 200
                questions = list(asked)
                assert questions
                assert [plan for each in questions for plan in _whole(connection, *each)] == []


def _whole(connection: psycopg.Connection, statement: str, values: object) -> Iterator[str]:
    plan = "\n".join(row[0] for row in connection.execute(f"EXPLAIN {statement}", values).fetchall())
    if any(table in LARGE for table in re.findall(r"Seq Scan on (\w+)", plan)):
        yield f"{statement}\n{plan}"
