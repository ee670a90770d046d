"""What a run printed: while it runs on this machine from its journal, afterwards from its artifacts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mlops.entities import ProjectWorkspace
from mlops.errors import ArtifactNotFound
from mlops.store.indexed_runs import IndexedRun
from mlops.tracking import output
from mlops.tracking.run_files import RunFiles
from mlops.tracking.run_folder import RunFolder, is_key

TAIL = 200_000
"""Bytes of a log's end that are shown."""
_MOST = 20_000_000
"""Bytes of a log that is an artifact."""


@dataclass(frozen=True, slots=True)
class RunLog:
    """The end of one of a run's logs; a run that was resumed has several."""

    name: str
    """Empty where there is none."""
    text: str = ""
    cut: int = 0
    """Bytes before it."""
    is_live: bool = False
    """Whether it is still being written, on this machine."""
    names: tuple[str, ...] = ()
    """Of all logs of the run, the newest last."""


class RunLogs:
    """`files` reads artifacts, and `journals` is the folder of this machine's journals; None where there is
    none."""

    def __init__(self, files: RunFiles | None, journals: Path | None) -> None:
        self._files = files
        self._journals = journals

    def read(self, workspace: ProjectWorkspace, run: IndexedRun, name: str = "") -> RunLog:
        """The end of a log, the newest unless named. Raises `ArtifactNotFound` for a name that is none, and
        `ServiceUnavailable` where MLflow is to be asked and does not answer."""
        live = {} if run.is_over else {log.name: log for log in self._live(run)}
        if live and name in ("", *live):
            chosen = name or list(live)[-1]
            text, cut = output.tail(live[chosen], TAIL)
            return RunLog(chosen, _text(text), cut, is_live=True, names=tuple(live))
        kept = self._kept(workspace, run)
        names = tuple(dict.fromkeys((*kept, *live)))
        if name and name not in kept:
            raise ArtifactNotFound(workspace.project_name, run.id, name)
        if not kept or self._files is None:
            return RunLog("", names=names)
        chosen = name or kept[-1]
        text, cut = _end(self._files.read(workspace, run.id, chosen, _MOST).pieces)
        return RunLog(chosen, _text(text), cut, names=names)

    def _live(self, run: IndexedRun) -> list[Path]:
        if self._journals is None or not is_key(run.key):
            return []
        return output.logs(RunFolder(self._journals / run.project / run.key).output)

    def _kept(self, workspace: ProjectWorkspace, run: IndexedRun) -> list[str]:
        if self._files is None:
            return []
        found = self._files.inside(workspace, run.id)
        logs = [each.path for each in found if each.path.startswith("output") and each.path.endswith(".log")]
        return sorted(logs, key=lambda path: (path != output.LOG_NAME, path))


def _end(pieces: Iterable[bytes]) -> tuple[bytes, int]:
    found, cut = b"", 0
    for piece in pieces:
        found += piece
        if len(found) > 2 * TAIL:
            cut += len(found) - TAIL
            found = found[-TAIL:]
    cut += max(0, len(found) - TAIL)
    return found[-TAIL:], cut


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")
