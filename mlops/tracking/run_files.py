"""A run's artifacts through MLflow's API, as the project's own account: listed, and read piece by piece."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mlops.entities import ProjectWorkspace
from mlops.errors import ArtifactNotFound, InvalidInput, ServiceUnavailable
from mlops.tracking.rest import Rest, ServerRefusal

MOST_FILES = 1000
"""Of a folder, in one answer."""
MOST_BYTES = 1 << 30
"""Of a file that is given through the gateway."""
MOST_FIGURES = 100
FIGURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg")
_MOST_FOLDERS = 20
"""That are looked into for figures."""
_PATIENCE_S = 10.0
_PIECE = 1 << 16


@dataclass(frozen=True, slots=True)
class RunFile:
    """A file or a folder among a run's artifacts."""

    path: str
    """From the root of the run's artifacts, with `/`."""
    is_folder: bool
    size_bytes: int | None
    """None of a folder."""

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Content:
    """What is in a file."""

    pieces: Iterator[bytes]
    size_bytes: int | None
    """None where the server does not say."""


class RunFiles:
    """Artifacts of runs by MLflow's id. Every verb raises `ServiceUnavailable` where MLflow does not answer,
    `ArtifactNotFound`, and `InvalidInput` for a path that leads elsewhere."""

    def __init__(self, rest_of: Callable[[ProjectWorkspace], Rest]) -> None:
        """`rest_of` calls MLflow as the account of a workspace, which sees that one alone."""
        self.rest_of = rest_of

    def inside(self, workspace: ProjectWorkspace, run_id: str, folder: str = "") -> list[RunFile]:
        """What is in a folder, or in the root, folders first; at most `MOST_FILES`."""
        check_path(folder)
        rest = self.rest_of(workspace)
        with rest.within(_PATIENCE_S):
            return _list(rest, workspace, run_id, folder)

    def figures(self, workspace: ProjectWorkspace, run_id: str) -> list[RunFile]:
        """The images, by path, in whichever folders; at most `MOST_FIGURES`."""
        rest, found = self.rest_of(workspace), list[RunFile]()
        waiting, asked = deque([""]), 0
        with rest.within(_PATIENCE_S):
            while waiting and asked < _MOST_FOLDERS and len(found) < MOST_FIGURES:
                asked += 1
                for each in _list(rest, workspace, run_id, waiting.popleft()):
                    if each.is_folder:
                        waiting.append(each.path)
                    elif each.path.lower().endswith(FIGURES):
                        found.append(each)
        return sorted(found[:MOST_FIGURES], key=lambda each: each.path)

    def read(
        self, workspace: ProjectWorkspace, run_id: str, path: str, most_bytes: int = MOST_BYTES
    ) -> Content:
        """A file; whoever has it reads its pieces to the end, or closes them. Raises `InvalidInput` for one
        of more than `most_bytes`."""
        if not check_path(path):
            raise InvalidInput("path", path, "names no file", remedy="Give the path of an artifact.")
        rest = self.rest_of(workspace)
        try:
            with rest.within(_PATIENCE_S):
                answer = rest.stream("/get-artifact", {"run_uuid": run_id, "path": path})
        except ServerRefusal as refusal:
            raise _named(refusal, workspace, run_id, path) from None
        stated = answer.headers.get("Content-Length", "")
        is_whole = "Content-Encoding" not in answer.headers
        size = int(stated) if stated.isdecimal() and is_whole else None
        if size is not None and size > most_bytes:
            answer.close()
            remedy = "Read it by MLflow's own client, or on its page."
            raise InvalidInput("path", path, f"has {size} bytes, more than {most_bytes}", remedy=remedy)
        return Content(_pieces(answer, most_bytes), size)


def check_path(path: str) -> str:
    """The path of an artifact, "" for the root; raises `InvalidInput` for one that leads elsewhere."""
    parts = path.split("/")
    odd = any(letter < " " or letter in "\\\x7f" or "\ud800" <= letter <= "\udfff" for letter in path)
    if path and (odd or len(path) > 1000 or any(part in ("", ".", "..") for part in parts)):
        raise InvalidInput("path", path[:100], "is no artifact's path", remedy="Give one that is listed.")
    return path


def _list(rest: Rest, workspace: ProjectWorkspace, run_id: str, folder: str) -> list[RunFile]:
    found: list[RunFile] = []
    asked: dict[str, Any] = {"run_id": run_id, **({"path": folder} if folder else {})}
    while True:
        try:
            page = rest.call("GET", "/artifacts/list", query=asked)
        except ServerRefusal as refusal:
            raise _named(refusal, workspace, run_id, folder) from None
        found += [_file(each) for each in page.get("files", [])]
        token = page.get("next_page_token", "")
        if not token or len(found) >= MOST_FILES:
            return sorted(found[:MOST_FILES], key=lambda each: (not each.is_folder, each.path))
        asked["page_token"] = token


def _file(told: dict[str, Any]) -> RunFile:
    is_folder = bool(told.get("is_dir", False))
    return RunFile(str(told["path"]), is_folder, None if is_folder else int(told.get("file_size", 0)))


def _named(
    refusal: ServerRefusal, workspace: ProjectWorkspace, run_id: str, path: str
) -> ArtifactNotFound | ServiceUnavailable:
    if refusal.status < 500:
        return ArtifactNotFound(workspace.project_name, run_id, path)
    return ServiceUnavailable("mlflow", refusal.message[:300])


def _pieces(answer: Any, most_bytes: int) -> Iterator[bytes]:
    """The body, no further than is allowed: a server may not say how long it is."""
    left = most_bytes
    with answer:
        for piece in answer.iter_content(_PIECE):
            yield piece[:left]
            left -= len(piece)
            if left <= 0:
                return
