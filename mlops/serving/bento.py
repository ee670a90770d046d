"""Packages a model version as a Bento, and opens one.

Both belong into a process of their own (a packaging child, a replica): bentoml is heavy, and keeps
its settings for the whole process.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mlops.errors import ConfigError, InvalidInput

# Flavors that are data alone. Every other one may run code when it is loaded.
SAFE_FLAVORS = frozenset({"onnx"})

_RUNTIMES = Path(__file__).parent / "runtimes"
_ONNX_REQUIREMENTS = ("bentoml", "numpy", "onnxruntime", "pyyaml")
_PYFUNC_REQUIREMENTS = ("bentoml", "mlflow", "numpy", "pandas", "pyyaml")


@dataclass(frozen=True, slots=True)
class BentoOrder:
    """What to package."""

    model: Path
    """An MLflow model folder."""
    home: Path
    """BENTOML_HOME: where Bentos are kept."""
    project: str
    name: str
    version: int
    run_id: str = ""
    build: str = "1"
    """Tells Bentos of the same model version apart; letters and digits."""
    allow_pickle: bool = False
    """Whether flavors that run code when loaded may be packaged."""
    labels: Mapping[str, str] = field(default_factory=dict)


def environment(home: Path) -> dict[str, str]:
    """What the environment of a process that packages must hold before it imports bentoml."""
    return {
        "BENTOML_HOME": str(home),
        "BENTOML_DO_NOT_TRACK": "True",
        "BENTOML_CONFIG_OPTIONS": "",
    }


def tag(order: BentoOrder) -> str:
    """The Bento's `name:version`."""
    return f"{_slug(order.project)}.{_slug(order.name)}:{order.version}-{order.build}"


def folder(home: Path, bento: str) -> Path:
    """Where the Bento of that tag lies; raises `InvalidInput` on what is not a tag."""
    parts = bento.split(":")
    if len(parts) != 2 or not all(re.fullmatch(r"[a-z0-9][a-z0-9._-]*", part) for part in parts):
        raise InvalidInput("bento", bento, "is not a Bento's tag", remedy="Deploy the model anew.")
    return home / "bentos" / parts[0] / parts[1]


def discard(home: Path, bento: str) -> None:
    """Delete the Bento of that tag, if it is there."""
    shutil.rmtree(folder(home, bento), ignore_errors=True)


def build(order: BentoOrder) -> str:
    """Make the Bento, replacing one of the same tag, and return its tag.

    The process needs `environment(order.home)`. Raises `ConfigError` on a flavor that is not
    allowed or a folder that is not an MLflow model, `InvalidInput` on a link in the model's folder.
    """
    from mlops.serving.runtimes.mlmodel import read

    try:
        model = read(order.model)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{order.name} {order.version} is not an MLflow model: {error}") from error
    _check_flavors(order, set(model.flavors))
    _check_files(order.model)
    discard(order.home, tag(order))
    with tempfile.TemporaryDirectory(prefix="bento-") as scratch:
        context = Path(scratch)
        package = _package_name(order)
        shutil.copytree(_RUNTIMES, context / package, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        shutil.copytree(order.model, context / "model")
        return _build(order, context, package, _requirements(order.model, "onnx" in model.flavors))


def run_id_of(model: Path) -> str:
    """The run that logged the MLflow model in that folder; empty where it does not say."""
    from mlops.serving.runtimes.mlmodel import read

    return read(model).run_id


def _build(order: BentoOrder, context: Path, package: str, requirements: list[str]) -> str:
    import bentoml

    name, built = tag(order).split(":")
    bento = bentoml.build(
        f"{package}.service:Model",
        name=name,
        version=built,
        labels={
            "project": order.project,
            "model": order.name,
            "version": str(order.version),
            "run": order.run_id,
            **order.labels,
        },
        include=["**"],
        python={"packages": requirements, "lock_packages": False},
        build_ctx=str(context),
    )
    if not Path(bento.path).resolve().is_relative_to(order.home.resolve()):
        raise ConfigError(
            f"the Bento was built in {bento.path}, not below {order.home}",
            remedy="Start the packaging process with `environment(home)`.",
        )
    return str(bento.tag)


def open_service(bento: Path, threads: int) -> Any:
    """The inner service object of the Bento in that folder: `predict(inputs)` answers nested lists by
    name, and raises an error with `mlops_problem` on an input that the signature does not take.
    `threads` are used for one answer."""
    import bentoml

    inner = bentoml.load(str(bento)).inner
    inner.threads = threads
    return inner()


def _check_flavors(order: BentoOrder, flavors: set[str]) -> None:
    if flavors & SAFE_FLAVORS or order.allow_pickle:
        return
    raise ConfigError(
        f"version {order.version} of {order.name!r} is {', '.join(sorted(flavors))}: loading it runs code",
        remedy="Log it as ONNX, or allow pickled flavors for this project if you trust who logs its models.",
        flavors=sorted(flavors),
    )


def _check_files(model: Path) -> None:
    for path in model.rglob("*"):
        if path.is_symlink():
            raise InvalidInput(
                "model",
                path.relative_to(model),
                "is a symbolic link",
                remedy="Log real files with the model.",
            )


def _requirements(model: Path, is_onnx: bool) -> list[str]:
    """Pinned to what is installed here, where the model was just read; of the model's own list only
    plain names with versions are taken, so that no option or address gets into a build file."""
    found = {name: _pinned(name) for name in (_ONNX_REQUIREMENTS if is_onnx else _PYFUNC_REQUIREMENTS)}
    stated = model / "requirements.txt"
    if not is_onnx and stated.is_file():
        for line in stated.read_text(encoding="utf-8").splitlines():
            plain = re.fullmatch(
                r"([A-Za-z0-9][A-Za-z0-9._-]*)((?:[<>=!~]=?[A-Za-z0-9.*+!]+,?)*)", line.strip()
            )
            if plain:
                found.setdefault(plain[1].lower(), plain[0])
    return list(found.values())


def _pinned(name: str) -> str:
    try:
        return f"{name}=={version(name)}"
    except PackageNotFoundError:
        return name


def _package_name(order: BentoOrder) -> str:
    # Unique, so that two Bentos can be open in one process.
    return re.sub(r"[^a-z0-9]", "_", f"bento_{tag(order)}".lower())


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]", "-", name.lower()).strip(".-_") or "model"
