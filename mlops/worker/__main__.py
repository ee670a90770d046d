"""`python -m mlops.worker`: the resident process of the platform's loops, one for each installation."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

from mlops.config import MLOpsConfig
from mlops.errors import MLOpsError
from mlops.hardware.base import ThermalState
from mlops.hardware.machine import open_readers
from mlops.installation import Installation
from mlops.logs.redaction import Redactor
from mlops.logs.start import start_logging
from mlops.monitoring.channels.book import ChannelBook
from mlops.serving.ingress import ReplicaLogs
from mlops.serving.ray import RayModelServer
from mlops.store.store import Store
from mlops.tracking.accounts import rest_of
from mlops.tracking.admin import MLflowAdmin
from mlops.worker.alias_mover import AliasMover
from mlops.worker.aliases import AliasFollower
from mlops.worker.deliveries import Deliveries
from mlops.worker.disk import DiskMeter
from mlops.worker.drift import DriftReports
from mlops.worker.facts import FactFinder
from mlops.worker.heartbeat import Heartbeat
from mlops.worker.index import RunIndex
from mlops.worker.indexer import Index, Indexer
from mlops.worker.journals import Journals
from mlops.worker.loop import Loop
from mlops.worker.packaging import Packager
from mlops.worker.polled_index import PolledIndex
from mlops.worker.presence import DRIFT_LOCK, INDEX_LOCK, WATCH_LOCK, Presence
from mlops.worker.reconcile import Reconciler
from mlops.worker.recorder import ProbeRecorder
from mlops.worker.watch import Watch

log = logging.getLogger("mlops.worker")

EXIT_SESSION_LOST = 75
"""Ray went away under a session: Ray cannot be left cleanly then, so the process is replaced."""

_PATIENCE_S = 5.0
_GRACE_S = 5.0  # a call to Ray that hangs is left behind after this


def main() -> int:
    """Run until SIGTERM; 0 then, 75 when Ray's session was lost, 1 when the settings are wrong."""
    try:
        config = MLOpsConfig.load()
        installation = Installation(config)
        hidden = Redactor(installation.secrets_dir, config.secret_values())
        start_logging("worker", installation.logs_dir, hidden)
        return _work(config, installation)
    except MLOpsError as error:
        log.error("%s", error)
        return 1


def _work(config: MLOpsConfig, installation: Installation) -> int:
    url = installation.database_url("mlops")
    store, presence = Store(url), Presence(url)
    server = RayModelServer(
        installation.ray_address,
        token=installation.ray_token(),
        secret=installation.secret("replica_secret"),
        installation=installation.identity(),
        otlp_endpoint=config.otlp_endpoint,
        logs=ReplicaLogs(str(installation.logs_dir), str(installation.secrets_dir)),
    )
    packager = Packager(installation.root, installation.bentos_dir)
    heartbeat = Heartbeat(installation.run_dir / "worker.json")
    indexer = Indexer(Presence(url, INDEX_LOCK), _index(config, installation, store))
    reconciler = Reconciler(store, server, packager, installation.bentos_dir)
    journals = Journals(installation)
    is_elsewhere = config.mlflow_uri is not None
    aliases = None if is_elsewhere else AliasFollower(store, installation.database_url("mlflow"))
    watch = _watch(installation, store, url)
    drift = DriftReports(store, Presence(url, DRIFT_LOCK), installation.root)
    disk = DiskMeter(store, installation)
    loop = Loop(
        store, presence, reconciler, heartbeat, server, journals, aliases,
        threads=(watch, drift, disk, indexer),
        drift_dir=installation.drift_dir, mover=_mover(installation, store, aliases),
    )  # fmt: skip
    _obey_signals(loop, packager, journals)
    packager.clear()
    recorder = ProbeRecorder(store, installation)
    heartbeat.start()
    recorder.start()
    log.info("the worker runs", extra={"event": "worker.running"})
    try:
        loop.run()
    finally:
        recorder.stop()
        watch.stop()
        drift.stop()
        disk.stop()
        indexer.stop()
        packager.close()
        journals.close()
        heartbeat.stop()
        presence.let_go()
        store.close()
    if server.lost:
        return EXIT_SESSION_LOST
    server.close()
    return 0


def _mover(installation: Installation, store: Store, aliases: AliasFollower | None) -> AliasMover:
    def admin() -> MLflowAdmin:
        user, password = installation.mlflow_admin()
        url = installation.mlflow_url
        return MLflowAdmin(url=url, username=user, password=password, timeout_s=_PATIENCE_S)

    return AliasMover(store, admin) if aliases is None else AliasMover(store, admin, aliases.read)


def _index(config: MLOpsConfig, installation: Installation, store: Store) -> Index:
    if config.mlflow_uri is None:
        return RunIndex(store, installation.database_url("mlflow"))
    return PolledIndex(store, installation.mlflow_url, lambda workspace: rest_of(installation, workspace))


def _watch(installation: Installation, store: Store, url: str) -> Watch:
    readers = open_readers()

    def is_too_hot() -> bool | None:
        state = readers.read().thermal_state
        return None if state is None else state is ThermalState.CRITICAL

    facts = FactFinder(installation, store, is_too_hot)
    book = ChannelBook(installation, lambda project: store.projects.alerting()[project].channels)
    deliveries = Deliveries(store, book.open)
    return Watch(store, Presence(url, WATCH_LOCK), facts.find, deliveries)


def _obey_signals(loop: Loop, packager: Packager, journals: Journals) -> None:
    def leave() -> None:
        packager.close()
        journals.close()
        os._exit(0)

    def end(*_: object) -> None:
        loop.stop()
        late = threading.Timer(_GRACE_S, leave)
        late.daemon = True
        late.start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    # Threads that wait for a Ray that is gone would keep the interpreter from ending.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
