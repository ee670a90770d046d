"""What shall serve (the store) against what does (the model server): one step at a time.

Nothing is remembered that could not be read again, so a worker may end at any moment: the next one
goes on from the store and from what the server says.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from mlops.entities import Deployment, DeploymentState, Side
from mlops.errors import ProjectNotFound, ServiceUnavailable
from mlops.project import Monitoring
from mlops.serving.base import ModelServer, Phase, ReplicaLimits, Served, replica_limits
from mlops.serving.bento import ANSWER, FEATURES, discard, folder, is_usable
from mlops.store.store import Store
from mlops.worker.packaging import Packager

log = logging.getLogger(__name__)

START_TIMEOUT_S = 180.0
PACKAGE_AGAIN_S, PACKAGE_FOR_S = 2.0, 300.0
"""Between two tries, and at most, while a service that packaging needs does not answer."""
ROOM_AFTER_S = 20.0
"""A deployment that waits longer for its replicas may lack cores: previous champions make room."""

_SERVING = (DeploymentState.STARTING, DeploymentState.RUNNING)
_MOVING = (
    DeploymentState.PENDING,
    DeploymentState.PACKAGING,
    DeploymentState.STARTING,
    DeploymentState.STOPPING,
)


class Reconciler:
    """Brings the model server to what the store wants. One caller, one thread."""

    def __init__(
        self,
        store: Store,
        server: ModelServer,
        packager: Packager,
        bentos: Path,
        *,
        start_timeout_s: float = START_TIMEOUT_S,
        room_after_s: float = ROOM_AFTER_S,
    ) -> None:
        self._store = store
        self._deployments = store.deployments
        self._server = server
        self._packager = packager
        self._bentos = bentos
        self._start_timeout = start_timeout_s
        self._room_after = room_after_s
        self._asked: dict[int, str] = {}  # deployment -> its scale, as asked of the server in this session
        self._since: dict[int, float] = {}  # deployment -> when it was first seen STARTING, or waiting to
        self._not_before: dict[int, float] = {}  # deployment -> when packaging is tried again
        self._packaged: dict[int, Deployment] = {}  # what was given to the packager
        self.moving = False

    def step(self) -> dict[str, int]:
        """Do what can be done now; returns deployments by state. Afterwards `moving` tells whether
        something is on its way, so that the next step is wanted soon. Raises `ServiceUnavailable` for
        a server or a Postgres that does not answer, after the work that does not need it."""
        self._collect_packages()
        rows = self._deployments.all()
        for row in rows:
            self._package(row)
        self.moving = any(row.state in _MOVING for row in rows)
        served = self._server.served()
        for row in rows:
            if row.state in _SERVING:
                self._guarded(row, served, self._serve)
            elif row.state in (DeploymentState.STOPPING, DeploymentState.FAILED):
                self._guarded(row, served, self._clear)
        for stray in served.keys() - {row.id for row in rows}:
            if served[stray].phase is not Phase.STOPPING:
                self._server.remove(stray)
        return dict(Counter(row.state.value for row in self._deployments.all()))

    def _guarded(
        self,
        row: Deployment,
        served: Mapping[int, Served],
        verb: Callable[[Deployment, Served | None], None],
    ) -> None:
        # One deployment that cannot be handled must not keep the others waiting.
        try:
            verb(row, served.get(row.id))
        except ServiceUnavailable:
            raise
        except Exception:
            log.exception("deployment %s cannot be handled", row.id, extra=_told("", row))

    # -- packaging --------------------------------------------------------------------------------

    def _collect_packages(self) -> None:
        for done in self._packager.finished():
            if done.later and self._may_wait(done.deployment):
                self._deployments.advance(done.deployment, DeploymentState.PACKAGING, error=done.error)
            elif done.error:
                _tell_failed(self._packaged.get(done.deployment), done.deployment, done.error)
                self._deployments.advance(done.deployment, DeploymentState.FAILED, error=done.error)
            else:
                self._since.pop(done.deployment, None)
                self._deployments.advance(done.deployment, DeploymentState.STARTING, bento=done.bento)

    def _may_wait(self, number: int) -> bool:
        """Whether packaging is tried again in a moment; not for ever."""
        now = time.monotonic()
        self._not_before[number] = now + PACKAGE_AGAIN_S
        return now - self._since.setdefault(number, now) < PACKAGE_FOR_S

    def _package(self, row: Deployment) -> None:
        if row.state is DeploymentState.STOPPING:
            self._packager.cancel(row.id)
        elif row.state is DeploymentState.PENDING:
            self._deployments.advance(row.id, DeploymentState.PACKAGING)
            self._submit(row)
        elif row.state is DeploymentState.PACKAGING and time.monotonic() >= self._not_before.get(row.id, 0.0):
            self._submit(row)  # also one that an earlier worker left behind

    def _submit(self, row: Deployment) -> None:
        try:
            project = self._store.projects.get(row.project)
        except ProjectNotFound:  # unregistered meanwhile; its deployments go, too
            return
        serving = self._store.projects.serving(row.project)
        self._packaged[row.id] = row
        features = self._store.projects.monitoring().get(row.project, Monitoring()).features
        functions = {ANSWER: serving.files.get(row.model, ""), FEATURES: features.get(row.model, "")}
        self._packager.submit(
            row,
            allow_pickle=serving.allow_pickle,
            functions={use: call for use, call in functions.items() if call},
            code=project.root,
        )

    # -- serving ----------------------------------------------------------------------------------

    def _serve(self, row: Deployment, served: Served | None) -> None:
        if served is None or served.phase is Phase.STOPPING:
            self._deployments.set_replicas(row.id, [])
            if served is None:
                self._deploy(row)
            return
        self._deployments.set_replicas(row.id, served.urls)
        if served.phase is Phase.FAILED and served.urls and row.state is DeploymentState.RUNNING:
            self._limping(row, served)
        elif served.phase is Phase.FAILED:
            self._failed(row, served.error)
        elif served.phase is Phase.RUNNING:
            self._running(row, served)
        else:
            self._still_starting(row, served)

    def _deploy(self, row: Deployment) -> None:
        bento = folder(self._bentos, row.bento)
        if not is_usable(bento):
            log.warning("deployment %s: its Bento %s is gone or old, packaging anew", row.id, row.bento)
            self._deployments.advance(row.id, DeploymentState.PACKAGING)
            self.moving = True
            return
        self._server.deploy(row, bento, self._limits(row))
        self._asked[row.id] = row.scale
        self.moving = True

    def _running(self, row: Deployment, served: Served) -> None:
        self._since.pop(row.id, None)
        if row.state is DeploymentState.STARTING or row.error:
            self._deployments.advance(row.id, DeploymentState.RUNNING)
            log.info("deployment %s runs", row.id, extra=_told("deployment.running", row))
            if row.side is Side.CHAMPION and row.state is DeploymentState.STARTING:
                self._store.aliases.want(row.project, row.model, row.version)
        settled = row.most_replicas is None and len(served.urls) == row.replicas
        if self._asked.get(row.id) != row.scale and not settled:
            self._deploy(row)
        else:
            self._asked[row.id] = row.scale
        # Also after a step that was cut short between the two: only the newest version answers.
        if self._deployments.succeed(row.id):
            self.moving = True

    def _limping(self, row: Deployment, served: Served) -> None:
        # A replica died, or a further one cannot start. Those that answer stay; the server tries again.
        if row.error != served.error:
            extra = _told("deployment.limping", row) | {"error": served.error}
            log.error("deployment %s has a replica that does not run", row.id, extra=extra)
            self._deployments.advance(row.id, DeploymentState.RUNNING, error=served.error)
        if self._asked.get(row.id) != row.scale:
            self._deploy(row)

    def _still_starting(self, row: Deployment, served: Served) -> None:
        self.moving = True
        first = self._since.setdefault(row.id, time.monotonic())
        waited = time.monotonic() - first
        lacks = len(served.urls) < row.replicas
        if waited > self._room_after and lacks and row.side is not Side.PREVIOUS:
            self._deployments.make_room()
        if row.state is DeploymentState.STARTING and waited > self._start_timeout:
            self._failed(row, f"not up after {self._start_timeout:g} s\n{served.error}".strip())
        elif not served.urls and not is_usable(folder(self._bentos, row.bento)):
            # Its replicas died and cannot be opened again; what is removed here is packaged anew.
            self._server.remove(row.id)

    def _failed(self, row: Deployment, error: str) -> None:
        _tell_failed(row, row.id, error)
        self._server.remove(row.id)
        self._asked.pop(row.id, None)
        self._since.pop(row.id, None)
        self.moving = True
        if row.state is DeploymentState.STARTING:
            self._deployments.set_replicas(row.id, [])
            self._deployments.advance(row.id, DeploymentState.FAILED, error=error)
        else:
            # It ran before: it is tried again, with the reason on record.
            self._deployments.advance(row.id, DeploymentState.RUNNING, error=error)

    def _clear(self, row: Deployment, served: Served | None) -> None:
        if served is not None:
            self.moving = True
            if served.phase is not Phase.STOPPING:
                self._server.remove(row.id)
            return
        if row.state is DeploymentState.STOPPING:
            self._deployments.forget(row.id)
            log.info("deployment %s is gone", row.id, extra=_told("deployment.stopped", row))
            if row.bento and not any(other.bento == row.bento for other in self._deployments.all()):
                discard(self._bentos, row.bento)
            self._asked.pop(row.id, None)
            self._since.pop(row.id, None)
            self._not_before.pop(row.id, None)
            self._packaged.pop(row.id, None)

    # -- settings ---------------------------------------------------------------------------------

    def _limits(self, row: Deployment) -> ReplicaLimits:
        projects = self._store.projects
        return replica_limits(projects.quotas(row.project), projects.serving(row.project), row.model)


def _told(event: str, row: Deployment) -> dict[str, object]:
    facts = {"deployment": row.id, "model": row.model, "version": row.version, "side": row.side.value}
    return {"event": event, "project": row.project, **facts}


def _tell_failed(row: Deployment | None, number: int, error: str) -> None:
    facts = {} if row is None else _told("", row)
    why = error.strip().splitlines()[-1] if error.strip() else "no reason was told"
    extra = {**facts, "event": "deployment.failed", "error": error}
    log.error("deployment %s failed: %s", number, why, extra=extra)
