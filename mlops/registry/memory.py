"""Model versions in this process's memory: for tests and trials, gone with the process."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from mlops.entities import ModelVersion
from mlops.errors import ModelFileNotFound, ModelNotFound, RunNotFound
from mlops.project import check_model_name
from mlops.registry.aliases import check_alias
from mlops.registry.flavors import flavor_of
from mlops.registry.versions import check_attachment, check_file_path, check_version

if TYPE_CHECKING:
    from mlops.registry.base import ModelRegistry


class MemoryRegistry:
    """The models of one project; thread-safe. `download` writes a pickle beside an MLmodel."""

    def __init__(self, *, project: str, has_run: Callable[[str], bool] = lambda run_id: True) -> None:
        """`has_run` tells which run ids the project's tracker knows."""
        self.project = project
        self._has_run = has_run
        self._versions: dict[str, list[ModelVersion]] = {}
        self._models: dict[tuple[str, int], Any] = {}
        self._files: dict[tuple[str, int], dict[str, bytes]] = {}
        self._attached: dict[str, bytes] = {}
        self._lock = threading.RLock()

    def log_model(
        self,
        run_id: str,
        model: Any,
        name: str,
        *,
        flavor: str,
        input_example: Any = None,
        output_example: Any = None,
        register: bool = True,
        files: Path | None = None,
    ) -> ModelVersion | None:
        """See `ModelRegistry.log_model`; a model that is not registered is not kept."""
        flavor_of(flavor)
        check_model_name(name)
        if not self._has_run(run_id):
            raise RunNotFound(self.project, run_id)
        if not register:
            return None
        with self._lock:
            number = len(self._versions.get(name, [])) + 1
            version = ModelVersion(
                project=self.project,
                name=name,
                version=number,
                run_id=run_id,
                flavor=flavor,
                created_at=datetime.now(UTC),
                tags={"flavor": flavor, "project": self.project, "run_id": run_id},
                source=f"memory:/{name}/{number}",
            )
            self._versions.setdefault(name, []).append(version)
            self._models[name, number] = model
            self._files[name, number] = _contents(files)
        return version

    def get_version(self, name: str, version: int | None) -> ModelVersion:
        """See `ModelRegistry.get_version`."""
        number = check_version(self.project, name, version)
        with self._lock:
            versions = self._versions.get(name, [])
            if not 1 <= number <= len(versions):
                raise ModelNotFound(self.project, name, number)
            return versions[number - 1]

    def list_versions(self, name: str | None = None) -> list[ModelVersion]:
        """See `ModelRegistry.list_versions`."""
        with self._lock:
            if name is not None and name not in self._versions:
                raise ModelNotFound(self.project, name)
            names = [name] if name is not None else list(self._versions)
            found = [version for each in names for version in self._versions[each]]
        return sorted(found, key=lambda v: (v.created_at, v.version), reverse=True)

    def set_alias(self, name: str, alias: str, version: int | None) -> None:
        """See `ModelRegistry.set_alias`."""
        check_alias(alias)
        with self._lock:
            self.get_version(name, version)
            for at, each in enumerate(self._versions[name]):
                others = {held for held in each.aliases if held != alias}
                held = others | {alias} if each.version == version else others
                self._versions[name][at] = replace(each, aliases=tuple(sorted(held)))

    def download(self, name: str, version: int | None, folder: Path, path: str = "") -> Path:
        """See `ModelRegistry.download`."""
        found = self.get_version(name, version)
        number = check_version(self.project, name, version)
        kept = self._files[name, number] | {"MLmodel": json.dumps({"flavors": {found.flavor: {}}}).encode()}
        if path:
            check_file_path(path)
            if path not in kept:
                raise ModelFileNotFound(self.project, name, number, path)
            return _written(folder / PurePosixPath(path).name, kept[path])
        for place, content in kept.items():
            _written(folder / place, content)
        _written(folder / "model.pkl", pickle.dumps(self._models[name, number]))
        return folder

    def attach(self, name: str, version: int | None, file: Path, folder: str) -> str:
        """See `ModelRegistry.attach`; `attached` gives the copy back."""
        check_attachment(file, folder)
        found = self.get_version(name, version)
        if not self._has_run(found.run_id):
            raise RunNotFound(self.project, found.run_id)
        uri = f"memory:/runs/{found.run_id}/{folder}/{file.name}"
        with self._lock:
            self._attached[uri] = file.read_bytes()
        return uri

    def attached(self, uri: str) -> bytes:
        """What `attach` keeps at a URI of its own; raises `KeyError` for another."""
        with self._lock:
            return self._attached[uri]


def _written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _contents(folder: Path | None) -> dict[str, bytes]:
    if folder is None:
        return {}
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


if TYPE_CHECKING:
    _conforms: type[ModelRegistry] = MemoryRegistry
