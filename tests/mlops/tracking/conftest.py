"""A journal on this machine, the real server behind a proxy, and what the server has in the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops.tracking.delivery import Delivery
from mlops.tracking.journal import RunJournal
from mlops.tracking.rest import Rest
from mlops.tracking.run_folder import Opening, RunFolder, new_key
from mlops.tracking.server import MLflowServer
from tests.mlops.tracking.proxy import Proxy
from tests.servers import Account

PATIENCE_S = 60.0


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Poll until it holds; fails the test when it does not within a minute."""
    until = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until:
            pytest.fail(f"not within {PATIENCE_S:.0f} s: {what}")
        time.sleep(0.02)


class Lab:
    """One project's server and journal."""

    def __init__(self, account: Account, url: str, journal: Path) -> None:
        self.account, self.journal = account, journal
        # Looked at past the proxy.
        self.rest = Rest(lambda: account.url, account.namespace, account.username, account.password)
        self.server = self.server_at(lambda: url)

    def server_at(self, url: Callable[[], str]) -> MLflowServer:
        rest = Rest(url, self.account.namespace, self.account.username, self.account.password)
        return MLflowServer(rest, self.account.project, self.account.namespace, self.account.experiment_id)

    def create(self, name: str = "run", **opening: Any) -> RunJournal:
        now = time.time_ns() // 1_000_000
        return RunJournal.create(self.journal, Opening(self.account.project, name, now, new_key(), **opening))

    def deliver(self, run: RunJournal, server: MLflowServer | None = None) -> Delivery:
        """Deliver in this thread, to the end of what there is."""
        delivery = Delivery(RunFolder(run.folder.path), server or self.server, run)
        while delivery.step():
            pass
        return delivery

    def runs(self, key: str) -> list[dict[str, Any]]:
        """All of the server's runs with this key, deleted ones too."""
        query = {
            "experiment_ids": [self.account.experiment_id],
            "filter": f"tags.`mlops.run_key` = '{key}'",
            "run_view_type": "ALL",
        }
        return list(self.rest.call("POST", "/runs/search", query).get("runs", []))

    def run(self, key: str) -> dict[str, Any]:
        (found,) = self.runs(key)
        return found

    def tags(self, key: str) -> dict[str, str]:
        return {tag["key"]: tag["value"] for tag in self.run(key)["data"].get("tags", [])}

    def params(self, key: str) -> dict[str, str]:
        return {each["key"]: each["value"] for each in self.run(key)["data"].get("params", [])}

    def history(self, key: str, metric: str) -> list[tuple[int, float, int]]:
        """(step, value, time) of every point the server has."""
        run_id = self.run(key)["info"]["run_id"]
        points: list[dict[str, Any]] = []
        token: str | None = None
        while True:
            query = {"run_id": run_id, "metric_key": metric, "max_results": 20_000}
            page = self.rest.call(
                "GET", "/metrics/get-history", query=query | ({"page_token": token} if token else {})
            )
            points += page.get("metrics", [])
            token = page.get("next_page_token")
            if not token:
                break
        return sorted((int(p.get("step", 0)), float(p["value"]), int(p["timestamp"])) for p in points)

    def files(self, key: str, below: str = "") -> dict[str, int]:
        """Sizes of the run's artifacts by their paths."""
        run_id = self.run(key)["info"]["run_id"]
        found: dict[str, int] = {}
        query = {"run_id": run_id} | ({"path": below} if below else {})
        for each in self.rest.call("GET", "/artifacts/list", query=query).get("files", []):
            if each.get("is_dir"):
                found |= self.files(key, each["path"])
            else:
                found[each["path"]] = int(each.get("file_size", 0))
        return found


@pytest.fixture
def proxy(mlflow_accounts: tuple[Account, Account]) -> Iterator[Proxy]:
    """Stands before the real server."""
    made = Proxy(mlflow_accounts[0].url)
    yield made
    made.close()


@pytest.fixture
def lab(mlflow_accounts: tuple[Account, Account], proxy: Proxy, tmp_path: Path) -> Lab:
    """The first project, reached through the proxy."""
    return Lab(mlflow_accounts[0], proxy.url, tmp_path / "journal" / mlflow_accounts[0].project)
