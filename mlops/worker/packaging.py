"""Packaging: a registered version becomes a Bento, in a child process each.

`python -m mlops.worker.packaging` is that child: mlflow and bentoml are loaded there, and never in
the resident worker.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
import traceback
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from mlops.children import LOG_CHARS, Child, read_order, tell
from mlops.config import MLOpsConfig
from mlops.entities import Deployment
from mlops.errors import MLOpsError, ServiceUnavailable

DOWNLOAD = "mlops.workspace:download_model"


@dataclass(frozen=True, slots=True)
class PackagingOrder:
    """What the child is told, as JSON on its standard input."""

    deployment: int
    project: str
    model: str
    version: int
    bentos: str
    """BENTOML_HOME."""
    home: str
    """MLOPS_HOME."""
    scratch: str
    """The child's folder for temporary files; it goes with the child, however that ends."""
    allow_pickle: bool | Sequence[str] = False
    functions: Mapping[str, str] = field(default_factory=dict)
    """The project's own that run with this model, by what they are for."""
    code: str = ""
    """The project's folder, where their packages lie."""
    download: str = DOWNLOAD
    """Import path of `download(config, project, model, version, folder) -> folder`."""


@dataclass(frozen=True, slots=True)
class Packaged:
    """How one packaging ended: with a Bento's tag, or with an error."""

    deployment: int
    bento: str = ""
    error: str = ""
    later: bool = False
    """Whether the error is that a service did not answer, as while all start: it is worth another try."""


class Packager:
    """Runs at most `limit` children at a time, each for at most `timeout_s` seconds."""

    def __init__(
        self, home: Path, bentos: Path, *, download: str = DOWNLOAD, limit: int = 1, timeout_s: float = 600.0
    ) -> None:
        self._home = home
        self._bentos = bentos
        self._scratch = home / "run" / "packaging"
        self._download = download
        self._limit = limit
        self._timeout = timeout_s
        self._waiting: deque[PackagingOrder] = deque()
        self._running: dict[int, _Packaging] = {}

    def clear(self) -> None:
        """Delete what the children of an earlier worker, killed with it, have left behind."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def submit(
        self,
        deployment: Deployment,
        *,
        allow_pickle: bool | Sequence[str],
        functions: Mapping[str, str] | None = None,
        code: Path | None = None,
    ) -> None:
        """Queue a deployment, unless it is queued or running already."""
        if deployment.id in self.under_way:
            return
        self._waiting.append(
            PackagingOrder(
                deployment=deployment.id,
                project=deployment.project,
                model=deployment.model,
                version=deployment.version,
                bentos=str(self._bentos),
                home=str(self._home),
                scratch=str(self._scratch / str(deployment.id)),
                allow_pickle=allow_pickle,
                functions=dict(functions or {}),
                code=str(code or ""),
                download=self._download,
            )
        )
        self._start()

    @property
    def under_way(self) -> set[int]:
        """Deployments queued or running."""
        return {order.deployment for order in self._waiting} | set(self._running)

    def finished(self) -> list[Packaged]:
        """Those that ended since the last call; also starts the next ones."""
        ended = [child for child in self._running.values() if child.has_ended(self._timeout)]
        for child in ended:
            del self._running[child.deployment]
        self._start()
        return [child.result() for child in ended]

    def cancel(self, deployment_id: int) -> None:
        """Drop one, wherever it is."""
        self._waiting = deque(order for order in self._waiting if order.deployment != deployment_id)
        child = self._running.pop(deployment_id, None)
        if child is not None:
            child.kill()

    def close(self) -> None:
        """End every child."""
        for deployment_id in list(self.under_way):
            self.cancel(deployment_id)

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._limit:
            order = self._waiting.popleft()
            self._running[order.deployment] = _Packaging(order)


class _Packaging:
    """One packaging under way."""

    def __init__(self, order: PackagingOrder) -> None:
        self.deployment = order.deployment
        self._started = time.monotonic()
        self._scratch = Path(order.scratch)
        self._scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._child = Child(__name__, asdict(order))

    def has_ended(self, timeout: float) -> bool:
        return self._child.has_ended() or time.monotonic() - self._started > timeout

    def kill(self) -> None:
        self._child.kill()
        shutil.rmtree(self._scratch, ignore_errors=True)

    def result(self) -> Packaged:
        """How it ended; one that takes too long is ended."""
        if not self._child.has_ended():
            log = self._child.kill()
            why = "took too long"
            answer: Mapping[str, Any] = {}
        else:
            ended = self._child.ended()
            answer, log, why = ended.answer, ended.log, f"ended with {ended.code}"
        shutil.rmtree(self._scratch, ignore_errors=True)
        if "bento" in answer:
            return Packaged(self.deployment, bento=str(answer["bento"]))
        if "error" in answer:
            return Packaged(self.deployment, error=str(answer["error"]), later=bool(answer.get("later")))
        return Packaged(self.deployment, error=f"packaging {why}\n{log}".strip())


def main() -> int:
    """The child: download, build, and print `{"bento": tag}` or `{"error": message}` as last line."""
    order = PackagingOrder(**read_order())
    from mlops.serving.bento import environment

    os.environ.update({**environment(Path(order.bentos)), "TMPDIR": order.scratch})
    try:
        answer: dict[str, Any] = {"bento": _package(order)}
    except MLOpsError as error:
        answer = {"error": str(error), "later": isinstance(error, ServiceUnavailable)}
    except Exception:  # noqa: BLE001 - whatever it was, the deployment's record gets it
        answer = {"error": traceback.format_exc()[-LOG_CHARS:]}
    tell(answer)
    return 0 if "bento" in answer else 1


def _package(order: PackagingOrder) -> str:
    from mlops.serving.bento import BentoOrder, build, run_id_of
    from mlops.workspace import data_of_run

    module, _, name = order.download.partition(":")
    download = getattr(import_module(module), name)
    with tempfile.TemporaryDirectory(prefix="model-") as scratch:
        config = MLOpsConfig.load(home=Path(order.home))
        model = Path(download(config, order.project, order.model, order.version, Path(scratch)))
        run_id = run_id_of(model)
        return build(
            BentoOrder(
                model=model,
                home=Path(order.bentos),
                project=order.project,
                name=order.model,
                version=order.version,
                run_id=run_id,
                data=data_of_run(config, order.project, run_id) if run_id else {},
                build=str(order.deployment),
                allow_pickle=order.allow_pickle,
                functions=order.functions,
                code=Path(order.code) if order.code else None,
            )
        )


if __name__ == "__main__":
    sys.exit(main())
