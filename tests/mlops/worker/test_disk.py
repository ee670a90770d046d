"""What projects take of the disk."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from mlops.config import MLOpsConfig
from mlops.entities import ProjectWorkspace
from mlops.errors import ServiceUnavailable
from mlops.installation import Installation
from mlops.store.store import Store
from mlops.worker.disk import DiskMeter


@pytest.fixture
def meter(store: Store, tmp_path: Path) -> DiskMeter:
    """Of a project `alpha`, whose artifacts and remote are here, and `beta`, whose remote is elsewhere."""
    installation = Installation(MLOpsConfig(home=tmp_path / "home"))
    remote = tmp_path / "remote"
    for name, place in (("alpha", str(remote)), ("beta", "s3://bucket/beta")):
        store.projects.put(ProjectWorkspace.of(name, f"space-{name}", "1", place, tmp_path / name), {})
    for file, size in (
        (installation.artifacts_dir / "workspaces/space-alpha/1/model.bin", 300),
        (remote / "files/md5/aa/b", 41),
        (installation.artifacts_dir / "workspaces/other/x", 999),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * size)
    (remote / "loop").symlink_to(remote)
    return DiskMeter(store, installation)


def test_artifacts_and_data_count(meter: DiskMeter, store: Store) -> None:
    assert store.projects.disk() == {}
    meter.look()
    found = store.projects.disk()
    assert 341 <= found["alpha"] < 600, "a link counts as itself"
    assert found["beta"] == 0
    store.projects.put_disk("gone", 3)
    assert set(store.projects.disk()) == {"alpha", "beta"}


def test_it_measures_by_itself_and_outlives_an_outage(meter: DiskMeter, store: Store, monkeypatch) -> None:
    asked = threading.Event()

    def away() -> None:
        asked.set()
        raise ServiceUnavailable("postgres", "refused")

    monkeypatch.setattr("mlops.worker.disk.EVERY_S", 0.05)
    with monkeypatch.context() as patched:
        patched.setattr(store.projects, "all", away)
        with pytest.raises(ServiceUnavailable):
            meter.look()
        asked.clear()
        meter.start()
        assert asked.wait(20), "its thread looks"
    deadline = time.monotonic() + 20
    while not store.projects.disk():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    meter.stop()
    with store._engine.connect() as connection:
        assert connection.scalar(text("SELECT disk_bytes FROM projects WHERE name = 'alpha'")) > 0
