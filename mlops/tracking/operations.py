"""What a run records besides metrics, params and tags, performed at the server.

Each operation is a dict with `op`: `status`, `call` (any request of MLflow's API), `file` (an upload),
`outputs` (models the run made), `model` (a logged model made offline), `version` (a registration).
Performing one again changes nothing. Ids given offline are exchanged for the server's on the way.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlops.entities import RunStatus
from mlops.installation import write_private
from mlops.tracking.run_folder import JOURNAL_SCHEME, RunFolder
from mlops.tracking.server import MLflowServer


class Operations:
    """The operations of one run that is known to the server."""

    def __init__(
        self,
        folder: RunFolder,
        server: MLflowServer,
        key: str,
        run_id: str,
        models: dict[str, dict[str, Any]],
        versions: dict[str, dict[str, Any]],
    ) -> None:
        """`models` (ids given offline -> MLflow's model) and `versions` (keys -> MLflow's version) are
        filled as they are made."""
        self.folder = folder
        self.server = server
        self.models = models
        self.versions = versions
        self._key, self._run_id = key, run_id
        self._artifact_uri = ""
        self.models.update(self._read_models())
        self._operations: dict[str, Callable[[dict[str, Any]], None]] = {
            "status": self._set_status,
            "call": self._call,
            "file": self.upload,
            "outputs": self._add_outputs,
            "model": self._create_model,
            "version": self._create_version,
        }

    def perform(self, operation: dict[str, Any]) -> None:
        """Perform it. Raises what the server's calls raise, and `KeyError`, `OSError` and the like for one
        that cannot be performed."""
        self._operations[operation["op"]](operation)

    def _set_status(self, operation: dict[str, Any]) -> None:
        running = operation["status"] == RunStatus.RUNNING.value
        self.server.update_run(self._run_id, operation["status"], None if running else operation["time_ms"])
        self.folder.ended.touch() if not running else self.folder.ended.unlink(missing_ok=True)

    def _call(self, operation: dict[str, Any]) -> None:
        path, request = self._exchange(operation["path"]), self._exchange(operation["body"])
        self.server.rest.call(operation["method"], path, request)

    def upload(self, operation: dict[str, Any]) -> None:
        """Upload the copy of a file or folder, and drop it."""
        kept = self.folder.files / operation["kept"]
        path = kept / operation["name"]
        model = operation["model"]
        if not kept.exists():  # uploaded, by a process that died before it could say so
            return
        for description in (path, *path.glob("MLmodel")):
            if description.name == "MLmodel" and description.is_file():
                self._exchange_in(description)
        root = path if operation["contents"] else kept
        self.server.upload(self._location(model), root, operation["below"])
        shutil.rmtree(kept, ignore_errors=True)

    def _exchange_in(self, file: Path) -> None:
        text = file.read_text(encoding="utf-8")
        exchanged = self._exchange(text)
        if exchanged != text:
            # In one step, whatever happens meanwhile; and the copy may be read-only, as its source was.
            part = self.folder.path / "exchanged"
            part.write_text(exchanged, encoding="utf-8")
            part.replace(file)

    def _add_outputs(self, operation: dict[str, Any]) -> None:
        known = self.server.run(self._run_id).get("outputs", {}).get("model_outputs", [])
        there = {each["model_id"] for each in known}
        wanted = [each for each in self._exchange(operation["models"]) if each["model_id"] not in there]
        if wanted:
            self.server.rest.call("POST", "/runs/outputs", {"run_id": self._run_id, "models": wanted})

    def _create_model(self, operation: dict[str, Any]) -> None:
        request = self._exchange(operation["body"])
        request["experiment_id"] = self.server.run(self._run_id)["info"]["experiment_id"]
        self.models[operation["id"]] = self.server.create_model(operation["id"], request)
        write_private(self.folder.path / "models.json", json.dumps(self.models))

    def _create_version(self, operation: dict[str, Any]) -> None:
        request = self._exchange(operation["body"])
        made = self.server.create_version(operation["key"], operation["name"], request)
        self.versions[operation["key"]] = made

    # -- ids ------------------------------------------------------------------------------------

    def _exchange(self, value: Any) -> Any:
        """The value with ids given offline, which are unmistakable, replaced by the server's."""
        text = json.dumps(value)
        for local, model in self.models.items():
            place = f"{JOURNAL_SCHEME}:/{self._key}/models/{local}/artifacts"
            text = text.replace(place, str(model["info"]["artifact_uri"]))
            text = text.replace(local, str(model["info"]["model_id"]))
        return json.loads(text.replace(self._key, self._run_id))

    def _location(self, model: str | None) -> str:
        if model is not None:
            known = self.models.get(model)
            return str(known["info"]["artifact_uri"]) if known else self.server.model_location(model)
        if not self._artifact_uri:
            self._artifact_uri = str(self.server.run(self._run_id)["info"]["artifact_uri"])
        return self._artifact_uri

    def _read_models(self) -> dict[str, dict[str, Any]]:
        try:
            return dict(json.loads((self.folder.path / "models.json").read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}
