"""Writes a deployment's folder for Kubernetes, whole or not at all."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlops.errors import InvalidInput
from mlops.serving.kubernetes.image import write_image
from mlops.serving.kubernetes.inferenceservice import inference_service
from mlops.serving.kubernetes.kind import Kind
from mlops.serving.kubernetes.order import ExportOrder
from mlops.serving.kubernetes.rayservice import SECRET_KEY, ray_service, secret_name

_MANIFESTS: dict[Kind, tuple[str, Callable[[ExportOrder], dict[str, Any]]]] = {
    Kind.KUBERAY: ("rayservice.yaml", ray_service),
    Kind.KSERVE: ("inferenceservice.yaml", inference_service),
}


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    kind: Kind
    project: str
    model: str
    version: int
    name: str
    """Of the object in Kubernetes."""
    image: str
    folder: Path
    manifest: str
    """The manifest's file in the folder."""
    files: tuple[str, ...]
    """What lies in the folder."""
    next_steps: tuple[str, ...]
    """Commands that build the image and apply the manifest."""


def write_export(kind: Kind, order: ExportOrder, folder: Path) -> Exported:
    """Write manifest, Dockerfile and what that copies into a new folder. It is there whole or not at all.

    Raises `InvalidInput` where the folder has files in it, is none, or cannot be written."""
    folder = folder.absolute()
    _check_free(folder)
    file, manifest = _MANIFESTS[kind]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
            made = Path(scratch) / "export"
            made.mkdir()
            write_image(order.bento, made)
            text = yaml.dump(manifest(order), Dumper=_Dumper, sort_keys=False, width=110)
            (made / file).write_text(text, encoding="utf-8")
            made.rename(folder)
    except OSError as error:
        raise _refused(folder, f"cannot be written: {error}") from error
    row = order.deployment
    files = tuple(sorted(path.name for path in folder.iterdir()))
    steps = _next_steps(kind, order, folder, file)
    return Exported(
        kind, row.project, row.model, row.version, order.name, order.image_name, folder, file, files, steps
    )


def _next_steps(kind: Kind, order: ExportOrder, folder: Path, manifest: str) -> tuple[str, ...]:
    build = f"docker build --tag {order.image_name} {shlex.quote(str(folder))}"
    push = (f"docker push {order.image_name}",) if "/" in order.image_name else ()
    secret = f"kubectl create secret generic {secret_name(order)} --from-file={SECRET_KEY}=/dev/stdin"
    made = (f"openssl rand -hex 32 | {secret}",) if kind is Kind.KUBERAY else ()
    apply = f"kubectl apply --filename {shlex.quote(str(folder / manifest))}"
    return (build, *push, *made, apply)


def _check_free(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise _refused(folder, "is there already, and no folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise _refused(folder, "has files in it")


def _refused(folder: Path, problem: str) -> InvalidInput:
    return InvalidInput("output", str(folder), problem, remedy="Name another folder with --output.")


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, and everything in full."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
